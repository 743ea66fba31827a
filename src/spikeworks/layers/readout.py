"""From the last layer's spikes to the answer: a linear map and a rule over time."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import ConfigError
from ..core.operations import Operations
from .synapse import Dense, magnitude, synaptic_operations

Kind = Literal["mean", "last", "sum", "leaky", "every"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadoutConfig:
    """How outputs are read.

    Args:
        kind: ``mean``, ``sum`` or ``leaky`` sum over the steps, the ``last`` step, or
            ``every`` step.
        decay: of the leaky sum, a step.
        scale: factor on the outputs. Mean spike rates lie in [0, 1]; a factor above 1 lets
            the softmax of a small network become sharp.
    """

    kind: Kind = "mean"
    decay: float = 0.9
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("mean", "last", "sum", "leaky", "every"):
            raise ConfigError(f"A readout is mean, last, sum, leaky or every; got {self.kind!r}.")
        if not 0 < self.decay < 1:
            raise ConfigError(f"The decay of a leaky readout lies in (0, 1), got {self.decay}.")
        if not self.scale > 0:
            raise ConfigError(f"The scale of a readout must be above 0, got {self.scale}.")


class ReadoutState(NamedTuple):
    """Weighted sum of the inputs so far ``[B, N]`` and the sum of the weights ``[B]``."""

    total: Tensor
    weight: Tensor


class Readout(nn.Module):
    """A linear readout at every step, reduced over the steps that the mask keeps.

    All reductions are weighted sums over time, and the map is linear, so the sum is taken
    first: ``y = W total + b weight``. A sequence fed in chunks with the state carried gives the
    same answer as the whole.

    Args:
        inputs, outputs: sizes of the linear map.
        config: the rule.
        tied: weight ``[outputs, inputs]`` of an embedding to share; then the bias starts at 0.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        config: ReadoutConfig,
        *,
        tied: nn.Parameter | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.linear = Dense(inputs, outputs, generator=generator)
        if tied is not None:
            if tied.shape != self.linear.weight.shape:
                raise ConfigError(
                    f"A tied readout needs an embedding of shape {[outputs, inputs]}, got {list(tied.shape)}.",
                    "the last hidden width must equal the embedding size",
                )
            self.linear.weight = tied
            nn.init.zeros_(self.linear.bias)

    def forward(
        self, x: Tensor, state: ReadoutState | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, ReadoutState | None]:
        """``x [T, B, N, ...]`` to ``[B, outputs]``, or ``[T, B, outputs]`` for ``every``."""
        x = self.features(x)
        if self.config.kind == "every":
            return self.config.scale * self.linear(x), None
        total, weight, kept = self._reduce(x, mask)
        if state is not None:
            total = total + kept.unsqueeze(1) * state.total
            weight = weight + kept * state.weight
        y = functional.linear(total, self.linear.weight) + weight.unsqueeze(1) * self.linear.bias
        divisor = weight.clamp(min=1e-12) if self.config.kind == "mean" else torch.ones_like(weight)
        return y * (self.config.scale / divisor).unsqueeze(1), ReadoutState(total, weight)

    @property
    def outputs(self) -> int:
        """Numbers of an answer."""
        return len(self.linear.weight)

    def features(self, x: Tensor) -> Tensor:
        """What the linear map sees at each step: ``[T, B, N, ...]`` to ``[T, B, inputs]``."""
        return x.flatten(2)

    def fresh(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Readout:
        """A new readout of the same kind and answers for inputs of ``shape`` a step and sample."""
        return Readout(math.prod(shape), self.linear.weight.shape[0], self.config, generator=generator)

    def _reduce(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Weighted sum ``[B, N]``, sum of weights ``[B]``, and the factor on earlier sums ``[B]``."""
        steps, batch = x.shape[:2]
        kind = self.config.kind
        ones = x.new_ones(batch)
        if mask is None and kind in ("mean", "sum"):
            return x.sum(0), ones * steps, ones
        if mask is None and kind == "last":
            return x[-1].clone(), ones, ones * 0  # a view would keep all steps for backward
        valid = x.new_ones(steps, batch) if mask is None else mask.to(x.dtype)
        length = valid.sum(0)
        if kind in ("mean", "sum"):
            weights, kept = valid, ones
        else:
            # steps to go until the sequence ends; 0 at its last valid step
            left = length - 1 - torch.arange(steps, device=x.device, dtype=x.dtype).unsqueeze(1)
            if kind == "last":
                weights, kept = (left == 0).to(x.dtype), (length == 0).to(x.dtype)
            else:
                weights, kept = valid * self.config.decay ** left.clamp(min=0), self.config.decay**length
        return torch.einsum("tb,tbn->bn", weights, x), weights.sum(0), kept

    def synapses(self, x: Tensor, y: Tensor) -> tuple[tuple[Dense, Tensor, Tensor]]:
        """The map at every step, see :class:`~spikeworks.core.operations.HoldsSynapses`."""
        return ((self.linear, self.features(x), x.new_empty(*x.shape[:2], len(self.linear.weight))),)

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """As deployed, step by step: an addition for each spike and class; a leaky sum decays each step."""
        outputs, inputs = self.linear.weight.shape
        rows = x.shape[0] * x.shape[1]
        counted = synaptic_operations(x, rows * inputs * outputs, magnitude(x) * outputs)
        if self.config.kind == "leaky":
            moved = rows * outputs
            counted = counted + Operations(macs=moved, state_reads=moved, state_writes=moved)
        return counted

    def extra_repr(self) -> str:
        return f"kind={self.config.kind!r}"
