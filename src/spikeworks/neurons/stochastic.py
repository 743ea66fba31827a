"""Stochastic PSN: a causal filter whose output is the probability of a spike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..core.state import State
from ..kernels import Decision, TracedStep
from ..kernels.policy import requested
from .base import Neuron
from .description import Option, register_neuron
from .parameters import Parameter, positive, real
from .sliding import SlidingPSN
from .surrogate import Surrogate

_CIRCLE = 2**14
"""Phases are parts of a circle in so many grains, so that sums of them are exact in float32."""
_STRIDE = 10125  # grains a step, the golden ratio's fraction: successive phases fall evenly
_OFFSET = 6787  # grains from neuron to neuron, that of the square root of 2


_STEEPNESS = 5.0
"""Of the sigmoid at the start: a flat one passes the mean of its input and little of its course."""


def _steep(neuron: Neuron, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return (_STEEPNESS * 0.5 ** torch.arange(shape[-1], dtype=torch.float64)).expand(shape).clone()


@register_neuron("stochastic-psn")
class StochasticPSN(SlidingPSN):
    """Stochastic parallelisable neuron: ``p = sigmoid(h - threshold)``, a spike with probability p.

    ``h`` is the filter of :class:`SlidingPSN`, learnt, with the last inputs as states; taps start
    at 5, 5/2, 5/4, ... The gradient is that of p, whatever is sent (straight-through).

    In training every spike is drawn, ``s = [p >= u]`` with u uniform. In evaluation nothing is
    drawn: u runs evenly through [0, 1), from a start of each neuron's own, by the state
    ``phase``; the mean over T steps is that of p up to about 1 / T, and the same input gives
    the same spikes. Kernels, streaming, counts and export are those of evaluation; training
    runs in the parallel form.

    Attributes:
        generator: source of the draws; ``None`` is torch's global one. One draw a neuron and
            step in the order of time, so that a sequence in parts draws what the whole draws.

    Source: Yarga and Wood, stochastic parallelisable spiking neurons (2023); the even phases
    are ours. Not the sliding PSN, for which the same abbreviation is in use.
    """

    taps = Parameter(None, real, inner="window", initial=_steep, doc="weight of the input i steps ago")
    threshold = Parameter(_STEEPNESS, positive, doc="the filtered input at which p is 1/2")
    surrogate = Option(Surrogate(kind="straight-through"), "derivative of the spike with respect to p")

    def prepare(self) -> None:
        super().prepare()
        self.states = (*self.states, "phase")
        self.generator: torch.Generator | None = None

    def rest(self, x: Tensor) -> State:
        """Silence before the first step, and a phase of its own for every neuron."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        grains = torch.arange(self.size, device=x.device) * _OFFSET % _CIRCLE
        phase = (grains.to(dtype) / _CIRCLE).reshape(-1, *(1,) * (x.dim() - 3))
        past = (torch.zeros_like(x[0]) for _ in self.states[:-1])
        return self.state_class(*past, phase.expand(x.shape[1:]).clone())

    def fire(self, distance: Tensor) -> Tensor:
        """The probability of a spike; :meth:`step` and :meth:`parallel` send it or not."""
        return torch.sigmoid(distance)

    def step(self, x: Tensor, *states: Tensor, taps: Sequence[Tensor], threshold: Tensor) -> Sequence[Tensor]:
        *past, phase = states
        probability, *past = super().step(x, *past, taps=taps, threshold=threshold)
        turned = phase + _STRIDE / _CIRCLE
        return self._sent(probability, phase), *past, turned - torch.floor(turned)

    def parallel(  # type: ignore[override]
        self, x: Tensor, *states: Tensor, taps: Sequence[Tensor], threshold: Tensor
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """All steps at once; the filter's forms: :mod:`spikeworks.kernels.scan.window`."""
        *past, phase = states
        probability, past = super().parallel(x, *past, taps=taps, threshold=threshold)
        grains = torch.arange(len(x) + 1, device=x.device) * _STRIDE % _CIRCLE
        turned = phase + (grains.to(x.dtype) / _CIRCLE).reshape(-1, *(1,) * phase.dim())
        phases = turned - torch.floor(turned)
        return self._sent(probability, phases[:-1]), [*past, phases[-1]]

    def _sent(self, probability: Tensor, phase: Tensor) -> Tensor:
        """Spikes for probabilities of any number of steps: drawn in training, even in evaluation."""
        if not self.training:
            return super().fire(probability - (phase + 0.5 / _CIRCLE))
        shape, dtype, device = probability.shape, probability.dtype, probability.device
        return super().fire(probability - torch.rand(shape, generator=self.generator, dtype=dtype, device=device))

    def decide(self, x: Tensor) -> Decision:
        """Evaluation as every neuron; training in parallel, because no kernel draws."""
        if self.training and requested() != "loop":
            return Decision("parallel", "spikes are drawn in training")
        return super().decide(x)

    def _trace(self, dtype: torch.dtype) -> TracedStep | str:
        training, self.training = self.training, False
        try:
            return super()._trace(dtype)
        finally:
            self.training = training
