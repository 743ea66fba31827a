"""Learning-rate schedules: pure functions of the step, so that a resumed run meets the same rates."""

from __future__ import annotations

import dataclasses
import math

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..core.registry import Registry


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """A factor on the learning rate for every update.

    Attributes:
        warmup: number of first updates over which the rate rises linearly from near 0.
    """

    warmup: int = 0

    def __post_init__(self) -> None:
        if self.warmup < 0:
            raise ConfigError(f"schedule.warmup counts updates and must not be negative, got {self.warmup}.")

    def factor(self, step: int, steps_per_epoch: int, epochs: int) -> float:
        """The factor for update ``step`` (from 0) of ``epochs * steps_per_epoch`` planned ones."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return rise * self.shape(step, steps_per_epoch, epochs)

    def shape(self, step: int, steps_per_epoch: int, epochs: int) -> float:
        """The factor without warm-up."""
        raise ConfigError(f"{type(self).__name__} describes no schedule.", f"use one of {', '.join(SCHEDULES.names())}")


ScheduleConfig.config_family = "schedule"  # type: ignore[attr-defined]
SCHEDULES: Registry[type[ScheduleConfig]] = Registry("schedule")


@config_kind("schedule", "constant")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ConstantConfig(ScheduleConfig):
    """The same rate throughout."""

    def shape(self, step: int, steps_per_epoch: int, epochs: int) -> float:
        """Always 1."""
        return 1.0


SCHEDULES.register("constant")(ConstantConfig)


@config_kind("schedule", "cosine")
@dataclasses.dataclass(frozen=True, kw_only=True)
class CosineConfig(ScheduleConfig):
    """Half a cosine from 1 down to 0 behind the last planned update.

    Example:
        >>> [round(CosineConfig().factor(step, 2, 2), 3) for step in range(4)]
        [1.0, 0.854, 0.5, 0.146]
    """

    def shape(self, step: int, steps_per_epoch: int, epochs: int) -> float:
        """``(1 + cos(pi * progress)) / 2``, progress counted behind the warm-up."""
        total = steps_per_epoch * epochs - self.warmup
        progress = min(1.0, max(0.0, (step - self.warmup) / total)) if total > 0 else 0.0
        return 0.5 * (1.0 + math.cos(math.pi * progress))


SCHEDULES.register("cosine")(CosineConfig)


@config_kind("schedule", "step")
@dataclasses.dataclass(frozen=True, kw_only=True)
class StepConfig(ScheduleConfig):
    """Multiply by ``gamma`` every ``every`` epochs."""

    gamma: float = 0.8
    every: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.every < 1 or not self.gamma > 0:
            raise ConfigError(f"schedule: expected every >= 1 and gamma > 0, got {self.every} and {self.gamma}.")

    def shape(self, step: int, steps_per_epoch: int, epochs: int) -> float:
        """``gamma ** (finished epochs // every)``."""
        return self.gamma ** (step // max(1, steps_per_epoch) // self.every)


SCHEDULES.register("step")(StepConfig)
