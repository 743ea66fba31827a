"""Descriptions of optimisers, and their state as flat tensors.

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
from .moment_reset import MomentResetOptimizer
from .spam import SPAM, Arrangement, BiasCorrection
from .stable_spam import StableSPAM

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


@config_kind("optimizer", "spam")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SPAMConfig(OptimizerConfig):
    """Adam with a clip per coordinate and periodic resets of its moments (arXiv 2501.06842).

    The optimiser is :class:`~spikeworks.optim.SPAM`.

    Attributes:
        threshold: largest square of a gradient over its second moment that is not clipped; ``None`` never clips.
        reset_every: updates between resets; 0 for none.
        rewarm_steps: updates over which the step rises again behind a reset.
        clip_holdoff: updates behind the start or a reset that are not clipped.
        density: share of the coordinates of every matrix that keep moments and move between two
            resets. Vectors and scalars keep all: they hardly need memory.
        bias_correction: for the updates since the reset, or for all of them as published.
        zero_guard: do not clip coordinates that have had no gradient since the reset.
        arrangement: that of AdamW, or the published one.
        seed: of the choice of coordinates.

    Example:
        >>> SPAMConfig(reset_every=100)
        Traceback (most recent call last):
        ...
        spikeworks.core.errors.ConfigError: SPAM: rewarm_steps=150 must not exceed reset_every=100: ...
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    threshold: float | None = 5000.0
    reset_every: int = 500
    rewarm_steps: int = 150
    clip_holdoff: int = 20
    density: float = 1.0
    bias_correction: BiasCorrection = "since_reset"
    zero_guard: bool = True
    arrangement: Arrangement = "adamw"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._over([{"params": torch.zeros(1)}])

    def _make(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        if self.density < 1.0:
            groups = [part for group in groups for part in _matrices_apart(group)]
        return self._over(groups)

    def _over(self, groups: list[dict[str, Any]]) -> SPAM:
        return SPAM(
            groups,
            lr=self.learning_rate,
            betas=(self.beta1, self.beta2),
            eps=self.epsilon,
            weight_decay=self.weight_decay,
            threshold=math.inf if self.threshold is None else self.threshold,
            reset_every=self.reset_every,
            rewarm_steps=self.rewarm_steps,
            clip_holdoff=self.clip_holdoff,
            density=self.density,
            bias_correction=self.bias_correction,
            zero_guard=self.zero_guard,
            arrangement=self.arrangement,
            seed=self.seed,
        )


OPTIMIZERS.register("spam")(SPAMConfig)


@config_kind("optimizer", "stable-spam")
@dataclasses.dataclass(frozen=True, kw_only=True)
class StableSPAMConfig(OptimizerConfig):
    """Adam on gradients of even size, with periodic resets of its moments (arXiv 2502.17055).

    The optimiser is :class:`~spikeworks.optim.StableSPAM`.

    Attributes:
        gammas: decays of the averages of norm, squared norm and largest magnitude.
        reset_every: updates between resets; 0 for none.
        momentum_decay_steps: planned updates over which momentum falls to half; 0 keeps it.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    gammas: tuple[float, float, float] = (0.7, 0.9, 0.999)
    reset_every: int = 1000
    momentum_decay_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._make([{"params": torch.zeros(1)}])

    def _make(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return StableSPAM(
            groups,
            lr=self.learning_rate,
            betas=(self.beta1, self.beta2),
            eps=self.epsilon,
            weight_decay=self.weight_decay,
            gammas=self.gammas,
            reset_every=self.reset_every,
            momentum_decay_steps=self.momentum_decay_steps,
        )


OPTIMIZERS.register("stable-spam")(StableSPAMConfig)


def _matrices_apart(group: dict[str, Any]) -> list[dict[str, Any]]:
    matrices = [p for p in group["params"] if p.dim() > 1]
    others = [p for p in group["params"] if p.dim() <= 1]
    parts = [{**group, "params": matrices}, {**group, "params": others, "density": 1.0}]
    return [part for part in parts if part["params"]]


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
    shapes = [_moment_shape(optimizer, group, p) for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        if not index.isdigit() or int(index) >= len(shapes):
            raise RunError(f"Optimizer state '{name}' fits none of {len(shapes)} parameters.", _RESTORED)
        shape = shapes[int(index)]
        if tensor.dim() and tensor.shape != shape:
            raise RunError(
                f"Optimizer state '{name}' expected shape {list(shape)}, got {list(tensor.shape)}.", _RESTORED
            )
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**described, "state": state})


def _moment_shape(optimizer: torch.optim.Optimizer, group: dict[str, Any], parameter: Tensor) -> torch.Size:
    if isinstance(optimizer, MomentResetOptimizer):
        return optimizer.moment_shape(parameter, group)
    return parameter.shape
