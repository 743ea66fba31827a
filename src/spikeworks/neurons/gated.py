"""GSN: a neuron whose input opens and closes its own memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .base import Neuron
from .description import Option, register_neuron
from .parameters import Parameter, real


def _reciprocal_root(neuron: Neuron, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    bound = 1.0 / math.sqrt(neuron.size)
    return bound * (2.0 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1.0)


@register_neuron("gsn")
class GSN(Neuron):
    """Gated spiking neuron: ``f = sigmoid(x + gate_bias)``, ``c <- f * c + (1 - f) * (x + cell_bias)``.

    It fires where ``c >= 0``; the threshold is 0 and nothing is reset. ``x`` is
    ``W o + U s``: U is the weight of a recurrent layer, and with ``U = 0`` the cell is a linear
    recurrence with known gates. Biases start as U(-1/sqrt(N), 1/sqrt(N)).

    Args (as configuration):
        shared: one current for gate and cell. Without, the neuron has two inputs,
            ``(gate, cell)``, each with weights of its own.

    The source can normalise c over the batch at every step and carry the result. That is not
    offered: neurons of one batch would depend on each other inside the recurrence, and a stream
    could not be served as it was trained. Normalise the current instead, as ``norm`` of a stack.

    Source: Spiking-FullSubNet, arXiv 2410.04785.
    """

    states = ("cell",)

    gate_bias = Parameter(None, real, per="channel", initial=_reciprocal_root, doc="added to the gate's current")
    cell_bias = Parameter(None, real, per="channel", initial=_reciprocal_root, doc="added to the cell's current")
    shared = Option(True, "whether gate and cell have the same current")

    def prepare(self) -> None:
        self.inputs = ("x",) if self.shared else ("gate", "cell")

    def step(self, x: Tensor, *rest: Tensor, gate_bias: Tensor, cell_bias: Tensor) -> Sequence[Tensor]:
        current, cell = (x, *rest)[-2:]
        keep = torch.sigmoid(x + gate_bias)
        # this order: with the gate at 1 the cell keeps every bit
        cell = cell + (1.0 - keep) * (current + cell_bias - cell)
        return self.fire(cell), cell
