"""LSTM, the non-spiking control of recurrent networks."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from .cells import GatedCells


class LSTMState(NamedTuple):
    """Output and cell, ``[B, N]`` each."""

    output: Tensor
    cell: Tensor


class LSTM(GatedCells):
    """Long short-term memory; see :class:`GatedCells` for shapes and start.

    Source: Hochreiter and Schmidhuber 1997.
    """

    torch_kind = nn.LSTM
    gates, products, squashed, words, named = 4, 3, 5, 2, "An LSTM"

    def run(self, x: Tensor, state: LSTMState | None) -> tuple[Tensor, LSTMState]:
        before = None if state is None else (state[0].unsqueeze(0), state[1].unsqueeze(0))
        y, (output, cell) = self.cell(x, before)
        return y, LSTMState(output.squeeze(0), cell.squeeze(0))
