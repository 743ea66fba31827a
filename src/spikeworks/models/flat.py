"""A network whose state is a flat list of tensors: the form that exporters take."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..core.state import leaves, map_state, refill


class FlatState(nn.Module):
    """``output, *state = flat(x, *state)``; without a state it starts from rest.

    An exported program passes tensors and plain tuples, and named tuples are neither. Under
    ``torch.export`` neurons are made of plain torch operations, so that a saved program runs
    where spikeworks is not installed. The loop over time is unrolled: a program for one step
    (``x [1, B, ...]``) is small and streams any length.

    Args:
        network: called as ``network(x, state) -> (output, state)``.
        example: an input; one run on it shows how the state is nested.

    Attributes:
        names: dotted names of the tensors of the state, in order.

    Example:
        >>> from spikeworks.models import StackConfig
        >>> network = StackConfig(hidden=(8,)).build(3, 2, torch.Generator().manual_seed(0)).eval()
        >>> flat = FlatState(network, torch.zeros(1, 4, 3))
        >>> flat.names
        ('blocks.0.voltage', 'readout.total', 'readout.weight')
        >>> with torch.no_grad():
        ...     output, *state = flat(torch.rand(1, 4, 3))
        ...     program = torch.export.export(flat, (torch.rand(1, 4, 3), *state))
        >>> torch.equal(program.module()(torch.ones(1, 4, 3), *state)[0], flat(torch.ones(1, 4, 3), *state)[0])
        True
    """

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        super().__init__()
        self.network = network
        with torch.no_grad():
            _, state = network(example)
        self.names = tuple(name for name, _ in leaves(state))
        self._nesting: Any = map_state(lambda t: t.new_empty(0), state)

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Run a sequence, or the next part of one."""
        output, after = self.network(x, refill(self._nesting, state) if state else None)
        return output, *(t for _, t in leaves(after))
