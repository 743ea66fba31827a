"""Gated cells of torch as layers of ours: what LSTM and GRU, the non-spiking controls, share."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError
from ..core.operations import Operations
from .stateful import Stateful
from .synapse import uniform_


class GatedCells(Stateful):
    """Base of layers of gated cells: ``[T, B, inputs] -> [T, B, outputs]``, two biases a gate as torch has them.

    All weights and biases start as U(-1/sqrt(N), 1/sqrt(N)), N = ``outputs``.

    Attributes:
        torch_kind: torch's module.
        gates: linear maps of input and output each, N values wide.
        products: of a cell and step, multiply-accumulates of the gates with what they let through.
        squashed: of a cell and step, logistic functions and tanh.
        words: of state in a cell.
        named: how messages call it.
        stepwise: torch multiplies anew at every step, so that only one step's work can be spread over threads.

    Raises:
        ConfigError: no input or no output.
    """

    torch_kind: ClassVar[type[nn.LSTM | nn.GRU]]
    gates: ClassVar[int]
    products: ClassVar[int]
    squashed: ClassVar[int]
    words: ClassVar[int]
    named: ClassVar[str]
    stepwise: ClassVar[bool] = True
    cell: nn.LSTM | nn.GRU

    def __init__(self, inputs: int, outputs: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if inputs < 1 or outputs < 1:
            raise ConfigError(f"{self.named} needs at least one input and output, got {inputs} and {outputs}.")
        self.cell = self.torch_kind(inputs, outputs)
        for parameter in self.cell.parameters():
            uniform_(parameter, 1.0 / math.sqrt(outputs), generator)

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """The gates from input and output, their products and squashing functions, for every cell and step."""
        inputs, outputs = self.cell.input_size, self.cell.hidden_size
        cells = float(y.numel())
        dense = self.gates * cells * (inputs + outputs)
        return Operations(
            macs=dense + self.products * cells,
            specials=self.squashed * cells,
            weight_reads=dense,
            state_reads=self.words * cells,
            state_writes=self.words * cells,
        )
