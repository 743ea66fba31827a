"""Every surrogate has the area, peak and symmetry that its row states."""

from __future__ import annotations

import math

import pytest
import torch

from spikeworks.core.errors import ConfigError, UnknownName
from spikeworks.neurons import SURROGATES, Surrogate, spike


@pytest.mark.parametrize("width", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("kind", SURROGATES.names())
def test_area_peak_and_symmetry(kind, width):
    surrogate = Surrogate(kind=kind, width=width)
    peak = surrogate.derivative(torch.zeros(1, dtype=torch.float64)).item()
    assert peak == pytest.approx(surrogate.form.peak(width), rel=1e-9)
    x = torch.linspace(0.01, 5, 500, dtype=torch.float64)
    assert torch.allclose(surrogate.derivative(x), surrogate.derivative(-x))
    area = surrogate.form.area(width)
    if math.isfinite(area):
        # substitution x = tan(u) covers the whole line, so heavy tails are included
        u = (torch.arange(2_000_000, dtype=torch.float64) + 0.5) / 2_000_000 * math.pi - math.pi / 2
        values = surrogate.derivative(torch.tan(u)) / torch.cos(u) ** 2
        assert (values.mean() * math.pi).item() == pytest.approx(area, rel=1e-3)


def test_spike_is_one_at_threshold_and_uses_the_derivative():
    x = torch.tensor([-0.5, 0.0, 0.5], requires_grad=True)
    y = spike(x, Surrogate(kind="triangle"))
    assert y.tolist() == [0.0, 1.0, 1.0]
    y.sum().backward()
    assert x.grad.tolist() == [0.5, 1.0, 0.5]


def test_bad_values_are_named():
    with pytest.raises(UnknownName, match="Did you mean 'triangle'"):
        Surrogate(kind="triangel")
    with pytest.raises(ConfigError, match="above 0, got -1"):
        Surrogate(width=-1.0)
