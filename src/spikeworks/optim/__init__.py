"""Optimisers and learning-rate schedules: frozen descriptions, and the optimisers that torch lacks."""

from .optimizers import (
    OPTIMIZERS,
    AdamWConfig,
    OptimizerConfig,
    SGDConfig,
    SPAMConfig,
    StableSPAMConfig,
    load_optimizer,
    optimizer_state,
)
from .schedules import SCHEDULES, ConstantConfig, CosineConfig, ScheduleConfig, StepConfig
from .spam import SPAM
from .stable_spam import StableSPAM

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "SPAM",
    "AdamWConfig",
    "ConstantConfig",
    "CosineConfig",
    "OptimizerConfig",
    "SGDConfig",
    "SPAMConfig",
    "ScheduleConfig",
    "StableSPAM",
    "StableSPAMConfig",
    "StepConfig",
    "load_optimizer",
    "optimizer_state",
]
