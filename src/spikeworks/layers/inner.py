"""Neurons whose time is not that of the sequence: each step of it is given to them for a few steps of their own."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..core.errors import ConfigError
from ..core.state import State
from ..neurons import Neuron


class InnerTime(nn.Module):
    """Neurons on the axis of the sequence, or on an inner axis of time with rest before every step.

    With ``steps=None`` they live in the sequence and carry their state through it. With a number I, the
    batch holds I copies of each sequence, and the copies are the neurons' time: from rest at every step of
    the sequence, ``x [T, B * I, N]`` is seen as I steps of ``T * B`` sequences. With I = 1 a neuron is a
    memoryless function of its input.

    Args:
        neuron: N of them, with one input.
        steps: I, or ``None``.

    Raises:
        ConfigError: the neuron has several inputs, or there is no inner step.
    """

    def __init__(self, neuron: Neuron, steps: int | None) -> None:
        super().__init__()
        if steps is not None and steps < 1:
            raise ConfigError(f"Neurons live for at least one inner step, or None for the sequence; got {steps}.")
        if len(neuron.inputs) != 1:
            raise ConfigError(
                f"{type(neuron).__name__} has {len(neuron.inputs)} inputs and needs dense blocks.",
                "take another neuron, or a network of dense blocks: --network stack",
            )
        self.neuron, self.steps = neuron, steps

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """``x [T, B * I, N]`` and a state in; spikes of that shape and the state out, ``None`` with inner steps."""
        if self.steps is None:
            return self.neuron(x, state)
        steps, width = x.shape[0], x.shape[2:]
        inner: Any = x.unflatten(1, (-1, self.steps)).movedim(2, 0).flatten(1, 2)
        spikes, _ = self.neuron(inner)
        return spikes.reshape(self.steps, steps, -1, *width).movedim(0, 2).flatten(1, 2), None

    def extra_repr(self) -> str:
        return f"steps={self.steps}"
