"""GRU, the non-spiking control of gated spiking networks."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from .cells import GatedCells


class GRUState(NamedTuple):
    """Output, ``[B, N]``."""

    output: Tensor


class GRU(GatedCells):
    """Gated recurrent units, as torch has them: the reset gate acts behind the recurrent map.

    ``h[t] = n + z (h[t-1] - n)`` with ``n = tanh(W x[t] + b + r (U h[t-1] + c))``, the gates r and z of input and
    output. See :class:`GatedCells` for shapes and start.

    Source: Cho et al. 2014, arXiv 1406.1078.
    """

    torch_kind = nn.GRU
    gates, products, squashed, words, named = 3, 3, 3, 1, "A GRU"

    def run(self, x: Tensor, state: GRUState | None) -> tuple[Tensor, GRUState]:
        y, output = self.cell(x, None if state is None else state[0].unsqueeze(0))
        return y, GRUState(output.squeeze(0))
