"""A neuron layer that hears its own spikes of the step before."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..core.errors import ShapeError
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
        self.neuron = neuron
        self.synapse = Dense(neuron.size, neuron.size, generator=generator)

    def forward(self, x: Tensor, state: RecurrentState | None = None) -> tuple[Tensor, RecurrentState]:
        """Run over time; ``state=None`` is rest, with no spike before the first step."""
        if x.dim() != 3:
            raise ShapeError(f"A recurrent layer expected x of shape [T, B, {self.neuron.size}], got {list(x.shape)}.")
        last = torch.zeros_like(x[0]) if state is None else state.output
        inner = None if state is None else state.neuron
        synapse = self.synapse
        y, inner = self.neuron.recur(x, synapse.weight, synapse.bias, last, inner)
        return y, RecurrentState(inner, y[-1])

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """Synapse and neurons together; the output before the first step is taken as silent."""
        before = torch.cat([torch.zeros_like(y[:1]), y[:-1]])
        return self.synapse.operations(before, x) + self.neuron.operations(x, y)
