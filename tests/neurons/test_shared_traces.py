"""Neurons that are alike are traced once; neurons whose step may differ are not."""

from __future__ import annotations

import torch
from torch import Tensor

from spikeworks.neurons import LIF, Neuron, Parameter


class Scaled(Neuron):
    """A step that reads more of its module than coefficients."""

    states = ("voltage",)
    threshold = Parameter(1.0, trainable=False)

    def __init__(self, size: int, factor: float) -> None:
        super().__init__(size)
        self.factor = factor

    def step(self, x: Tensor, voltage: Tensor, *, threshold: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        charged = voltage + self.factor * x
        spike = self.fire(charged - threshold)
        return spike, charged - threshold * spike


class Buffered(Neuron):
    """Holds a tensor that is no declared parameter."""

    states = ("voltage",)

    def __init__(self, size: int, gain: float) -> None:
        super().__init__(size)
        self.register_buffer("gain", torch.tensor(gain))


def test_alike_neurons_share_one_trace() -> None:
    a, b, other = LIF(3), LIF(5, generator=torch.Generator()), LIF(3, decay=0.5, trainable=())
    assert a._trace(torch.float32) is b._trace(torch.float32)
    assert a._trace(torch.float64) is not a._trace(torch.float32)
    assert other.config != a.config and other._trace(torch.float32) is not a._trace(torch.float32)


def test_what_a_step_reads_beside_its_coefficients_tells_neurons_apart() -> None:
    x = torch.full((4, 1, 2), 0.6)
    counts = [Scaled(2, factor)(x)[0].sum().item() for factor in (1.0, 0.1, 2.0, 1.0)]
    assert counts[0] == counts[3] > counts[1]
    assert counts[2] > counts[0]


def test_neurons_with_tensors_of_their_own_are_like_no_other() -> None:
    neuron = Buffered(2, 1.0)
    assert neuron._likeness(torch.float32, {}) is None
    assert LIF(2)._likeness(torch.float32, {}) is not None
