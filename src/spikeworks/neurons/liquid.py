"""LTC: a spiking neuron whose time constants are computed from its input and state at every step."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core.operations import Operations
from ..kernels import trace_step
from .base import Neuron, Signal
from .description import NeuronConfig, register_neuron
from .parameters import Parameter, above_zero, real


class _Rate(nn.Module):
    """A rate for each neuron from its layer's input and state: ``sigmoid(W [x; state] + bias)``."""

    def __init__(self, size: int, generator: torch.Generator | None) -> None:
        super().__init__()
        spread = math.sqrt(2.0 / (3 * size))  # Xavier, from 2 N to N
        self.weight = nn.Parameter(spread * torch.randn(size, 2 * size, generator=generator))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """``[B, size, ...]`` each, and so the result."""
        both = torch.cat([x, state], 1).movedim(1, -1)
        rate = nn.functional.linear(both, self.weight.to(x.dtype), self.bias.to(x.dtype))
        return torch.sigmoid(rate).movedim(-1, 1)


@functools.cache
def _rest(config: NeuronConfig) -> Operations:
    """Operations of a step behind the rates, from its trace."""
    neuron = config.build(1)
    assert isinstance(neuron, LTC)  # only they ask
    return trace_step(neuron.follow, states=3, parameters=2, inputs=3).forward.operations()


@register_neuron("ltc")
class LTC(Neuron):
    """Liquid time constants: dense maps of input and state set how fast membrane and threshold follow.

    ``a = sigmoid(W_m [x; v])``, ``r = sigmoid(W_a [x; b])``; ``b <- r b + (1 - r) s``;
    ``v <- v + a (x - v)``; fire where ``v >= threshold + strength * b``, then v is 0. The maps read
    every neuron of the layer, biases included, so that no elementwise kernel exists: it runs step by
    step. They cost 4 N MACs a neuron and step, which :meth:`operations` counts.

    Source: arXiv 2112.11231 (strength 1.8) in the form of neuroseqbench (0.2), in which b starts at
    the threshold; it starts at 0 here.
    """

    mixes_neurons = True
    """Its step reads other neurons of the layer; no kernel can be traced."""

    states = ("voltage", "adaptation", "spike")

    threshold = Parameter(1.0, above_zero, trainable=False, doc="firing threshold without adaptation")
    strength = Parameter(0.2, real, trainable=False, doc="threshold gained by sustained firing")

    def __init__(
        self, size: int, config: NeuronConfig | None = None, *, generator: torch.Generator | None = None, **values: Any
    ) -> None:
        super().__init__(size, config, generator=generator, **values)
        self.membrane_rate = _Rate(size, generator)
        self.adaptation_rate = _Rate(size, generator)

    def step(  # type: ignore[override]
        self, x: Tensor, voltage: Tensor, adaptation: Tensor, spike: Tensor, *, threshold: Tensor, strength: Tensor
    ) -> Sequence[Tensor]:
        rates = self.membrane_rate(x, voltage), self.adaptation_rate(x, adaptation)
        return self.follow(x, *rates, voltage, adaptation, spike, threshold, strength)

    def follow(
        self,
        x: Tensor,
        follow: Tensor,
        keep: Tensor,
        voltage: Tensor,
        adaptation: Tensor,
        spike: Tensor,
        threshold: Tensor,
        strength: Tensor,
    ) -> Sequence[Tensor]:
        """The elementwise rest of the step, with both rates known."""
        adaptation = keep * adaptation + (1.0 - keep) * spike
        charged = voltage + follow * (x - voltage)
        fired = self.fire(charged - threshold - strength * adaptation)
        return fired, charged * (1.0 - fired), adaptation, fired

    def operations(self, x: Signal, y: Tensor) -> Operations:
        """The dense maps and the rest of the step, for every neuron, step and sequence of ``y``."""
        dense = 4 * self.size  # the biases start the sums
        rates = Operations(macs=dense, specials=2, weight_reads=dense, state_reads=3, state_writes=3)
        return (rates + _rest(self.config)).scaled(y.numel())

    def _trace(self, dtype: torch.dtype) -> str:
        return "the rates of LTC read all neurons of their layer, which no elementwise kernel does"
