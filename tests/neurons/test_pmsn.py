"""PMSN in all closed forms, its outputs and resets (sheet of arXiv 2408.14917)."""

from __future__ import annotations

import copy
import functools
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.errors import ConfigError
from spikeworks.kernels.scan import FAMILIES, diagonal_scan, use_forms
from spikeworks.models import StackConfig
from spikeworks.neurons import LIF, PMSN, Reset, SlidingPSN, Surrogate

FORMS = [*((d, "chunked") for d in FAMILIES["diagonal"]), *(("chunked", m) for m in FAMILIES["modulo"])]
VARIED = {"compartments": 2, "threshold": 0.67, "trainable": (*PMSN.Config().trainable, "threshold")}
OUTPUTS = list(itertools.product(("spike", "burst"), ("modulo", "none", "memoryless")))


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@functools.cache  # traced and compiled once; no test changes what it is given
def build(**options) -> PMSN:
    return PMSN(5, generator=torch.Generator().manual_seed(3), **options)


@functools.cache
def sliding(window: int, per_channel: tuple[str, ...]) -> SlidingPSN:
    neuron = SlidingPSN(4, window=window, per_channel=per_channel)
    with torch.no_grad():
        neuron.stored_taps.copy_(0.3 + 0.3 * current(*neuron.stored_taps.shape, seed=8).abs())
    return neuron


@functools.cache
def pass_through(size: int, **options) -> PMSN:
    """Without hidden compartments: the output compartment integrates ReLU(x)."""
    neuron = PMSN(size, compartments=1, feedthrough=1.0, **options)
    with torch.no_grad():
        neuron.stored_output_real.zero_()
        neuron.stored_output_imag.zero_()
    return neuron


def current(*shape: int, seed: int = 1, scale: float = 0.8) -> torch.Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + 0.3


def run(neuron, backend, x, state=None):
    """Output, states, and the gradients of input and parameters."""
    x = x.clone().requires_grad_()
    neuron.zero_grad()
    with kernels.use(backend):
        y, after = neuron(x, state)
    loss = (y * current(*y.shape, seed=5).to(y.device)).sum() + sum((0.3 * s).sum() for s in after if s.requires_grad)
    loss.backward()
    return y.detach(), [s.detach() for s in after], [x.grad, *(p.grad for p in neuron.parameters())]


def drive(neuron, x):
    """h, by the definition of the diagonal scan, from the neuron's coefficients."""
    c = neuron.coefficients(**neuron.values())
    decay, read = (
        torch.complex(torch.stack(list(c[f"{name}_real"])), torch.stack(list(c[f"{name}_imag"])))
        for name in ("decay", "read")
    )
    rest = torch.zeros(neuron.compartments, *x.shape[1:], dtype=decay.dtype)
    return c["feedthrough"] * x + diagonal_scan(x, decay, read, rest)[0]


# -- closed forms -------------------------------------------------------------------------


