"""Optimisers and learning-rate schedules as frozen descriptions."""

from .optimizers import OPTIMIZERS, AdamWConfig, OptimizerConfig, SGDConfig, load_optimizer, optimizer_state
from .schedules import SCHEDULES, ConstantConfig, CosineConfig, ScheduleConfig, StepConfig

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "AdamWConfig",
    "ConstantConfig",
    "CosineConfig",
    "OptimizerConfig",
    "SGDConfig",
    "ScheduleConfig",
    "StepConfig",
    "load_optimizer",
    "optimizer_state",
]
