"""How gradients are made: a method builds a learner, a learner turns batches into updates."""

from .base import METHODS, Learner, MethodConfig, Objective, Plan
from .bptt import BPTT, BPTTConfig
from .exchange import exchange_gradients, rank, world_size

__all__ = [
    "BPTT",
    "METHODS",
    "BPTTConfig",
    "Learner",
    "MethodConfig",
    "Objective",
    "Plan",
    "exchange_gradients",
    "rank",
    "world_size",
]
