"""LSTM, the non-spiking control of recurrent networks."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError
from ..core.operations import Operations
from .stateful import Stateful
from .synapse import uniform_


class LSTMState(NamedTuple):
    """Output and cell, ``[B, N]`` each."""

    output: Tensor
    cell: Tensor


class LSTM(Stateful):
    """Long short-term memory: ``[T, B, inputs] -> [T, B, outputs]``, two biases a gate as torch has them.

    All weights and biases start as U(-1/sqrt(N), 1/sqrt(N)).

    Source: Hochreiter and Schmidhuber 1997.
    """

    def __init__(self, inputs: int, outputs: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if inputs < 1 or outputs < 1:
            raise ConfigError(f"An LSTM needs at least one input and output, got {inputs} and {outputs}.")
        self.cell = nn.LSTM(inputs, outputs)
        for parameter in self.cell.parameters():
            uniform_(parameter, 1.0 / math.sqrt(outputs), generator)

    def run(self, x: Tensor, state: LSTMState | None) -> tuple[Tensor, LSTMState]:
        before = None if state is None else (state[0].unsqueeze(0), state[1].unsqueeze(0))
        y, (output, cell) = self.cell(x, before)
        return y, LSTMState(output.squeeze(0), cell.squeeze(0))

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """Four gates from input and output, three products and five squashing functions a neuron and step."""
        inputs, outputs = self.cell.input_size, self.cell.hidden_size
        dense = 4.0 * y.numel() * (inputs + outputs)
        moved = 2.0 * y.numel()
        return Operations(
            macs=dense + 3.0 * y.numel(),
            specials=5.0 * y.numel(),
            weight_reads=dense,
            state_reads=moved,
            state_writes=moved,
        )
