"""Limits of one neuron to another: two compartments, gates, branches and the PSN family."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.kernels.scan import linear_scan
from spikeworks.layers import Recurrent
from spikeworks.neurons import (
    DHLIF,
    GSN,
    LIF,
    LSTMLIF,
    PSN,
    SURROGATES,
    TCLIF,
    AdaptiveTCLIF,
    MaskedPSN,
    Neuron,
    Reset,
    SlidingPSN,
    StochasticPSN,
    Surrogate,
    TwoCompartment,
)


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def current(*shape: int, seed: int = 1) -> torch.Tensor:
    return 0.8 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 0.3


def gradients(neuron: Neuron, x, names=()):
    """Spikes, gradient of the input, gradients of parameters, for a random functional of the spikes."""
    x = x.clone().requires_grad_()
    neuron.zero_grad()
    y, _ = neuron(x)
    (y * current(*y.shape, seed=7)).sum().backward()
    return [y.detach(), x.grad, *(getattr(neuron, f"stored_{n}").grad for n in names)]


def filled(neuron: Neuron, **values) -> Neuron:
    """The neuron with stored tensors replaced."""
    with torch.no_grad():
        for name, value in values.items():
            getattr(neuron, f"stored_{name}").copy_(torch.as_tensor(value))
    return neuron


def powers(steps: int, decay: float, window: int | None = None) -> torch.Tensor:
    """``decay ** (i - j)`` where j is one of the last ``window`` steps up to i, else 0."""
    gap = torch.arange(steps).unsqueeze(1) - torch.arange(steps)
    return torch.where((gap >= 0) & (gap < (window or steps)), decay ** gap.clamp(min=0), 0.0)


class OneBranch(DHLIF):
    """DH-LIF behind a single tensor, for the table."""

    def forward(self, x, state=None):
        return super().forward((x,), state)


class BothAlike(GSN):
    """GSN with separate currents, given the same one twice."""

    def forward(self, x, state=None):
        return super().forward((x, x), state)


class SumFirst(LIF):
    """LIF of the sum of branch currents."""

    def forward(self, x, state=None):
        return super().forward(x[0] + x[1], state)


BEFORE = Reset(order="before_charge")
ARCTAN = Surrogate(kind="arctan")
MADE = {"generator": torch.Generator().manual_seed(0)}
COUPLED = ("to_dendrite", "to_soma")
FIXED_LEAKS = ("to_dendrite", "to_soma", "dendrite_slope", "dendrite_offset", "soma_slope", "soma_offset")
NO_LEAK = {"dendrite_leak": 0.0, "soma_leak": 0.0, "trainable": FIXED_LEAKS}
PLAIN = {"decay": 0.9, "reset": Reset(kind="none"), "surrogate": ARCTAN}

LIMITS: dict[str, tuple[Callable[[], Neuron], Callable[[], Neuron], tuple[str, ...]]] = {
    "LSTM-LIF = TC-LIF, paper form, no dendritic reset": (
        lambda: LSTMLIF(6),
        lambda: TCLIF(6, reset_form="paper", dendritic_reset=0.0),
        COUPLED,
    ),
    "adaptive TC-LIF without leaks = TC-LIF, paper form": (
        lambda: AdaptiveTCLIF(6, **NO_LEAK),
        lambda: TCLIF(6, reset_form="paper"),
        COUPLED,
    ),
    "adaptive TC-LIF without leaks = TC-LIF, code form": (
        lambda: AdaptiveTCLIF(6, reset_form="code", **NO_LEAK),
        lambda: TCLIF(6),
        COUPLED,
    ),
    "adaptive TC-LIF with fixed gates = two compartments that decay": (
        lambda: AdaptiveTCLIF(6, dendrite_leak=0.3, soma_leak=0.1, dendrite_slope=0.0, soma_slope=0.0),
        lambda: TwoCompartment(6, dendrite_decay=0.85, soma_decay=0.95, dendritic_reset=0.5),
        (),
    ),
    "two compartments without decay = LSTM-LIF": (lambda: TwoCompartment(6), lambda: LSTMLIF(6), ()),
    "two compartments, uncoupled back, dendrite forgets = LIF": (
        lambda: TwoCompartment(6, dendrite_decay=0.0, to_dendrite=0.0, to_soma=1.0, soma_decay=0.8),
        lambda: LIF(6, decay=0.8, reset=BEFORE),
        (),
    ),
    "DH-LIF, one branch that forgets = LIF": (
        lambda: OneBranch(6, branches=1, branch_decay=0.0, decay=0.8, trainable=()),
        lambda: LIF(6, decay=0.8, reset=BEFORE),
        (),
    ),
    "DH-LIF, low-pass soma = LIF with the low-pass gain": (
        lambda: OneBranch(6, branches=1, branch_decay=0.0, decay=0.3, gain="one_minus_decay", trainable=()),
        lambda: LIF(6, decay=0.3, gain="one_minus_decay", reset=BEFORE),
        (),
    ),
    "GSN with equal currents = GSN with one": (
        lambda: BothAlike(6, shared=False, gate_bias=0.2, cell_bias=-0.1),
        lambda: GSN(6, gate_bias=0.2, cell_bias=-0.1),
        ("gate_bias", "cell_bias"),
    ),
    "GSN with the gate shut = threshold on the candidate": (
        lambda: BothAlike(6, shared=False, gate_bias=-800.0, cell_bias=0.3, trainable=()),
        lambda: filled(LIF(6, decay=0.0, reset=Reset(kind="none")), threshold=0.0),
        ("shift",),
    ),
    "sliding PSN = PSN with a band of taps": (
        lambda: filled(SlidingPSN(6, window=5, surrogate=ARCTAN), taps=0.5 ** torch.arange(5)),
        lambda: filled(PSN(6, steps=80), weight=powers(80, 0.5, window=5)),
        (),
    ),
    "LIF without reset = PSN with powers of the decay": (
        lambda: LIF(6, **PLAIN),
        lambda: filled(PSN(6, steps=80), weight=powers(80, 0.9)),
        (),
    ),
    "masked PSN = sliding PSN": (
        lambda: filled(MaskedPSN(6, steps=80, window=5), weight=powers(80, 0.5)),
        lambda: filled(SlidingPSN(6, window=5, surrogate=ARCTAN), taps=0.5 ** torch.arange(5)),
        (),
    ),
    "masked PSN without its mask = PSN": (
        lambda: filled(MaskedPSN(6, steps=80, blend=0.0), weight=0.2 * current(80, 80, seed=5)),
        lambda: filled(PSN(6, steps=80), weight=0.2 * current(80, 80, seed=5)),
        ("weight", "bias"),
    ),
}


@pytest.mark.parametrize("backend", ["loop", "auto"])
@pytest.mark.parametrize("limit", LIMITS)
def test_limit(limit, backend):
    left, right, names = LIMITS[limit]
    a, b, x = left(), right(), current(80, 3, 6)
    shift = 0.3 if names == ("shift",) else 0.0
    names = () if shift else names
    results = []
    for neuron, signal in ((a, x), (b, x + shift)):
        stepped = not getattr(neuron, "whole_sequence", False)
        with kernels.use(backend if stepped else "auto"):
            results.append(gradients(neuron, signal, names))
    found, expected = results
    assert torch.equal(found[0], expected[0]) and 0.02 < found[0].mean() < 0.98
    assert found[1].abs().sum() > 0
    assert_close(found[1:], expected[1:], rtol=1e-8, atol=1e-10)


# -- two compartments, sheet 06 -----------------------------------------------------------


def wandering(neuron: Neuron, steps: int) -> torch.Tensor:
    """The largest potential of either compartment over time, without input and without firing."""
    state = neuron.state_class(*(torch.full((1, 4), v) for v in ([1.0, 0.0, 0.0][: len(neuron.states)])))
    sizes = []
    for _ in range(steps // 50):
        _, state = neuron(torch.zeros(50, 1, 4), state)
        sizes.append(torch.stack(list(state[:2])).abs().max())
    return torch.stack(sizes)


@pytest.mark.parametrize(
    "quadrant, to_dendrite, to_soma, diverges",
    [(1, 0.5, 0.5, True), (2, -0.5, 0.5, False), (3, -0.5, -0.5, True), (4, 0.5, -0.5, False)],
)
def test_couplings_of_equal_signs_diverge(quadrant, to_dendrite, to_soma, diverges):
    neuron = TwoCompartment(4, to_dendrite=to_dendrite, to_soma=to_soma, threshold=1e30)
    sizes = wandering(neuron, 200)
    assert (sizes[-1] > 1e6) == diverges
    assert diverges or sizes.max() < 4


def test_map_below_threshold_has_the_stated_determinant_and_trace():
    values = {"dendrite_decay": 0.9, "soma_decay": 0.7, "to_dendrite": -0.4, "to_soma": 0.6}
    neuron = TwoCompartment(1, threshold=1e9, **values)
    columns = []
    for d, u in ((1.0, 0.0), (0.0, 1.0)):
        state = neuron.state_class(*(torch.full((1, 1), v) for v in (d, u, 0.0)))
        columns.append(torch.cat(neuron(torch.zeros(1, 1, 1), state)[1][:2]).flatten())
    matrix = torch.stack(columns, 1)
    assert torch.linalg.det(matrix).item() == pytest.approx(0.9 * 0.7)
    assert matrix.trace().item() == pytest.approx(0.9 + 0.7 - 0.4 * 0.6)


def test_frozen_maps_of_the_adaptive_neuron_never_grow():
    draw = torch.rand(20_000, 4, generator=torch.Generator().manual_seed(0))
    a_d, a_s, b1, b2 = draw[:, 0], draw[:, 1], -draw[:, 2], draw[:, 3]
    maps = torch.stack([a_d, b1, b2 * a_d, a_s + b1 * b2], 1).reshape(-1, 2, 2)
    assert torch.linalg.eigvals(maps).abs().max() <= 1 + 1e-12


def test_adaptive_memory_fades_faster_where_the_neuron_fires():
    neuron = AdaptiveTCLIF(4, dendrite_leak=0.2, soma_leak=0.2, dendrite_slope=4.0, soma_slope=4.0, threshold=1e30)
    ends = []
    for trace in (0.0, 1.0):
        state = neuron.state_class(*(torch.full((1, 4), v) for v in (1.0, 0.0, 0.0, trace)))
        _, state = neuron(torch.zeros(10, 1, 4), state)
        ends.append(state.dendrite.square().sum() + state.soma.square().sum())
        assert_close(state.trace, torch.full((1, 4), trace * 0.95**10))
    assert ends[1] < 0.6 * ends[0]


# -- GSN, sheet 04 ------------------------------------------------------------------------


def test_gsn_with_the_gate_open_keeps_its_state():
    neuron = GSN(6, shared=False, gate_bias=800.0)
    _, (cell,) = neuron((current(50, 3, 6), current(50, 3, 6, seed=2)), (torch.full((3, 6), 0.4),))
    assert torch.equal(cell, torch.full((3, 6), 0.4))


def test_gsn_without_feedback_is_a_linear_recurrence_with_known_gates():
    neuron = GSN(6, generator=torch.Generator().manual_seed(1))
    x = current(40, 3, 6) - 0.3
    keep = torch.sigmoid(x + neuron.gate_bias)
    drive, cell, cells = (1 - keep) * (x + neuron.cell_bias), torch.zeros(3, 6), []
    for t in range(40):
        cell = keep[t] * cell + drive[t]
        cells.append(cell)
    y, (end,) = neuron(x)
    assert torch.equal(y, (torch.stack(cells) >= 0).double()) and 0.1 < y.mean() < 0.9
    assert_close(end, cells[-1])
    # a constant gate is the recurrence of a scan
    steady = GSN(6, shared=False, gate_bias=0.5, cell_bias=0.0, trainable=())
    decay = torch.sigmoid(torch.tensor(0.5))
    scanned = linear_scan((1 - decay) * x, decay)
    assert torch.equal(steady((torch.zeros_like(x), x))[0], (scanned >= 0).double())


def test_gsn_hears_itself_through_a_recurrent_layer():
    layer = Recurrent(GSN(6, generator=torch.Generator().manual_seed(1)), generator=torch.Generator().manual_seed(2))
    x, neuron = current(40, 3, 6) - 0.3, layer.neuron
    cell, last, spikes = torch.zeros(3, 6), torch.zeros(3, 6), []
    for t in range(40):
        a = x[t] + last @ layer.synapse.weight.T + layer.synapse.bias
        keep = torch.sigmoid(a + neuron.gate_bias)
        cell = keep * cell + (1 - keep) * (a + neuron.cell_bias)
        last = (cell >= 0).double()
        spikes.append(last)
    assert torch.equal(layer(x)[0], torch.stack(spikes))


def test_gsn_biases_start_within_the_stated_bound():
    neuron = GSN(400, generator=torch.Generator().manual_seed(0))
    for bias in (neuron.gate_bias, neuron.cell_bias):
        assert 0.04 < bias.abs().max() <= 1 / 20 and bias.mean().abs() < 0.005


# -- DH-LIF -------------------------------------------------------------------------------


def test_dh_lif_branches_that_forget_are_lif_of_the_sum():
    x = (0.5 * current(60, 3, 6), 0.5 * current(60, 3, 6, seed=2))
    branched = DHLIF(6, branches=2, branch_decay=0.0, decay=0.8, trainable=())
    assert torch.equal(branched(x)[0], SumFirst(6, decay=0.8, reset=BEFORE)(x)[0])


def test_dh_lif_branches_are_low_pass_filters_of_their_own():
    neuron = DHLIF(6, branches=2, threshold=1e9, decay=0.0, trainable=("branch_decay",), **MADE)
    x = (current(30, 3, 6), current(30, 3, 6, seed=2))
    _, state = neuron(x)
    for k, signal in enumerate(x):
        decay = neuron.branch_decay[:, k]
        assert_close(state[k], linear_scan((1 - decay) * signal, decay)[-1])
    assert_close(state.voltage, state.dendrite1 + state.dendrite2)
    decays = DHLIF(500, **MADE).branch_decay
    assert 0.5 <= decays.min() < 0.51 and 0.98 < decays.max() < 0.983


# -- PSN family ---------------------------------------------------------------------------


def test_psn_by_hand_and_a_short_sequence_as_if_zeros_followed():
    neuron, x = PSN(6, steps=40, **MADE), 4 * current(40, 3, 6)
    expected = (torch.einsum("ij,jbn->ibn", neuron.weight, x) + neuron.bias.reshape(-1, 1, 1) >= 0).double()
    assert torch.equal(neuron(x)[0], expected) and 0 < expected.mean() < 1
    padded = torch.cat([x[:25], torch.zeros(15, 3, 6)])
    assert torch.equal(neuron(x[:25])[0], neuron(padded)[0][:25])


@pytest.mark.parametrize("window, blend", [(1, 1.0), (7, 1.0), (7, 0.4), (40, 0.0)])
def test_masked_psn_sees_its_window_alone(window, blend):
    neuron = filled(MaskedPSN(6, steps=40, window=window, blend=blend), weight=0.3 * current(40, 40, seed=5))
    x = current(40, 2, 6).requires_grad_()
    neuron(x)[0][20].sum().backward()
    seen = x.grad.abs().sum((1, 2)) > 0
    inside = (torch.arange(40) > 20 - window) & (torch.arange(40) <= 20)
    assert (seen == (inside | (blend < 1))).all()
    factor = blend * inside + (1 - blend)
    assert_close(neuron.coefficients(**neuron.values())["weight"][20], neuron.weight[20] * factor)
    reached = int((inside | (blend < 1)).sum())
    row = neuron.support()[20]
    assert int((row != 0).sum()) == reached


def test_blend_follows_a_schedule():
    neuron = MaskedPSN(6, steps=40, blend=0.0)
    neuron.set_blend(0.25)
    assert neuron.blend.item() == 0.25 and "stored_blend" in neuron.state_dict()
    with pytest.raises(ConfigError, match=r"MaskedPSN.blend must lie in \[0, 1\], got 1.5"):
        neuron.set_blend(1.5)


@pytest.mark.parametrize("neuron, macs", [(PSN(6, steps=50), 40), (MaskedPSN(6, steps=50, window=5), 4.75)])
def test_operations_of_psn_are_the_products_that_reach_a_step(neuron, macs):
    x = torch.rand(40, 3, 6)
    counted = neuron.operations(x, neuron(x)[0])
    assert counted.macs == pytest.approx(macs * x.numel())


def test_psn_beyond_its_length_and_in_parts_is_named():
    with pytest.raises(
        ShapeError, match=r"PSN was built for at most 20 steps, got 21.\n  Hint: build it with steps=21"
    ):
        PSN(3, steps=20)(torch.rand(21, 2, 3))
    with pytest.raises(ConfigError, match="cannot hear its own spikes"):
        Recurrent(MaskedPSN(3))(torch.rand(9, 2, 3))
    with kernels.use("loop"), pytest.raises(Exception, match="PSN has no step"):
        PSN(3)(torch.rand(9, 2, 3))
    with pytest.raises(ConfigError, match="at least one step, got steps=0"):
        PSN(3, steps=0)
    with pytest.raises(ConfigError, match="window of at least one step, got window=0"):
        MaskedPSN(3, window=0)
    with pytest.raises(ConfigError, match="PSN shares its weights"):
        PSN(3, per_channel=("weight",))
    with pytest.raises(ConfigError, match="follows a schedule and is not trained"):
        MaskedPSN(3, trainable=("blend",))


# -- stochastic PSN -----------------------------------------------------------------------


def drawing(seed: int = 3) -> StochasticPSN:
    neuron = StochasticPSN(6, window=4)
    neuron.generator = torch.Generator().manual_seed(seed)
    return neuron


def test_stochastic_psn_fires_with_its_probability_and_its_gradient():
    neuron, x = drawing(), current(20, 1, 6)
    many = x.expand(20, 4000, 6).clone().requires_grad_()
    y, _ = neuron(many)
    assert set(y.unique().tolist()) == {0.0, 1.0}
    taps, past = neuron.taps, torch.cat([torch.zeros(3, 1, 6), x])
    probability = torch.sigmoid(sum(taps[i] * past[3 - i : 23 - i] for i in range(4)) - neuron.threshold)
    assert (y.mean(1, keepdim=True) - probability).abs().max() < 5 * 0.5 / 4000**0.5
    y[7].sum().backward()
    slope = (probability * (1 - probability))[7]
    for i in range(4):
        assert_close(many.grad[7 - i], (slope * taps[i]).expand(4000, 6))


def test_stochastic_psn_sends_the_mean_of_its_probability_without_drawing():
    neuron = drawing().eval()
    levels = torch.linspace(0.2, 1.0, 6).expand(1000, 2, 6)
    with torch.no_grad():
        y, state = neuron(levels)
        probability = torch.sigmoid(levels[0] * neuron.taps.sum() - neuron.threshold)
    assert (y.mean(0) - probability).abs().max() < 0.01  # drawn, it would stray by 0.016 on average
    assert (y[:50].mean(0) - probability).abs().max() < 0.06
    assert torch.equal(neuron(levels)[0], y)
    assert len(neuron.rest(levels).phase[0].unique()) == 6  # neurons do not fire in step
    assert torch.equal(state.phase, (neuron.rest(levels).phase + 1000 * 10125 / 2**14) % 1)


def test_stochastic_psn_passes_the_gradient_of_its_probability_in_evaluation():
    neuron, x = drawing().eval(), current(30, 3, 6).requires_grad_()
    weights = current(30, 3, 6, seed=7)
    (neuron(x)[0] * weights).sum().backward()
    found, x.grad = x.grad, None
    past = torch.cat([torch.zeros(3, 3, 6), x])
    filtered = sum(neuron.taps[i] * past[3 - i : 33 - i] for i in range(4))
    (torch.sigmoid(filtered - neuron.threshold) * weights).sum().backward()
    assert_close(found, x.grad)


def test_stochastic_psn_draws_the_same_in_every_form_and_in_parts():
    x = current(30, 3, 6)
    whole = drawing()(x)[0]
    with kernels.use("loop"):
        assert torch.equal(drawing()(x)[0], whole)
    neuron, state, parts = drawing(), None, []
    for part in x.split([11, 1, 18]):
        y, state = neuron(part, state)
        parts.append(y)
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(drawing(4)(x)[0], whole)


def test_stochastic_psn_draws_in_a_recurrent_layer_too():
    layer = Recurrent(drawing(), generator=torch.Generator().manual_seed(0))
    x = current(30, 3, 6)
    first, second = layer(x)[0], layer(x)[0]
    assert not torch.equal(first, second)
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])


def test_stochastic_psn_evaluates_by_a_kernel_after_training():
    neuron = drawing()
    assert neuron.decide(current(2, 1, 6)).backend == "parallel"
    assert neuron.graph(torch.float64) is neuron.eval().graph(torch.float64)
    assert neuron.decide(current(2, 1, 6)).backend in ("c", "parallel")


# -- surrogates ---------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["loop", "c", "torch"])
@pytest.mark.parametrize("kind", SURROGATES.names())
def test_gradient_of_the_threshold_is_minus_the_sum_over_spikes(kind, backend):
    surrogate = Surrogate(kind=kind, width=0.8)
    neuron = LIF(6, decay=0.0, reset=Reset(kind="none"), trainable=("threshold",), surrogate=surrogate)
    x = current(40, 3, 6)
    with kernels.use(backend):
        y, _ = neuron(x)
    weights = current(*y.shape, seed=7)
    (y * weights).sum().backward()
    expected = -(weights * surrogate.derivative(x - 1.0)).sum()  # the threshold is stored as its logarithm: factor 1
    assert_close(neuron.stored_threshold.grad, expected)
