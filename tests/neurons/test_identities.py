"""Limits of one neuron to another, and facts of their mathematics (sheets of the papers)."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.kernels.scan import modulo_scan
from spikeworks.kernels.scan import powers as powers_of
from spikeworks.neurons import ALIF, LIF, PLIF, PMSN, TCLIF, CubaLIF, Reset, SlidingPSN, Surrogate, config_for
from spikeworks.neurons.pmsn import coupling_matrix, eigenbasis


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def current(*shape: int, seed: int = 1) -> torch.Tensor:
    return 0.8 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 0.3


def gradients(neuron, x, names=()):
    x = x.clone().requires_grad_()
    y, _ = neuron(x)
    (y * current(*y.shape, seed=7)).sum().backward()
    return y.detach(), x.grad, [getattr(neuron, f"stored_{n}").grad for n in names]


def test_hard_reset_is_the_same_in_both_orders():
    x = current(80, 3, 6)
    after, before = (LIF(6, reset=Reset(kind="hard", order=o)) for o in ("after_fire", "before_charge"))
    assert_close(gradients(after, x)[:2], gradients(before, x)[:2], rtol=0, atol=1e-12)


def test_soft_reset_orders_differ_by_the_decay():
    x = current(80, 3, 6)
    after = LIF(6, decay=0.8, threshold=1.0)(x)[0]

    class Scaled(LIF):
        def step(self, x, voltage, spike=None, *, decay, threshold):
            fired, charged, _ = super().step(x, voltage, decay * spike, decay=decay, threshold=threshold)
            return fired, charged, fired

    before = Scaled(6, decay=0.8, threshold=1.0, reset=Reset(order="before_charge"))(x)[0]
    assert torch.equal(after, before)
    plain = LIF(6, decay=0.8, reset=Reset(order="before_charge"))(x)[0]
    assert not torch.equal(after, plain)


def test_plif_starts_as_lif():
    x = current(60, 2, 5)
    assert torch.equal(PLIF(5, decay=0.7)(x)[0], LIF(5, decay=0.7)(x)[0])


def test_alif_without_strength_is_lif():
    x = current(60, 2, 5)
    plain = LIF(5, reset=Reset(order="before_charge"), surrogate=Surrogate(kind="multi-gaussian", width=0.5))
    assert_close(gradients(ALIF(5, strength=0.0), x)[:2], gradients(plain, x)[:2], rtol=0, atol=1e-12)


def test_cuba_without_synaptic_memory_is_lif():
    x = current(60, 2, 5)
    assert_close(CubaLIF(5, current_decay=0.0)(x)[0], LIF(5)(x)[0])


def test_sliding_psn_with_geometric_taps_is_lif_without_reset():
    x = current(10, 2, 5)
    neuron = SlidingPSN(5, window=10)
    with torch.no_grad():
        neuron.stored_taps.copy_(0.9 ** torch.arange(10))
    assert torch.equal(neuron(x)[0], LIF(5, decay=0.9, reset=Reset(kind="none"))(x)[0])


def test_low_pass_gain():
    x = current(60, 2, 5)
    assert_close(LIF(5, decay=0.8, gain="one_minus_decay")(5 * x)[0], LIF(5, decay=0.8)(x)[0])


# -- TC-LIF, sheet 06 ---------------------------------------------------------------------


@pytest.mark.parametrize("amount, coupling, threshold", [(0.5, -0.5, 1.0), (0.7, -0.3, 1.5), (0.2, -0.8, 1.2)])
def test_tclif_code_form_is_paper_form_with_another_reset(amount, coupling, threshold):
    x = current(120, 3, 6)
    common = {"to_dendrite": coupling, "threshold": threshold}
    code = TCLIF(6, reset_form="code", dendritic_reset=amount, **common)
    paper = TCLIF(6, reset_form="paper", dendritic_reset=amount + coupling * threshold, **common)
    with kernels.use("loop"):
        a, b = gradients(code, x, ["to_soma"]), gradients(paper, x, ["to_soma"])
    assert torch.equal(a[0], b[0]) and a[0].mean() > 0.05
    assert_close(a[1:], b[1:], rtol=1e-10, atol=1e-11)
    same = TCLIF(6, reset_form="paper", dendritic_reset=amount, **common)(x)[0]
    assert (same != a[0]).double().mean() > 0.02


def test_tclif_below_threshold_is_a_lossless_rotation():
    neuron = TCLIF(1, threshold=1e9, to_dendrite=-0.37, to_soma=0.61)
    down, up = neuron.to_dendrite.item(), neuron.to_soma.item()

    def energy(state):
        d, u = state.dendrite, state.soma
        return up * d**2 + up * down * d * u - down * u**2

    start = neuron.state_class(torch.full((1, 1), 0.8), torch.full((1, 1), -0.3))
    _, end = neuron(torch.zeros(100_000, 1, 1), start)
    assert_close(energy(end), energy(start), rtol=1e-9, atol=0)
    matrix = torch.tensor([[1.0, down], [up, 1 + up * down]])
    assert_close(torch.linalg.eigvals(matrix).abs(), torch.ones(2), rtol=0, atol=1e-12)


def test_tclif_parameters_count_two_a_layer():
    assert sum(p.numel() for p in TCLIF(64).parameters()) == 2


# -- PMSN, sheet 05 -----------------------------------------------------------------------


@pytest.mark.parametrize("compartments", [1, 2, 4, 8])
def test_pmsn_starts_at_the_eigenbasis_of_the_coupling_matrix(compartments):
    values, vectors = eigenbasis(compartments)
    matrix = coupling_matrix(compartments).to(torch.complex128)
    assert_close(vectors @ torch.diag(values) @ vectors.mH, matrix, rtol=0, atol=1e-12)
    step = 0.03
    diagonal = vectors @ torch.diag(torch.exp(values * step)) @ vectors.mH
    assert_close(torch.linalg.matrix_exp(matrix * step), diagonal, rtol=0, atol=1e-12)
    assert values.real.max() < 0


def test_pmsn_published_frequencies():
    found = eigenbasis(4)[0].imag.abs().sort().values
    assert_close(found, torch.tensor([4.1093, 4.1093, 18.2514, 18.2514]), rtol=0, atol=1e-4)
    assert sum(p.numel() for p in PMSN(7).parameters()) == 26 * 7


def response(neuron: PMSN, x: torch.Tensor) -> torch.Tensor:
    """h, the current into the output compartment, by the step form."""
    c = neuron.coefficients(**neuron.values())
    modes = [torch.zeros_like(x[0]) for _ in range(2 * neuron.compartments)]
    out = []
    for x_t in x:
        h, moved = c["feedthrough"] * x_t, []
        for k in range(neuron.compartments):
            re, im = modes[2 * k], modes[2 * k + 1]
            ar, ai, br, bi = (c[n][k] for n in ("decay_real", "decay_imag", "read_real", "read_imag"))
            re, im = ar * re - ai * im + x_t, ar * im + ai * re
            h = h + br * re - bi * im
            moved += [re, im]
        modes = moved
        out.append(h)
    return torch.stack(out)


def test_pmsn_impulse_response_is_the_kernel_of_the_zero_order_hold():
    neuron = PMSN(3, generator=torch.Generator().manual_seed(0))
    impulse = torch.zeros(50, 1, 3)
    impulse[0] = 1
    rate = torch.complex(-neuron.damping, neuron.frequency)
    step = neuron.step_size.unsqueeze(-1)
    inputs = torch.complex(neuron.input_real, neuron.input_imag) * (torch.exp(rate * step) - 1) / rate
    outputs = torch.complex(neuron.output_real, neuron.output_imag)
    powers = powers_of(torch.exp(rate * step), 50)
    kernel = (outputs * powers * inputs).real.sum(-1)
    kernel[0] += neuron.feedthrough
    assert_close(response(neuron, impulse)[:, 0], kernel, rtol=0, atol=1e-12)
    assert (torch.exp(rate * step).abs() < 1).all()


def test_zero_order_hold_approaches_fine_euler_steps():
    neuron = PMSN(1, step_size=0.02, feedthrough=0.0, compartments=4)
    x = current(40, 1, 1)
    matrix = coupling_matrix(4)
    fine, v, out = 4000, torch.zeros(4), []
    for x_t in x.flatten():
        for _ in range(fine):
            v = v + (0.02 / fine) * (matrix @ v + x_t)
        out.append(v[-1].clone())
    assert_close(response(neuron, x).flatten(), torch.stack(out), rtol=2e-4, atol=2e-5)


def test_pmsn_remainder_stays_below_threshold_and_nothing_is_lost():
    neuron = PMSN(6, generator=torch.Generator().manual_seed(2))
    x = current(500, 2, 6)
    y, state = neuron(x)
    assert (state.remainder >= 0).all() and (state.remainder < 1).all()
    total = torch.relu(response(neuron, x)).sum(0)
    whole_thresholds = total - state.remainder
    assert_close(whole_thresholds, whole_thresholds.round(), rtol=0, atol=1e-9)
    assert (y.sum(0) <= whole_thresholds.round()).all()


def test_pmsn_without_input_current_is_silent_and_passes_no_gradient():
    neuron = PMSN(4, feedthrough=-1.0, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for part in ("output_real", "output_imag"):
            getattr(neuron, f"stored_{part}").zero_()
    x = torch.rand(30, 2, 4, requires_grad=True)
    y, _ = neuron(x)
    y.sum().backward()
    assert y.sum() == 0 and x.grad.abs().sum() == 0


def test_pmsn_as_pass_through_is_an_integrator_with_modulo_reset():
    neuron = PMSN(3, compartments=1, feedthrough=1.0)
    with torch.no_grad():
        neuron.stored_output_real.zero_()
        neuron.stored_output_imag.zero_()
    x = torch.rand(200, 2, 3, generator=torch.Generator().manual_seed(4)) * 0.9
    integrator = LIF(3, decay=1.0)
    assert torch.equal(neuron(x)[0], integrator(x)[0])


def test_modulo_scan_equals_serial_on_a_million_steps():
    steps = torch.rand(1_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    potential, last = modulo_scan(steps, torch.tensor(0.0), torch.tensor(1.0))
    remainder, serial = 0.0, torch.empty(1_000_000, dtype=torch.float64)
    for t, x in enumerate(steps.double().tolist()):
        v = remainder + x
        serial[t] = v
        remainder = v - math.floor(v)
    spikes, expected = potential >= 1, serial >= 1
    near_edge = (serial - serial.round()).abs() < 1e-4
    assert torch.equal(spikes[~near_edge], expected[~near_edge])
    assert (spikes != expected).double().mean() < 1e-5
    assert abs(last.item() - remainder) < 1e-5


@pytest.mark.parametrize("backend", ["loop", "torch", "c"])
def test_a_rest_of_its_own_holds_in_every_form(backend):
    class Raised(LIF):
        def rest(self, x):
            return self.state_class(torch.full_like(x[0], 0.9))

    x = torch.full((3, 2, 4), 0.2)
    with kernels.use(backend):
        assert Raised(4)(x)[0][0].all() and not LIF(4)(x)[0][0].any()
        y, _ = Raised(4).recur(x, torch.zeros(4, 4), torch.zeros(4), torch.zeros(2, 4))
    assert y[0].all()


def test_config_ranges_are_checked():
    from spikeworks.core.errors import ConfigError

    with pytest.raises(ConfigError, match=r"LIF.decay must lie in \(0, 1\) or on its border, got 1.5"):
        LIF(3, decay=1.5)
    with pytest.raises(ConfigError, match=r"PLIF.decay must lie in \(0, 1\), got 1"):
        PLIF(3, decay=1.0)
    with pytest.raises(ConfigError, match="reset_form must be"):
        TCLIF(3, reset_form="book")
    with pytest.raises(KeyError, match="Did you mean 'decay'"):
        config_for("lif", decai=0.5)
    with pytest.raises(KeyError, match="parameter of LIF 'dekay'"):
        LIF(3, trainable=("dekay",))