@pytest.mark.parametrize("diagonal, modulo", FORMS)
def test_every_form_is_the_step(diagonal, modulo):
    neuron, x = build(), current(137, 3, 5)
    loop = run(neuron, "loop", x)
    with use_forms(diagonal=diagonal, modulo=modulo):
        assert neuron.parallel_form(x)[0] == f"{diagonal} + {modulo}"
        fast = run(neuron, "parallel", x)
    assert torch.equal(loop[0], fast[0]) and 0.05 < loop[0].mean() < 0.9
    assert_close(loop[1], fast[1], rtol=0, atol=1e-10)
    assert_close(loop[2], fast[2], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("diagonal, modulo", FORMS)
def test_every_form_streams(diagonal, modulo):
    neuron, x = build(), current(90, 2, 5)
    with use_forms(diagonal=diagonal, modulo=modulo), kernels.use("parallel"):
        whole, end = neuron(x)
        first, state = neuron(x[:31])
        second, state = neuron(x[31:], state)
    assert torch.equal(torch.cat([first, second]), whole)
    assert_close(list(state), list(end), rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    "diagonal, modulo", [("chunked", "chunked"), ("fft", "float64"), ("associative", "associative")]
)
def test_forms_in_single_precision_differ_at_the_threshold_alone(diagonal, modulo):
    neuron, x = build(), current(700, 4, 5)
    exact = drive(neuron, x)
    single = copy.deepcopy(neuron).float()
    with use_forms(diagonal=diagonal):
        assert (drive(single, x.float()) - exact).abs().max() <= 1e-5 * exact.abs().max()
    with kernels.use("parallel"), use_forms(diagonal=diagonal, modulo=modulo):
        found, _ = single(x.float())
    total = torch.cumsum(torch.relu(exact), 0)
    expected = torch.floor(total).diff(dim=0, prepend=torch.zeros_like(total[:1])).clamp(max=1)
    margin = torch.minimum(*((t - t.round()).abs() for t in (total, total.roll(1, 0))))
    wrong = found != expected
    assert wrong.double().mean() < 1e-3 and (margin[wrong] < 1e-4).all()


@pytest.mark.gpu
@pytest.mark.parametrize("diagonal, modulo", FORMS)
def test_every_form_on_a_gpu(diagonal, modulo):
    neuron, x = build(), current(137, 3, 5)
    loop = run(neuron, "loop", x)
    with use_forms(diagonal=diagonal, modulo=modulo):
        y, state, gradients = run(copy.deepcopy(neuron).cuda(), "parallel", x.cuda())
    assert torch.equal(loop[0], y.cpu())
    assert_close(loop[1], [s.cpu() for s in state], rtol=0, atol=1e-10)
    assert_close(loop[2], [g.cpu() for g in gradients], rtol=1e-8, atol=1e-8)


def test_parallel_forms_say_why():
    form, reason = build().parallel_form(torch.zeros(700, 2, 5))
    assert form == "chunked + float64"
    assert "diagonal scan chunked: matrix products" in reason and "modulo scan float64: nearest to exact" in reason
    assert build(output_reset="none").parallel_form(torch.zeros(20, 2, 5))[0] == "direct"
    assert SlidingPSN(5, window=300).parallel_form(torch.zeros(400, 2, 5))[0] == "fft"


@pytest.mark.parametrize("per_channel", [(), ("taps",)], ids=["shared", "per channel"])
@pytest.mark.parametrize("form", FAMILIES["window"])
@pytest.mark.parametrize("window", [1, 18])
def test_every_form_of_a_sliding_window_is_the_step(window, form, per_channel):
    neuron, x = sliding(window, per_channel), current(70, 2, 4)
    with torch.no_grad():
        _, state = neuron(current(window + 3, 2, 4, seed=2))
    loop = run(neuron, "loop", x, state)
    with use_forms(window=form):
        fast = run(neuron, "parallel", x, state)
    assert torch.equal(loop[0], fast[0]) and loop[0].mean() > 0
    assert_close(loop[1:], fast[1:], rtol=1e-9, atol=1e-10)


# -- outputs and resets -------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["c", "parallel"])
@pytest.mark.parametrize("output, output_reset", OUTPUTS)
def test_every_output_and_reset_in_every_form(output, output_reset, backend):
    neuron = build(**VARIED, output=output, output_reset=output_reset)
    x = current(70, 2, 5, scale=2.0)
    loop, fast = run(neuron, "loop", x), run(neuron, backend, x)
    assert torch.equal(loop[0], fast[0])
    assert (loop[0].max() > 1) == (output == "burst")
    assert_close(loop[1], fast[1], rtol=1e-10, atol=1e-11)
    assert_close(loop[2], fast[2], rtol=1e-8, atol=1e-10)
    assert len(loop[2]) == 10 and loop[2][-1].abs() > 0  # the threshold's gradient among them


@pytest.mark.parametrize("output, output_reset", OUTPUTS)
def test_every_output_and_reset_in_parts(output, output_reset):
    neuron, x = build(**VARIED, output=output, output_reset=output_reset), current(50, 2, 5)
    for backend in ("c", "parallel"):
        with kernels.use(backend):
            whole, end = neuron(x)
            first, state = neuron(x[:23])
            second, state = neuron(x[23:], state)
        assert torch.equal(torch.cat([first, second]), whole)
        assert_close(list(state), list(end), rtol=0, atol=1e-11)


@pytest.mark.parametrize("backend, modulo", [("loop", ""), ("c", ""), *(("parallel", m) for m in FAMILIES["modulo"])])
def test_bursts_conserve_the_current(backend, modulo):
    neuron, x = build(output="burst"), current(300, 3, 5, scale=2.0)
    with kernels.use(backend), use_forms(**({"modulo": modulo} if modulo else {})):
        bursts, state = neuron(x)
    total = torch.relu(drive(neuron, x)).sum(0)
    assert bursts.max() > 1
    assert torch.equal(bursts.sum(0), torch.floor(total))
    assert (state.remainder >= 0).all() and (state.remainder < 1).all()
    assert_close(bursts.sum(0) + state.remainder, total, rtol=0, atol=1e-9)
    spikes = build()(x)[0]
    assert torch.equal(spikes, bursts.clamp(max=1))


def test_a_burst_has_the_derivative_of_the_last_threshold_passed():
    """The sawtooth of the authors' program: 1 on each threshold, falling to the next; a ramp below the first."""
    neuron = pass_through(1, output="burst", output_reset="memoryless")
    x = torch.tensor([0.25, 0.75, 1.0, 1.25, 1.75, 2.0, 3.5]).reshape(1, -1, 1).requires_grad_()
    for backend in ("loop", "c", "parallel"):
        with kernels.use(backend):
            y, _ = neuron(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        assert y.flatten().tolist() == [0, 0, 1, 1, 1, 2, 3]
        assert_close(slope.flatten(), torch.tensor([0.25, 0.75, 1, 0.75, 0.25, 1, 0.5]))


def test_without_reset_a_neuron_fires_ever_after():
    neuron, x = build(output_reset="none"), current(200, 2, 5)
    y, state = neuron(x)
    assert torch.equal(y, torch.cummax(y, 0).values) and 0 < y.mean() < 1
    assert_close(state.potential, torch.relu(drive(neuron, x)).sum(0), rtol=0, atol=1e-10)


def test_one_memoryless_real_compartment_is_lif_without_reset():
    """With C = B = 1, D = 0 and a real rate the hidden compartment is a leaky integrator."""
    options = {"damping": 0.5, "step_size": 0.2, "frequency": 0.0, "feedthrough": 0.0}
    options |= {"input_real": 1.0, "input_imag": 0.0, "output_real": 1.0, "output_imag": 0.0}
    neuron = PMSN(3, compartments=1, output_reset="memoryless", **options)
    x = current(300, 2, 3).relu()
    decay = torch.exp(torch.tensor(-0.5 * 0.2)).item()
    leaky = LIF(3, decay=decay, reset=Reset(kind="none"), threshold=1.0)
    gain = (1 - decay) / 0.5
    y, _ = neuron(x)
    expected, state = leaky(gain * x)
    assert torch.equal(y, expected) and 0.05 < y.mean() < 0.95
    assert_close(drive(neuron, x)[-1], state.voltage, rtol=0, atol=1e-12)


def test_bursts_train_in_packed_memory_like_in_full():
    """A count is no bit: packing must not flatten it."""
    x = 3 * torch.rand(60, 4, 6, generator=torch.Generator().manual_seed(1))
    config = StackConfig(hidden=(8, 8), neuron=PMSN.Config(output="burst", compartments=1))
    network, gradients = config.build(6, 3, torch.Generator().manual_seed(0)), []
    for memory in ("full", "packed"):
        for block in network.blocks:
            block.memory = memory
        network.zero_grad()
        network(x)[0].square().sum().backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    assert_close(*gradients, rtol=1e-9, atol=1e-12)


# -- ranges -------------------------------------------------------------------------------


@settings(max_examples=15)
@given(scale=st.floats(0.0, 30.0), seed=st.integers(0, 99))
def test_modes_are_stable_for_any_parameter_value(scale, seed):
    neuron = PMSN(16)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in neuron.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    c = neuron.coefficients(**neuron.values())
    for re, im in zip(c["decay_real"], c["decay_imag"], strict=True):
        assert (torch.hypot(re, im) <= 1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("backend", ["loop", "c", "parallel"])
def test_remainders_stay_below_any_threshold(backend, dtype):
    """Currents of whole thresholds, where the quotient and the product are rounded."""
    neuron = pass_through(64, per_channel=("threshold",))
    if dtype == torch.float32:
        neuron = copy.deepcopy(neuron).float()
    with torch.no_grad():
        neuron.stored_threshold.copy_(torch.linspace(0.05, 3.0, 64))
    multiples = torch.randint(0, 9, (60, 3, 64), generator=torch.Generator().manual_seed(0)).to(dtype)
    x = torch.nextafter(multiples * neuron.threshold, torch.zeros((), dtype=dtype))
    state = None
    for part in x.split(1):  # every remainder is seen
        with kernels.use(backend):
            _, state = neuron(part, state)
        assert (state.remainder >= 0).all()
        assert (state.remainder < neuron.threshold).all()


def test_options_are_checked():
    with pytest.raises(ConfigError, match=r"output must be one of \('spike', 'burst'\), got 'bursts'"):
        PMSN(3, output="bursts")
    with pytest.raises(ConfigError, match="output_reset must be one of .*'memoryless'.*, got 'soft'"):
        PMSN(3, output_reset="soft")
    assert "output='burst'" in repr(PMSN(3, output="burst", surrogate=Surrogate(width=2.0)))
