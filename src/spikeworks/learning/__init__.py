"""How gradients are made: a method builds a learner, a learner turns batches into updates."""

from .adversarial import AdversarialConfig
from .base import METHODS, Learner, MethodConfig, Objective, Plan
from .bptt import BPTT, BPTTConfig
from .decoupled import Cutting, Decoupled
from .descent import Descent
from .exchange import exchange_gradients, rank, world_size
from .local import AugLocalConfig, LocalConfig, TruncatedConfig
from .online import EPropConfig, Online, OnlineConfig, OSTLConfig, OTTTConfig, SLTTConfig
from .segregated import NoTDConfig, SDBPConfig
from .stdl import STDLConfig

__all__ = [
    "BPTT",
    "METHODS",
    "AdversarialConfig",
    "AugLocalConfig",
    "BPTTConfig",
    "Cutting",
    "Decoupled",
    "Descent",
    "EPropConfig",
    "Learner",
    "LocalConfig",
    "MethodConfig",
    "NoTDConfig",
    "OSTLConfig",
    "OTTTConfig",
    "Objective",
    "Online",
    "OnlineConfig",
    "Plan",
    "SDBPConfig",
    "SLTTConfig",
    "STDLConfig",
    "TruncatedConfig",
    "exchange_gradients",
    "rank",
    "world_size",
]
