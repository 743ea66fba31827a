"""A neuron layer that hears its own spikes of the step before."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError, ShapeError
from ..core.operations import Operations
from ..core.state import State
from ..neurons import Neuron
from .synapse import Dense


class RecurrentState(NamedTuple):
    """State of the neurons and their last output ``[B, N]``."""

    neuron: State
    output: Tensor


class Recurrent(nn.Module):
    """``current[t] = x[t] + R y[t-1] + b`` drives the neurons; R is dense, with bias.

    Shapes: ``x [T, B, N]`` in, output of the same shape and the state out.
    """

    def __init__(self, neuron: Neuron, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if neuron.size < 1:
            raise ConfigError("A recurrent layer needs at least one neuron.")
        self.neuron = neuron
        self.synapse = Dense(neuron.size, neuron.size, generator=generator)

    def forward(self, x: Tensor, state: RecurrentState | None = None) -> tuple[Tensor, RecurrentState]:
        """Run over time; ``state=None`` is rest, with no spike before the first step."""
        if x.dim() != 3:
            raise ShapeError(f"A recurrent layer expected x of shape [T, B, {self.neuron.size}], got {list(x.shape)}.")
        last = torch.zeros_like(x[0]) if state is None else state.output
        inner = None if state is None else state.neuron
        outputs = []
        for x_t in x:
            current = x_t + self.synapse(last.unsqueeze(0))[0]
            last, inner = self.neuron.advance(current, inner)
            outputs.append(last)
        return torch.stack(outputs), RecurrentState(inner, last)
