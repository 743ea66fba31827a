"""Limits of one neuron to another: with these settings two names are one model, in values and gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from spikeworks.core.errors import ConfigError, UnknownName
from spikeworks.neurons import (
    ALIF,
    CLIF,
    IF,
    ILIF,
    KLIF,
    LIF,
    LMH,
    PLIF,
    AdLIF,
    BalancedHarmonicRF,
    BalancedRF,
    CubaLIF,
    Izhikevich,
    Neuron,
    Reset,
    ResonateAndFire,
    SEAdLIF,
    Surrogate,
    decay_from_tau,
    expand_counts,
)

SIZE, SHAPE = 6, (80, 3, 6)


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class EulerLIF(LIF):
    """LIF as written with a time constant of 4 steps: the membrane goes a part of the way to its input."""

    def step(self, x, voltage, *, decay, threshold):
        charged = voltage + (x - voltage) / 4.0
        fired = self.fire(charged - threshold)
        return fired, self.reset(charged, fired, threshold)


class ScaledSoftLIF(LIF):
    """LIF that takes ``decay * threshold`` from the potential, in the step after the spike."""

    def step(self, x, voltage, spike, *, decay, threshold):
        charged = decay * voltage - decay * threshold * spike + x
        fired = self.fire(charged - threshold)
        return fired, charged, fired


@dataclasses.dataclass(frozen=True)
class Limit:
    """Two neurons that are one, for inputs ``factor * x`` and ``x`` and the given first states."""

    one: type[Neuron]
    settings: dict[str, Any]
    other: type[Neuron]
    others: dict[str, Any]
    positive: bool = False
    factor: float = 1.0
    start: Sequence[float] | None = None
    start_other: Sequence[float] | None = None


DELAYED = Reset(order="before_charge")
HARD = Reset(kind="hard")
NONE = Reset(kind="none")
LIMITS = {
    "if forgets nothing": Limit(IF, {}, LIF, {"decay": 1.0}),
    "if, hard reset": Limit(IF, {"reset": HARD}, LIF, {"decay": 1.0, "reset": HARD}),
    "plif starts as lif": Limit(PLIF, {"decay": 0.7}, LIF, {"decay": 0.7}),
    "hard reset in both orders": Limit(LIF, {"reset": HARD}, LIF, {"reset": Reset(kind="hard", order="before_charge")}),
    "soft reset in both orders, amounts scaled": Limit(
        LIF, {"decay": 0.8}, ScaledSoftLIF, {"decay": 0.8, "reset": DELAYED}
    ),
    "low pass gain": Limit(LIF, {"decay": 0.8, "gain": "one_minus_decay"}, LIF, {"decay": 0.8}, factor=5.0),
    "time constant by euler": Limit(
        LIF, {"decay": decay_from_tau(4.0, "euler"), "gain": "one_minus_decay"}, EulerLIF, {}, factor=1.0
    ),
    "cuba-lif without synaptic memory": Limit(CubaLIF, {"current_decay": 0.0}, LIF, {}),
    "alif without strength": Limit(ALIF, {"strength": 0.0, "surrogate": Surrogate()}, LIF, {"reset": DELAYED}),
    "alif without strength, reset at once": Limit(
        ALIF, {"strength": 0.0, "trace": "sum", "reset": Reset(), "surrogate": Surrogate()}, LIF, {}
    ),
    "traces of alif differ by a factor": Limit(
        ALIF, {"trace": "sum", "strength": 1.8 * (1 - 0.95), "adaptation_decay": 0.95}, ALIF, {"adaptation_decay": 0.95}
    ),
    "adlif without adaptation": Limit(
        AdLIF,
        {"decay": 0.9, "adaptation_decay": 0.98, "coupling": 0.0, "kick": 0.0, "surrogate": Surrogate()},
        LIF,
        {"decay": 0.9, "gain": "one_minus_decay"},
    ),
    "se-adlif without adaptation": Limit(
        SEAdLIF,
        {"decay": 0.9, "adaptation_decay": 0.99, "strength": 0.0, "gain": 1.0, "surrogate": Surrogate()},
        LIF,
        {"decay": 0.9, "gain": "one_minus_decay", "reset": Reset(kind="hard", detach=True)},
    ),
    "klif with slope 1 on positive input": Limit(KLIF, {"slope": 1.0}, LIF, {}, positive=True),
    "klif with scaled reset is lif with a scaled threshold and width": Limit(
        KLIF,
        {"slope": 2.0, "scale_reset": True},
        LIF,
        {"threshold": 0.5, "surrogate": Surrogate(width=0.5)},
        positive=True,
    ),
    # an infinitely negative complement adds nothing to the reset
    "clif without complement": Limit(CLIF, {}, LIF, {"decay": 0.5}, start=(0.0, -1e300)),
    "lmh without dendritic memory": Limit(
        LMH,
        {"soma_decay": 0.9, "to_soma": 1.0, "dendrite_decay": 0.0, "to_dendrite": 0.0},
        LIF,
        {"reset": Reset(detach=True)},
        start_other=(0.5,),
    ),
    # one level: the rounding threshold is half the threshold, the clip is a rectangle around it
    "i-lif with one level": Limit(
        ILIF,
        {"levels": 1, "reset": NONE},
        LIF,
        {"decay": 0.25, "threshold": 0.5, "reset": NONE, "surrogate": Surrogate(kind="rectangle")},
    ),
}


def current(*shape: int, seed: int = 1) -> torch.Tensor:
    return 0.8 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 0.3


def outcome(neuron: Neuron, x: torch.Tensor, factor: float, start: Sequence[float] | None):
    x = x.clone().requires_grad_()
    y, _ = neuron(factor * x, None if start is None else [torch.full(SHAPE[1:], value) for value in start])
    (y * current(*y.shape, seed=7)).sum().backward()
    return y.detach(), x.grad


@pytest.mark.parametrize("name", LIMITS)
def test_two_names_are_one_model(name):
    limit = LIMITS[name]
    x = current(*SHAPE).abs() if limit.positive else 2.0 * current(*SHAPE)
    one = outcome(limit.one(SIZE, **limit.settings), x, limit.factor, limit.start)
    other = outcome(limit.other(SIZE, **limit.others), x, 1.0, limit.start_other)
    assert other[0].mean() > 0.02
    assert_close(one[0], other[0], rtol=0, atol=1e-10)
    assert_close(one[1], other[1], rtol=1e-8, atol=1e-10)


def test_lsnn_and_srnn_reset_by_the_raised_threshold():
    x = torch.tensor([2.0, 0.0, 0.0]).reshape(3, 1, 1)
    lsnn = ALIF(1, decay=1.0, adaptation_decay=0.5, strength=0.4, trace="sum", reset=Reset(), trainable=())
    # the reset is by the threshold at the spike, 1; then it stands at 1 + 0.4, then at 1 + 0.2
    assert lsnn(x)[0].flatten().tolist() == [1.0, 0.0, 0.0]
    _, state = lsnn(x)
    assert_close(state.voltage.item(), 1.0)
    assert_close(state.adaptation.item(), 0.5)


# -- resonators ---------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["phase", "izhikevich"])
def test_rf_without_input_fades_by_its_decay(form):
    neuron = ResonateAndFire(3, decay=0.97, threshold=1e9, form=form)
    start = neuron.state_class(torch.full((1, 3), 0.8), torch.full((1, 3), -0.3))
    _, end = neuron(torch.zeros(200, 1, 3), start)
    modulus = torch.hypot(*end) / torch.hypot(*start)
    assert_close(modulus, torch.full((1, 3), 0.97**200), rtol=1e-10, atol=0)


def test_rf_spikes_once_a_turn_where_the_phase_passes_zero():
    neuron = ResonateAndFire(1, decay=1.0, period=8.0, threshold=0.5, trainable=())
    start = neuron.state_class(torch.full((1, 1), 1.0), torch.full((1, 1), -0.1))
    y, _ = neuron(torch.zeros(24, 1, 1), start)
    assert y.flatten().nonzero().flatten().tolist() == [0, 8, 16]
    jump, state = ResonateAndFire(1, form="izhikevich", threshold=0.5)(
        torch.zeros(1, 1, 1), neuron.state_class(torch.full((1, 1), 1.0), torch.full((1, 1), 1.0))
    )
    assert jump.item() == 1.0 and [s.item() for s in state] == [0.0, 0.5]


def test_brf_at_its_boundary_keeps_the_modulus():
    neuron = BalancedRF(50, offset=0.0, threshold=1e9, trainable=("frequency",), generator=torch.Generator())
    with torch.no_grad():
        neuron.stored_frequency.copy_(torch.logit(torch.linspace(0.001, 0.99, 50)))
    c = neuron.coefficients(**neuron.values())
    assert_close(torch.hypot(c["keep"], c["turn"]), torch.ones(50), rtol=0, atol=1e-12)
    start = neuron.state_class(torch.full((1, 50), 0.6), torch.full((1, 50), 0.2), torch.zeros(1, 50))
    _, end = neuron(torch.zeros(5000, 1, 50), start)
    assert_close(torch.hypot(end.real, end.imaginary), torch.hypot(start.real, start.imaginary), rtol=1e-9, atol=0)


def test_bhrf_damps_by_the_determinant_of_its_step():
    neuron = BalancedHarmonicRF(20, generator=torch.Generator().manual_seed(0))
    c = neuron.coefficients(**neuron.values())
    step, one = neuron.step_size, torch.ones(20)
    # (potential, displacement) -> (keep u - k (y + d u), y + d u)
    matrix = torch.stack([c["keep"] - c["stiffness"] * step, -c["stiffness"], step * one, one], -1).reshape(20, 2, 2)
    damping = step * neuron.frequency**2 / 2 + neuron.offset
    moduli = torch.linalg.eigvals(matrix).abs()
    assert_close(moduli.prod(-1), 1 - 2 * step * damping, rtol=0, atol=1e-12)
    assert moduli.max() < 1


def test_a_spike_of_brf_raises_threshold_and_damping():
    neuron = BalancedRF(1, frequency=0.0, offset=0.0, gain=100.0, trainable=())
    y, state = neuron(torch.tensor([2.0, 0.0, 1.5]).reshape(3, 1, 1))
    # 2 fires; then q = 1 damps by 0.01: 1.98 < 1 + 1; then q = 0.9: 1.98 * 0.991 + 1.5 >= 1.9
    assert y.flatten().tolist() == [1.0, 0.0, 1.0]
    assert_close(state.real.item(), 1.98 * 0.991 + 1.5)
    assert_close(state.refractory.item(), 0.81 + 1.0)


# -- Izhikevich ---------------------------------------------------------------------------


def intervals(behaviour: str, drive: float, steps: int = 1600) -> torch.Tensor:
    neuron = Izhikevich(1, behaviour=behaviour, gain=1.0, step_size=0.25)
    y, _ = neuron(torch.full((steps, 1, 1), drive))
    return y.flatten().nonzero().flatten().diff()


def test_izhikevich_rests_where_its_source_says():
    _, state = Izhikevich(2)(torch.zeros(400, 1, 2))
    assert_close(state.voltage, torch.full((1, 2), -70.0))
    assert_close(state.recovery, torch.full((1, 2), -14.0))


def test_izhikevich_patterns():
    regular = intervals("tonic-spiking", 14.0)
    assert len(regular) >= 4 and regular[-3:].max() - regular[-3:].min() <= 2
    burst = intervals("tonic-bursting", 15.0)
    assert burst.max() > 4 * burst.min()
    onset = Izhikevich(1, behaviour="phasic-spiking", gain=1.0, step_size=0.25)
    assert onset(torch.full((1600, 1, 1), 0.5))[0].sum() == 1
    with pytest.raises(UnknownName, match="Did you mean 'tonic-spiking'"):
        Izhikevich(1, behaviour="tonic-spikin")


def test_a_value_given_overrides_the_behaviour():
    neuron = Izhikevich(2, behaviour="resonator", recovery_rate=0.05)
    assert [round(getattr(neuron, n).item(), 6) for n in ("recovery_rate", "sensitivity")] == [0.05, 0.26]
    assert neuron.rest(torch.zeros(1, 3, 2)).recovery.tolist() == [[-62 * 0.26] * 2] * 3


# -- counts -------------------------------------------------------------------------------


def test_expanded_counts_give_the_same_sums_with_the_bias_once():
    counts, _ = ILIF(5, levels=4)(3 * current(7, 2, 5))
    assert set(counts.unique().tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}
    slots = expand_counts(counts, 4)
    assert slots.shape == (4, 7, 2, 5) and slots.unique().tolist() == [0.0, 1.0]
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(3, 5, generator=generator), torch.randn(3, generator=generator)
    linear = torch.nn.functional.linear
    assert_close(linear(slots, weight).sum(0) + bias, linear(counts, weight, bias), rtol=0, atol=1e-12)
    kernel, image = torch.randn(2, 1, 3, generator=generator), counts.reshape(14, 1, 5)
    convolve = torch.nn.functional.conv1d
    parts = torch.stack([convolve(s, kernel) for s in expand_counts(image, 4)]).sum(0)
    assert_close(parts, convolve(image, kernel), rtol=0, atol=1e-12)
    with pytest.raises(ConfigError, match="whole numbers from 0 to 3"):
        expand_counts(counts, 3)


def test_counts_are_the_nearest_number_of_thresholds():
    x = torch.tensor([-1.0, 0.49, 0.5, 0.74, 0.75, 1.0, 9.0]).reshape(1, 1, 7).requires_grad_()
    y, state = ILIF(7, threshold=0.5, levels=3)(x)
    assert y.flatten().tolist() == [0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 3.0]
    assert_close(state.voltage, x[0] - 0.5 * y[0])
    y.sum().backward()
    assert x.grad.flatten().tolist() == [0.0, 2.0, 2.0, 2.0, 2.0, 2.0, 0.0]


# -- settings out of range ----------------------------------------------------------------


def test_decays_from_time_constants():
    assert decay_from_tau(2.0, "euler") == 0.5 and decay_from_tau(1.0, "euler", step=0.1) == 0.9
    assert decay_from_tau(20.0, step=2.0) == pytest.approx(0.9048374180359595)
    with pytest.raises(ConfigError, match="form 'euler' must be at least one step, got tau=0.5"):
        decay_from_tau(0.5, "euler")
    with pytest.raises(ConfigError, match="form 'exp' must be above 0"):
        decay_from_tau(0.0)
    with pytest.raises(ConfigError, match="'exp' or 'euler', got 'ssm'"):
        decay_from_tau(2.0, "ssm")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: KLIF(3, reset=DELAYED), "KLIF resets in the step of the spike"),
        (lambda: LMH(3, reset=DELAYED), "LM-H resets in the step of the spike"),
        (lambda: SEAdLIF(3, reset=DELAYED), "SE-adLIF resets in the step of the spike"),
        (lambda: ILIF(3, reset=HARD), "soft or none"),
        (lambda: ILIF(3, levels=0), "at least 1, got levels=0"),
        (lambda: ALIF(3, trace="median"), "trace must be 'mean' or 'sum'"),
        (lambda: ResonateAndFire(3, form="lava"), "form must be 'phase' or 'izhikevich'"),
        (lambda: ResonateAndFire(3, period=3.0), r"ResonateAndFire.period must lie in \(4, inf\), got 3"),
        (lambda: BalancedRF(3, step_size=0.02), r"step_size must lie in \(0, 0.01\], got 0.02"),
        (lambda: BalancedRF(3, frequency=120.0), r"BalancedRF.frequency must lie in \(0, 100\), got 120"),
        (lambda: LMH(3, soma_decay=1.7), r"LMH.soma_decay must lie in \(0.5, 1.5\), got 1.7"),
    ],
)
def test_settings_out_of_range_are_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_if_has_neither_decay_nor_gain():
    with pytest.raises(KeyError, match="option of IF 'decay'"):
        IF(3, decay=0.9)
