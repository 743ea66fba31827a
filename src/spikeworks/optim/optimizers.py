"""Descriptions of ``torch.optim`` optimisers, and their state as flat tensors.

A parameter group may carry ``"lr_scale"``, a factor on the learning rate of its parameters.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError, RunError
from ..core.registry import Registry

_RESTORED = "the checkpoint belongs to another network or optimizer; start the run in a new folder"


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """What all optimisers share.

    Attributes:
        learning_rate: step size before the schedule.
        weight_decay: for parameters that the network does not exempt.
        clip: largest global gradient norm; ``None`` leaves gradients as they are.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    clip: float | None = 1.0

    def __post_init__(self) -> None:
        for name in ("learning_rate", "weight_decay"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise ConfigError(f"optimizer.{name} must be finite and not negative, got {value!r}.")
        if self.clip is not None and not self.clip > 0:
            raise ConfigError(f"optimizer.clip must be positive or None, got {self.clip!r}.")

    def build(self, groups: Sequence[dict[str, Any]]) -> torch.optim.Optimizer:
        """A torch optimiser over parameter groups ``{"params": [...], "weight_decay": ..., "lr_scale": ...}``."""
        return self._make([{**g, "lr": self.learning_rate * g.get("lr_scale", 1.0)} for g in groups])

    def _make(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        raise ConfigError(
            f"{type(self).__name__} describes no optimizer.", f"use one of {', '.join(OPTIMIZERS.names())}"
        )

    def set_rate(self, optimizer: torch.optim.Optimizer, factor: float) -> float:
        """Give every group its learning rate times ``factor``; returns the common rate."""
        rate = self.learning_rate * factor
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
        return rate


OptimizerConfig.config_family = "optimizer"  # type: ignore[attr-defined]
OPTIMIZERS: Registry[type[OptimizerConfig]] = Registry("optimizer")


@config_kind("optimizer", "adamw")
@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamWConfig(OptimizerConfig):
    """Adam with decoupled weight decay (arXiv 1711.05101).

    Example:
        >>> AdamWConfig(learning_rate=3e-3).build([{"params": [torch.zeros(1, requires_grad=True)]}]).defaults["betas"]
        (0.9, 0.999)
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def _make(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        betas = (self.beta1, self.beta2)
        return torch.optim.AdamW(groups, betas=betas, eps=self.epsilon, weight_decay=self.weight_decay)


OPTIMIZERS.register("adamw")(AdamWConfig)


@config_kind("optimizer", "sgd")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SGDConfig(OptimizerConfig):
    """Stochastic gradient descent, with momentum where asked for."""

    momentum: float = 0.0
    nesterov: bool = False

    def _make(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, momentum=self.momentum, nesterov=self.nesterov, weight_decay=self.weight_decay)


OPTIMIZERS.register("sgd")(SGDConfig)


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """All state as tensors named ``<parameter index>.<key>``; plain numbers become 0-d float64."""
    flat = {}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if value is None:
                continue
            flat[f"{index}.{key}"] = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    return flat


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of :func:`optimizer_state`; rates stay with the schedule.

    Raises:
        RunError: a tensor fits no parameter of this optimiser.
    """
    described = optimizer.state_dict()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        if not index.isdigit() or int(index) >= len(parameters):
            raise RunError(f"Optimizer state '{name}' fits none of {len(parameters)} parameters.", _RESTORED)
        shape = parameters[int(index)].shape
        if tensor.dim() and tensor.shape != shape:
            raise RunError(
                f"Optimizer state '{name}' expected shape {list(shape)}, got {list(tensor.shape)}.", _RESTORED
            )
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**described, "state": state})
