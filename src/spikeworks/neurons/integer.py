"""I-LIF: counts of spikes in training, the same number of spikes one after another in inference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ConfigError
from .base import Neuron
from .description import Option, register_neuron
from .parameters import Parameter, above_zero, unit_interval
from .reset import Reset


class _Count(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, levels: int) -> Tensor:
        return torch.floor(x.clamp(0, levels) + 0.5)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        x, ctx.levels = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return gradient * ((x >= 0) & (x <= ctx.levels)).to(x.dtype), None


@register_neuron("i-lif")
class ILIF(Neuron):
    """Integer LIF: the output is a count 0 ... ``levels``, the nearest whole number of thresholds.

    ``v <- decay * v + x``; ``c = floor(clip(v / threshold, 0, levels) + 1/2)``; the reset takes
    ``c * threshold`` (soft), so that what stays lies within half a threshold unless the count is cut
    off. The gradient of the count is that of the clip. The first spike comes at half a threshold.

    On a sequence of one step it is a quantiser, as its sources use it. For inference with binary
    spikes see :func:`expand_counts`.

    Args (as configuration):
        levels: largest count D; up to 15 the meters take counts as spikes.

    Source: arXiv 2407.20708 (I-LIF) and E-3DSNN, whose decay is 0.25.
    """

    states = ("voltage",)

    decay = Parameter(0.25, unit_interval, trainable=False, doc="membrane decay a step")
    threshold = Parameter(1.0, above_zero, trainable=False, doc="potential that one spike stands for")
    levels = Option(4, "largest count")
    reset = Option(Reset(), "reset rule: soft or none, after_fire")

    def prepare(self) -> None:
        self.reset.check_immediate("I-LIF")
        if self.reset.kind == "hard":
            raise ConfigError("I-LIF takes its counts from the potential; its reset is soft or none.")
        if self.levels < 1:
            raise ConfigError(f"I-LIF counts to at least 1, got levels={self.levels}.")

    def fire(self, distance: Tensor) -> Tensor:
        """The count for a potential in units of the threshold, with the gradient of the clip."""
        return _Count.apply(distance, self.levels)  # type: ignore[no-any-return]

    def step(  # type: ignore[override]
        self, x: Tensor, voltage: Tensor, *, decay: Tensor, threshold: Tensor
    ) -> Sequence[Tensor]:
        charged = decay * voltage + x
        count = self.fire(charged / threshold)
        return count, self.reset(charged, count, threshold)


def expand_counts(counts: Tensor, levels: int) -> Tensor:
    """Counts as binary spikes in ``levels`` slots, of which the first ones are 1.

    A linear layer sees the same sum: ``W c = sum over slots of W s``. Its bias must be added once,
    not once a slot.

    Args:
        counts: whole numbers 0 ... ``levels``, of any shape.
        levels: number of slots.

    Returns:
        Spikes of shape ``[levels, *counts.shape]``.

    Example:
        >>> expand_counts(torch.tensor([0.0, 2.0]), 3).tolist()
        [[0.0, 1.0], [0.0, 1.0], [0.0, 0.0]]

    Raises:
        ConfigError: a value that is no count up to ``levels``.
    """
    if not bool(((counts == counts.round()) & (counts >= 0) & (counts <= levels)).all()):
        raise ConfigError(f"expand_counts expected whole numbers from 0 to {levels}, got others.")
    slots = torch.arange(levels, device=counts.device, dtype=counts.dtype)
    return (counts.unsqueeze(0) > slots.reshape(-1, *(1,) * counts.dim())).to(counts.dtype)
