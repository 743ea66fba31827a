"""A neuron layer that hears its own spikes of the step before."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError, ShapeError
from ..core.operations import Operations
from ..core.state import State
from ..neurons import Neuron
from .synapse import Dense, magnitude, synaptic_operations


class RecurrentState(NamedTuple):
    """State of the neurons and their last output ``[B, N]``."""

    neuron: State
    output: Tensor


class Recurrent(nn.Module):
    """``current[t] = x[t] + R y[t-1] + b`` drives the neurons; R is dense, with bias.

    Shapes: ``x [T, B, N]`` in, output of the same shape and the state out.

    Args:
        neuron: the neurons, N of them.
        zero_diagonal: no neuron hears itself; R's diagonal is left out at use and does not learn.
        start: initial R: ``uniform`` as a dense synapse, or ``orthogonal`` (with ``zero_diagonal`` that of sparch,
            arXiv 2212.01187).
        generator: source of the initial values.

    Raises:
        ConfigError: no such start.
    """

    def __init__(
        self,
        neuron: Neuron,
        *,
        zero_diagonal: bool = False,
        start: Literal["uniform", "orthogonal"] = "uniform",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if start not in ("uniform", "orthogonal"):
            raise ConfigError(f"Recurrent weights start uniform or orthogonal, got {start!r}.")
        self.neuron = neuron
        self.zero_diagonal = zero_diagonal
        self.synapse = Dense(neuron.size, neuron.size, generator=generator)
        if start == "orthogonal":
            nn.init.orthogonal_(self.synapse.weight, generator=generator)
        if zero_diagonal:
            with torch.no_grad():
                self.synapse.weight.fill_diagonal_(0.0)

    @property
    def weight(self) -> Tensor:
        """R as it acts, ``[N, N]``."""
        weight = self.synapse.weight
        return weight - weight.diagonal().diag() if self.zero_diagonal else weight

    def forward(self, x: Tensor, state: RecurrentState | None = None) -> tuple[Tensor, RecurrentState]:
        """Run over time; ``state=None`` is rest, with no spike before the first step."""
        if x.dim() != 3:
            raise ShapeError(f"A recurrent layer expected x of shape [T, B, {self.neuron.size}], got {list(x.shape)}.")
        last = torch.zeros_like(x[0]) if state is None else state.output
        inner = None if state is None else state.neuron
        y, inner = self.neuron.recur(x, self.weight, self.synapse.bias, last, inner)
        return y, RecurrentState(inner, y[-1])

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """Synapse and neurons together; the output before the first step is taken as silent."""
        before = torch.cat([torch.zeros_like(y[:1]), y[:-1]])
        reached = self.neuron.size - self.zero_diagonal
        heard = synaptic_operations(before, before.numel() * reached, magnitude(before) * reached)
        return heard + self.neuron.operations(x, y)

    def extra_repr(self) -> str:
        return f"zero_diagonal={self.zero_diagonal}"
