"""A neuron layer that hears its own spikes of the step before."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError, ShapeError
from ..core.operations import Operations
from ..core.state import State
from ..neurons import Neuron
from ..neurons.base import Signal
from .synapse import Dense, magnitude, synaptic_operations


class RecurrentState(NamedTuple):
    """State of the neurons and their last output ``[B, N]``."""

    neuron: State
    output: Tensor


class Recurrent(nn.Module):
    """``current[t] = x[t] + R y[t-1] + b`` drives the neurons; R is dense, with bias.

    Neurons with K inputs hear themselves through each of them, with an R and b of its own.

    Shapes: ``x [T, B, N]``, or a tuple of K, in; output ``[T, B, N]`` and the state out.

    Args:
        neuron: the neurons, N of them.
        zero_diagonal: no neuron hears itself; the diagonal of each R is left out at use and does not learn.
        start: initial R: ``uniform`` as a dense synapse, or ``orthogonal``, each R by itself (with
            ``zero_diagonal`` that of sparch, arXiv 2212.01187).
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
        self.synapse = Dense(neuron.size, neuron.size * len(neuron.inputs), generator=generator)
        for part in self.synapse.weight.detach().split(neuron.size):
            if start == "orthogonal":
                nn.init.orthogonal_(part, generator=generator)
            if zero_diagonal:
                part.fill_diagonal_(0.0)

    @property
    def weight(self) -> Tensor:
        """R as it acts, ``[K * N, N]``: for each input of the neurons one below the other."""
        weight = self.synapse.weight
        if not self.zero_diagonal:
            return weight
        blocks = weight.unflatten(0, (-1, self.neuron.size))
        return (blocks - torch.diag_embed(blocks.diagonal(dim1=1, dim2=2))).flatten(0, 1)

    def forward(self, x: Signal, state: RecurrentState | None = None) -> tuple[Tensor, RecurrentState]:
        """Run over time; ``state=None`` is rest, with no spike before the first step."""
        first = x if isinstance(x, Tensor) else x[0]
        if first.dim() != 3:
            raise ShapeError(
                f"A recurrent layer expected x of shape [T, B, {self.neuron.size}], got {list(first.shape)}."
            )
        if state is not None and not isinstance(state, RecurrentState):
            raise ShapeError(
                f"A recurrent layer expected a RecurrentState, got {type(state).__name__}.",
                "pass the state that this layer returned, or None to start from rest",
            )
        last = torch.zeros_like(first[0]) if state is None else state.output
        inner = None if state is None else state.neuron
        y, inner = self.neuron.recur(x, self.weight, self.synapse.bias, last, inner)
        return y, RecurrentState(inner, y[-1])

    def synapses(self, x: Signal, y: Tensor) -> tuple[tuple[Dense, Tensor, Tensor]]:
        """R with the outputs that it hears, see :class:`~spikeworks.core.operations.HoldsSynapses`."""
        before = torch.cat([torch.zeros_like(y[:1]), y[:-1]])
        return ((self.synapse, before, y.new_empty(*y.shape[:2], len(self.synapse.weight))),)

    def operations(self, x: Signal, y: Tensor) -> Operations:
        """Synapse and neurons together; the output before the first step is taken as silent."""
        ((_, before, _),) = self.synapses(x, y)
        reached = (self.neuron.size - self.zero_diagonal) * len(self.neuron.inputs)
        heard = synaptic_operations(before, before.numel() * reached, magnitude(before) * reached)
        return heard + self.neuron.operations(x, y)

    def extra_repr(self) -> str:
        return f"zero_diagonal={self.zero_diagonal}"
