"""The frozen description of a run; its identity is the hash of its canonical JSON."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, ClassVar, Literal

from ..core.config import config_id, from_dict, to_dict
from ..core.errors import ConfigError
from ..learning import BPTTConfig, MethodConfig
from ..models import ModelConfig
from ..optim import AdamWConfig, CosineConfig, OptimizerConfig, ScheduleConfig
from ..tasks import TaskConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
    """When training ends, and how much it gets at once.

    Attributes:
        epochs: passes over the training split.
        batch_size: sequences a batch.
        patience: epochs without a better validation score before training stops; ``None``: never.
        max_seconds: training seconds after which it stops, validation not counted; ``None``: no limit.
    """

    epochs: int = 10
    batch_size: int = 64
    patience: int | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("patience", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"budget.{name} must be at least {least}, got {value}.")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise ConfigError(f"budget.max_seconds must be positive, got {self.max_seconds}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides what a run computes.

    Attributes:
        label: name in tables; ``None`` is the neuron's name.
        device: ``auto`` takes the GPU where there is one.
    """

    task: TaskConfig
    model: ModelConfig
    method: MethodConfig = BPTTConfig()
    optimizer: OptimizerConfig = AdamWConfig()
    schedule: ScheduleConfig = CosineConfig()
    budget: Budget = Budget()
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    label: str | None = None
    settings_shown_by: ClassVar[str] = "add --describe to see all settings of this run"

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits; equal for equal descriptions on every machine."""
        return config_id(self)

    @property
    def task_name(self) -> str:
        """The task's registered name."""
        return str(to_dict(self.task)["kind"])

    @property
    def model_name(self) -> str:
        """The network's short name, for a stack that of its neuron."""
        return self.model.label

    @property
    def subject(self) -> str:
        """What messages call this run."""
        return f"{self.shown} on {self.task_name}"

    @property
    def shown(self) -> str:
        """The name in tables: the network's, and how it learns where that is not BPTT."""
        if self.label is not None or type(self.method) is BPTTConfig:
            return self.label or self.model_name
        return f"{self.model_name} {self.method.name}"

    def directory(self, root: str | Path) -> Path:
        """``<root>/<task>/<model>-s<seed>-<id>``."""
        return Path(root) / _safe(self.task_name) / f"{_safe(self.model_name)}-s{self.seed}-{self.id}"

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RunConfig:
        """Rebuild from ``config.json``; neurons of plugins must be registered before."""
        return from_dict(cls, data)


def _safe(name: str) -> str:
    return re.sub(r"[^\w.+-]", "_", name)
