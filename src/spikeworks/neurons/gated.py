"""GSN: a neuron whose input opens and closes its own memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..kernels import TracedStep
from .base import Neuron
from .description import NeuronConfig, Option, register_neuron
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

    The source normalises c over the batch at every step and carries the result: :class:`NormedGSN`. To
    normalise the current instead, as ``norm`` of a stack, trains faster and the same for every batch.

    Source: Spiking-FullSubNet, arXiv 2410.04785.
    """

    states = ("cell",)
    own_biases = True

    gate_bias = Parameter(None, real, per="channel", initial=_reciprocal_root, doc="added to the gate's current")
    cell_bias = Parameter(None, real, per="channel", initial=_reciprocal_root, doc="added to the cell's current")
    shared = Option(True, "whether gate and cell have the same current")

    def prepare(self) -> None:
        self.inputs = ("x",) if self.shared else ("gate", "cell")

    def step(self, x: Tensor, *rest: Tensor, gate_bias: Tensor, cell_bias: Tensor) -> Sequence[Tensor]:
        cell = _gated(x, *rest, gate_bias=gate_bias, cell_bias=cell_bias)
        return self.fire(cell), cell


def _gated(x: Tensor, *rest: Tensor, gate_bias: Tensor, cell_bias: Tensor) -> Tensor:
    current, cell = (x, *rest)[-2:]
    keep = torch.sigmoid(x + gate_bias)
    # this order: with the gate at 1 the cell keeps every bit
    return cell + (1.0 - keep) * (current + cell_bias - cell)


class NormedGSN(GSN):
    """GSN whose memory is normalised over the batch at every step; the result is what it carries.

    In training the moments of a step are those of its batch, and running averages move once a step, so that it runs
    step by step in torch. In evaluation the averages fold into ``c <- scale c + shift``, which every backend derives
    as from any step; the effective leak ``scale * f`` may exceed 1, see :meth:`leak`. Made by networks that normalise
    so (``norm="memory"`` of Spiking-FullSubNet).

    Source: the code of arXiv 2410.04785.
    """

    gain = Parameter(1.0, real, per="channel", doc="standard deviation of the normalised memory")
    offset = Parameter(0.0, real, per="channel", doc="mean of the normalised memory")
    momentum = Option(0.1, "weight of a step in the running averages")
    epsilon = Option(1e-5, "added to the variance")

    mean: Tensor
    variance: Tensor

    def __init__(
        self, size: int, config: NeuronConfig | None = None, *, generator: torch.Generator | None = None, **values: Any
    ) -> None:
        super().__init__(size, config, generator=generator, **values)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))

    def coefficients(self, *, gain: Tensor, offset: Tensor, **biases: Tensor) -> dict[str, Any]:
        """With ``scale`` and ``shift`` of the map that the normalisation is; in training those of gain and offset."""
        if self.training:
            return {**biases, "scale": gain, "shift": offset}
        scale = gain * torch.rsqrt(self.variance + self.epsilon)
        return {**biases, "scale": scale, "shift": offset - self.mean * scale}

    def leak(self) -> Tensor:
        """Largest factor on the memory of one step to the next, ``[N]``: where it exceeds 1 a neuron can run away."""
        return (self.gain * torch.rsqrt(self.variance + self.epsilon)).detach().abs()

    def step(self, x: Tensor, *rest: Tensor, scale: Tensor, shift: Tensor, **biases: Tensor) -> Sequence[Tensor]:  # type: ignore[override]
        cell = _gated(x, *rest, **biases)
        cell = scale * (self._centred(cell) if self.training else cell) + shift
        return self.fire(cell), cell

    def _centred(self, cell: Tensor) -> Tensor:
        """``[B, N, ...]`` with mean 0 and variance 1 for each neuron; the running averages move. One value gives 0."""
        others = [axis for axis in range(cell.dim()) if axis != 1]
        variance, mean = torch.var_mean(cell, others, correction=0, keepdim=True)
        count = cell.numel() // self.size
        with torch.no_grad():
            self.mean.lerp_(mean.flatten().to(self.mean), self.momentum)
            self.variance.lerp_(variance.flatten().to(self.mean) * (count / max(1, count - 1)), self.momentum)
        return (cell - mean) * torch.rsqrt(variance + self.epsilon)

    def _trace(self, dtype: torch.dtype) -> TracedStep | str:
        if self.training:
            return "its memory is normalised over the batch at every step of training"
        return super()._trace(dtype)
