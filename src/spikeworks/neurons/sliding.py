"""Sliding PSN: a threshold on a causal filter of the input, without reset."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..core.errors import ConfigError
from ..kernels.scan import causal_filter, planned_forms
from .base import Neuron
from .description import Option, register_neuron
from .parameters import Parameter, above_zero, real


def _halving(neuron: Neuron, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    powers = 0.5 ** torch.arange(shape[-1], dtype=torch.float64)
    return powers.expand(shape).clone()


@register_neuron("sliding-psn")
class SlidingPSN(Neuron):
    """Sliding parallel spiking neuron: ``h[t] = sum_i taps[i] x[t-i]``, fire where ``h >= threshold``.

    No reset; the memory is the last ``taps - 1`` inputs, kept as states ``past1, past2, ...``.
    Taps start at 1, 1/2, 1/4, ...; with taps ``decay ** i`` it is LIF without reset, cut off.

    Args (as configuration):
        window: number of taps k, this step included.

    Source: arXiv 2304.12760.
    """

    taps = Parameter(None, real, inner="window", initial=_halving, doc="weight of the input i steps ago")
    threshold = Parameter(1.0, above_zero, doc="firing threshold (the bias of the source with its sign changed)")
    window = Option(16, "number of taps")

    def prepare(self) -> None:
        if self.window < 1:
            raise ConfigError(f"The sliding PSN needs at least one tap, got window={self.window}.")
        self.states = tuple(f"past{i}" for i in range(1, self.window))

    def step(self, x: Tensor, *past: Tensor, taps: Sequence[Tensor], threshold: Tensor) -> Sequence[Tensor]:
        filtered = taps[0] * x
        for tap, earlier in zip(taps[1:], past, strict=True):
            filtered = filtered + tap * earlier
        fired = self.fire(filtered - threshold)
        return (fired, x, *past[:-1]) if past else (fired,)

    def parallel(  # type: ignore[override]
        self, x: Tensor, *past: Tensor, taps: Sequence[Tensor], threshold: Tensor
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """All steps at once; forms and costs: :mod:`spikeworks.kernels.scan.window`."""
        before = torch.stack(past[::-1]) if past else x[:0]
        filtered = causal_filter(x, before, torch.stack(list(taps)))
        recent = torch.cat([before, x])[-len(past) :].flip(0).unbind(0) if past else ()
        return self.fire(filtered - threshold), recent

    def parallel_form(self, x: Tensor) -> tuple[str, str]:
        """The form of the filter that :meth:`parallel` takes for ``x [T, B, size, ...]``, and why."""
        return planned_forms(x, "window", window=self.window)
