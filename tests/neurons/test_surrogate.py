"""Every surrogate has the area, peak, symmetry and support that its row states."""

from __future__ import annotations

import math

import pytest
import torch

from spikeworks import kernels
from spikeworks.core.config import from_dict, to_dict
from spikeworks.core.errors import ConfigError, UnknownName
from spikeworks.neurons import LIF, SURROGATES, Surrogate, WidthSchedule, spike

KINDS = SURROGATES.names()
WITH_SHAPE = [kind for kind in KINDS if SURROGATES.get(kind).shape is not None]


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def integral(surrogate: Surrogate) -> float:
    """By the substitution x = tan(u), which covers the whole line, so heavy tails are included."""
    u = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000 * math.pi - math.pi / 2
    return (surrogate.derivative(torch.tan(u)) / torch.cos(u) ** 2).mean().item() * math.pi


@pytest.mark.parametrize("width", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("kind", KINDS)
def test_area_and_peak(kind, width):
    surrogate = Surrogate(kind=kind, width=width)
    assert surrogate.derivative(double(0.0)).item() == pytest.approx(surrogate.peak, rel=1e-9)
    if math.isfinite(surrogate.area):
        assert integral(surrogate) == pytest.approx(surrogate.area, rel=1e-3)
    else:  # the part within a growing interval does not settle
        reached = [
            surrogate.derivative(torch.linspace(-r, r, 200_001).double()).mean().item() * 2 * r for r in (50, 500)
        ]
        assert reached[1] > reached[0] + 0.5


@pytest.mark.parametrize("kind, shape", [("q-pseudo-spike", 1.56), ("multi-level", 2.0), ("piecewise-leaky", 0.0)])
def test_area_follows_the_shape(kind, shape):
    surrogate = Surrogate(kind=kind, width=0.7, shape=shape)
    assert integral(surrogate) == pytest.approx(surrogate.area, rel=1e-3)


@pytest.mark.parametrize("width", [0.3, 2.5])
@pytest.mark.parametrize("kind", KINDS)
def test_symmetry_and_support(kind, width):
    surrogate = Surrogate(kind=kind, width=width)
    x = torch.linspace(0.01, 5, 500, dtype=torch.float64)
    assert torch.allclose(surrogate.derivative(x), surrogate.derivative(-x)) == surrogate.form.symmetric
    low, high = surrogate.form.support(width, surrogate.second)
    if math.isinf(low):
        assert (surrogate.derivative(double(-3 * width, 3 * width)) != 0).all()
    else:
        assert (surrogate.derivative(double(low - 1e-6, high + 1e-6, 100.0)) == 0).all()
        assert (surrogate.derivative(double(low + 1e-6, high - 1e-6)) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_width_as_a_scalar_tensor_is_the_same_form(kind):
    surrogate, x = Surrogate(kind=kind, width=0.7), torch.linspace(-3, 3, 401, dtype=torch.float64)
    given = surrogate.derivative(x, torch.tensor(1 / 0.7, dtype=torch.float64))
    assert torch.allclose(given, surrogate.derivative(x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_kernels_know_every_form(kind):
    neuron = LIF(7, surrogate=Surrogate(kind=kind, width=0.6)).double()
    gradients = []
    for backend in ("loop", "c"):
        x = torch.linspace(-1, 2, 7 * 2 * 30, dtype=torch.float64).reshape(30, 2, 7).requires_grad_()
        with kernels.use(backend):
            neuron(x)[0].mean().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-12)


def test_rows_by_hand():
    x = double(-0.5, 0.5, 1.0, 2.2)

    def g(kind, **values):
        return Surrogate(kind=kind, **values).derivative(x).tolist()

    assert g("leaky", shape=0.2) == [0.2, 1, 1, 1]
    assert g("piecewise-leaky", width=0.8) == [0.625, 0.625, 0.01, 0.01]
    assert g("multi-level", shape=2) == [1, 1, 1, 0]
    assert g("multi-level", width=0.4, shape=2) == [0, 0, 0, 0]
    assert g("soft-sign", width=0.5) == pytest.approx([1 / 4, 1 / 4, 1 / 9, 1 / 5.4**2])
    assert g("q-pseudo-spike", shape=3) == pytest.approx([1.5**-3, 1.5**-3, 2**-3, 3.2**-3])
    assert g("periodic-exponential", width=0.5) == pytest.approx([math.exp(-1), math.exp(-1), 1, math.exp(-0.4)])
    sigmoid = 1 / (1 + math.exp(2))
    assert g("s2nn") == pytest.approx([4 * sigmoid * (1 - sigmoid), 1 / 1.5, 1 / 2, 1 / 3.2])
    halves = Surrogate(kind="double-exponential", width=0.5).derivative(x)
    assert g("single-exponential", width=0.5) == pytest.approx((2 * halves).tolist())


def test_spike_is_one_at_threshold_and_uses_the_derivative():
    x = torch.tensor([-0.5, 0.0, 0.5], requires_grad=True)
    y = spike(x, Surrogate(kind="triangle"))
    assert y.tolist() == [0.0, 1.0, 1.0]
    y.sum().backward()
    assert x.grad.tolist() == [0.5, 1.0, 0.5]


@pytest.mark.parametrize("kind, middle", [("linear", 1.25), ("exponential", 1.0), ("cosine", 1.25)])
def test_width_schedules(kind, middle):
    schedule = WidthSchedule(stop=0.5, kind=kind, over=0.8)
    widths = [schedule.width(2.0, p) for p in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]
    assert widths[0] == 2.0 and widths[2] == pytest.approx(middle) and widths[4:] == pytest.approx([0.5, 0.5])
    assert widths == sorted(widths, reverse=True)
    quarter = {"linear": 1.625, "exponential": 2**0.5, "cosine": 2 - 1.5 * (0.5 - 0.5 * math.cos(math.pi / 4))}
    assert widths[1] == pytest.approx(quarter[kind])
    assert from_dict(WidthSchedule, to_dict(schedule)) == schedule


@pytest.mark.parametrize("kind", WITH_SHAPE)
def test_shapes_out_of_range_are_named(kind):
    low = SURROGATES.get(kind).shape.low
    with pytest.raises(ConfigError, match=f"shape of the surrogate '{kind}' .* must be .* {low:g}, got"):
        Surrogate(kind=kind, shape=low - 0.5)


def test_bad_values_are_named():
    with pytest.raises(UnknownName, match="Did you mean 'triangle'"):
        Surrogate(kind="triangel")
    for width in (-1.0, 0.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match=f"above 0, got {width}"):
            Surrogate(width=width)
    with pytest.raises(ConfigError, match="'triangle' has a width alone, got shape=2"):
        Surrogate(shape=2.0)
    with pytest.raises(ConfigError, match="stop above 0, got stop=0"):
        WidthSchedule(stop=0.0)
    with pytest.raises(ConfigError, match=r"in \(0, 1\], got over=1.5"):
        WidthSchedule(over=1.5)
    with pytest.raises(ConfigError, match="linear, exponential or cosine, got 'cubic'"):
        WidthSchedule(kind="cubic")
