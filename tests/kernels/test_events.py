"""Products with spikes equal the dense ones, values and gradients, and keep bits where torch keeps floats."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.errors import KernelError, ShapeError
from spikeworks.kernels import build, events
from spikeworks.kernels.events import applies, choose, spike_linear
from spikeworks.kernels.events_c import source
from spikeworks.kernels.marks import mark
from spikeworks.kernels.packing import pack, unpack
from spikeworks.layers import Dense
from spikeworks.measure import memory

FORMS = ("events", "dense")


def spikes(*shape: int, rate: float = 0.2, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < rate).to(dtype)


def normal(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture(scope="module", autouse=True)
def poisoned():
    """What is allocated and not written is NaN."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture
def eager_for_bits(monkeypatch):
    """However small, spikes are worth their bits."""
    monkeypatch.setattr(events, "FEWEST_ROWS", 1)
    monkeypatch.setattr(events, "FEWEST_WORK", 1)


def both(x, weight, bias, gradient, *, active=None):
    """Output and gradients of the product with bits and of the definition."""
    found = []
    for product in (lambda x, w, b: spike_linear(x, pack(x), w, b, active=active), functional.linear):
        inputs = [None if t is None else t.detach().clone().requires_grad_() for t in (x, weight, bias)]
        y = product(*inputs)
        y.backward(gradient)
        found.append([y.detach(), *(t.grad for t in inputs if t is not None)])
    return found


# -- the products ------------------------------------------------------------------------------

sizes = {
    "steps": st.sampled_from([1, 2, 63, 65, 129]),
    "batch": st.sampled_from([1, 3]),
    "inputs": st.sampled_from([8, 16, 56, 64, 72, 136, 264]),
    "outputs": st.sampled_from([1, 3, 16, 33, 64, 100, 257]),
    "rate": st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    "form": st.sampled_from(FORMS),
    "seed": st.integers(0, 99),
}


@given(**sizes, threads=st.sampled_from([1, 3]), with_bias=st.booleans())
def test_values_and_gradients_are_those_of_the_dense_product(
    steps, batch, inputs, outputs, rate, form, seed, threads, with_bias
):
    x, weight = spikes(steps, batch, inputs, rate=rate, seed=seed), normal(outputs, inputs, seed=seed)
    bias = normal(outputs) if with_bias else None
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(events, "choose", lambda *_: form)
            patch.setattr(events, "STREAM_FROM", seed % 2 << 30)
            patch.setattr(events, "CHUNK_VALUES", 40 * inputs)
            found, expected = both(x, weight, bias, normal(steps, batch, outputs, seed=2))
    finally:
        torch.set_num_threads(before)
    assert_close(found, expected, rtol=1e-10, atol=1e-10)


@given(**sizes, share=st.sampled_from([0.0, 0.1, 1.0]))
def test_the_gradient_of_the_input_is_right_where_it_is_wanted_and_zero_elsewhere(
    steps, batch, inputs, outputs, rate, form, seed, share
):
    x, weight = spikes(steps, batch, inputs, rate=rate, seed=seed), normal(outputs, inputs)
    wanted = spikes(steps, batch, inputs, rate=share, seed=seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "choose", lambda *_: form)
        gradient = normal(steps, batch, outputs)
        found, expected = both(x, weight, normal(outputs), gradient, active=pack(wanted))
    assert_close(found[1] * wanted, expected[1] * wanted, rtol=1e-10, atol=1e-10)
    if form == "events":
        assert not (found[1] * (1 - wanted)).any()
    assert_close(found[2:], expected[2:], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("form", FORMS)
def test_single_precision_rounds_as_a_sum_does(form, monkeypatch):
    monkeypatch.setattr(events, "choose", lambda *_: form)
    x = spikes(300, 5, 200, dtype=torch.float32)
    found, expected = both(x, *(normal(*s, dtype=torch.float32) for s in ((257, 200), (257,), (300, 5, 257))))
    assert_close(found, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_vectors_of_any_processor_give_the_same(dtype, monkeypatch):
    flags = (*build.FLAGS, *build.RELAXED)
    portable = events.declared(build._load(source(dtype), build.find_compiler(), flags))
    monkeypatch.setattr(events, "_built", lambda _: portable)
    monkeypatch.setattr(events, "choose", lambda *_: "events")
    x, active = spikes(50, 3, 72, dtype=dtype), pack(spikes(50, 3, 72, seed=5, dtype=dtype))
    found, expected = both(x, *(normal(*s, dtype=dtype) for s in ((99, 72), (99,), (50, 3, 99))), active=active)
    expected[1] *= unpack(active)
    assert_close(
        found, expected, rtol=1e-10 if dtype == torch.float64 else 1e-4, atol=1e-10 if dtype == torch.float64 else 1e-4
    )


def test_threads_do_not_change_a_bit(monkeypatch):
    monkeypatch.setattr(events, "choose", lambda *_: "events")
    x, weight, bias = spikes(700, 3, 136, dtype=torch.float32), normal(100, 136).float(), normal(100).float()
    gradient, before, results = normal(700, 3, 100).float(), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(both(x, weight, bias, gradient, active=pack(x))[0])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_every_rectangle_is_given_out_once():
    for stride, inputs, workers in ((16, 8, 1), (16, 8, 7), (64, 200, 4), (272, 136, 3), (512, 1024, 64)):
        seen = torch.zeros(inputs, stride)
        for c0, c1, j0, j1 in events._rectangles(stride, inputs, workers):
            assert c0 % 16 == 0 and j0 % 64 == 0
            seen[j0:j1, c0:c1] += 1
        assert bool((seen == 1).all())


@pytest.mark.parametrize("form", FORMS)
def test_only_wanted_gradients_are_computed(form, monkeypatch):
    monkeypatch.setattr(events, "choose", lambda *_: form)
    x, weight, bias = spikes(20, 2, 24), normal(9, 24), normal(9)
    packed = pack(x)
    for wanted in ((0,), (1,), (2,), (1, 2), (0, 2)):
        inputs = [t.clone().requires_grad_(k in wanted) for k, t in enumerate((x, weight, bias))]
        spike_linear(inputs[0], packed, *inputs[1:]).sum().backward()  # a gradient of stride zero
        expected = [t.detach().clone().requires_grad_(k in wanted) for k, t in enumerate((x, weight, bias))]
        functional.linear(*expected).sum().backward()
        for a, b in zip(inputs, expected, strict=True):
            assert (a.grad is None) == (b.grad is None)
            assert a.grad is None or torch.allclose(a.grad, b.grad, rtol=1e-10)
    with torch.no_grad():
        assert_close(spike_linear(x, packed, weight, bias), functional.linear(x, weight, bias), rtol=1e-10, atol=1e-10)


def test_numerical_gradients_of_weights():
    packed = pack(spikes(7, 2, 16))
    zeros = unpack(packed).requires_grad_(False)
    weight, bias = normal(5, 16).requires_grad_(), normal(5).requires_grad_()
    assert torch.autograd.gradcheck(lambda w, b: spike_linear(zeros, packed, w, b), (weight, bias))


def test_second_derivatives_are_refused():
    x = spikes(7, 2, 16).requires_grad_()
    scale = torch.ones((), dtype=x.dtype, requires_grad=True)
    y = (scale * spike_linear(x, pack(x), normal(5, 16), None)).sum()
    (gradient,) = torch.autograd.grad(y, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_what_does_not_fit_is_named():
    x, weight = spikes(4, 2, 16), normal(3, 16)
    with pytest.raises(ShapeError, match=r"shape \[4, 2, 16\] came with bits of shape \[2, 4, 16\]"):
        spike_linear(x, pack(x.transpose(0, 1)), weight, None)
    with pytest.raises(ShapeError, match=r"expected \[T, B, 24\] with whole bytes a row, got \[4, 2, 16\]"):
        spike_linear(x, pack(x), normal(3, 24), None)
    with pytest.raises(KernelError, match=r"rows of torch.float32 for spikes of torch.float64"):
        spike_linear(x, pack(x), weight.float(), None)


def test_few_spikes_are_added_and_many_multiplied():
    for inputs, outputs in ((256, 256), (512, 512), (128, 512), (1024, 64)):
        for product in ("forward", "weight", "input"):
            assert choose(0.05, inputs, outputs, product) == "events"
            assert choose(0.5, inputs, outputs, product) == "dense"
    assert choose(0.05, 256, 10) == "events"
    assert choose(0.05, 256, 10, "input") == "dense"


# -- memory ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_bits_wait_for_backward_and_spikes_do_not(form, monkeypatch):
    monkeypatch.setattr(events, "choose", lambda *_: form)
    weight, bias = normal(8, 64).requires_grad_(), normal(8).requires_grad_()
    below = normal(30, 4, 64).requires_grad_()
    x = (below > 0).to(below) + 0 * below  # spikes that hang on a graph
    packed = pack(x)
    y, alive = spike_linear(x, packed, weight, bias), weakref.ref(x)
    del x
    gc.collect()
    assert alive() is None
    held = y.grad_fn.saved_tensors
    assert held[0] is packed.bits or torch.equal(held[0], packed.bits)
    assert held[0].nbytes == 30 * 4 * 64 // 8 and held[1].shape == weight.shape and held[2] is None
    y.sum().backward()
    assert below.grad is not None and weight.grad is not None


class Binary(torch.nn.Module):
    """A dense synapse and a threshold whose output carries its bits."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.synapse = Dense(inputs, outputs, generator=torch.Generator().manual_seed(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = (self.synapse(x) > 0).to(x.dtype)
        mark(y, pack(y))
        return y


def test_the_meter_counts_one_bit_a_spike(eager_for_bits):
    network = torch.nn.Sequential(Binary(24, 64), Dense(64, 32), torch.nn.Tanh(), Dense(32, 8))
    report = memory(network, torch.rand(50, 4, 24))
    assert report.parts["1"] == 50 * 4 * 64 // 8
    with kernels.use("loop"):
        assert memory(network, torch.rand(50, 4, 24)).parts["1"] == 50 * 4 * 64 * 4


# -- the synapse -------------------------------------------------------------------------------


def node(y: torch.Tensor) -> str:
    return type(y.grad_fn).__name__


def test_dense_adds_rows_and_agrees_with_torch(eager_for_bits):
    synapse, x = Dense(32, 20, generator=torch.Generator().manual_seed(0)).double(), spikes(30, 4, 2, 16)
    gradients = []
    for backend in ("auto", "c", "loop", "torch"):
        synapse.zero_grad()
        signal = x.clone().requires_grad_()
        with kernels.use(backend):
            y = synapse(signal)
        assert (node(y) == "_SpikeLinearBackward") == (backend in ("auto", "c"))
        y.square().sum().backward()
        gradients.append([y.detach(), signal.grad, synapse.weight.grad.clone(), synapse.bias.grad.clone()])
    for other in gradients[1:]:
        assert_close(other, gradients[0], rtol=1e-10, atol=1e-10)


def test_dense_is_plain_where_bits_do_not_serve(eager_for_bits, monkeypatch):
    synapse = Dense(16, 20)
    assert node(synapse(spikes(30, 4, 16).float())) == "_SpikeLinearBackward"
    assert node(synapse(torch.rand(30, 4, 16))) != "_SpikeLinearBackward"
    assert node(Dense(12, 20)(spikes(30, 4, 12).float())) != "_SpikeLinearBackward"
    with torch.autocast("cpu", torch.bfloat16):
        assert synapse(spikes(30, 4, 16).float()).dtype == torch.bfloat16
    monkeypatch.setattr(events, "FEWEST_ROWS", 200)
    assert node(synapse(spikes(30, 4, 16).float())) != "_SpikeLinearBackward"


def test_streaming_and_small_layers_are_left_to_torch():
    x, weight = torch.zeros(1, 1, 4096), torch.zeros(4096, 4096)
    assert not applies(x, weight)
    assert not applies(torch.zeros(100, 8, 64), torch.zeros(64, 64))
    assert applies(torch.zeros(784, 64, 256), torch.zeros(256, 256))


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
def test_compiled_traced_and_mapped_layers_use_torch_s_own_operations(eager_for_bits):
    synapse = Dense(16, 8)
    x = spikes(30, 4, 16).float()
    mark(x, pack(x))
    expected = functional.linear(x, synapse.weight, synapse.bias)
    compiled = torch.compile(synapse, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), expected)
    traced = torch.jit.trace(synapse, x)
    other = spikes(30, 4, 16, seed=9).float()
    assert_close(traced(other), functional.linear(other, synapse.weight, synapse.bias))
    mapped = torch.func.vmap(synapse)(torch.stack([x, other]))
    assert_close(mapped[1], functional.linear(other, synapse.weight, synapse.bias))


def test_without_a_compiler_all_is_torch(eager_for_bits, monkeypatch):
    monkeypatch.setattr(build, "working_flags", lambda: "no compiler")
    x, synapse = spikes(30, 4, 16).float(), Dense(16, 8)
    mark(x, pack(x))
    y = synapse(x)
    assert node(y) != "_SpikeLinearBackward"
    assert torch.equal(y, functional.linear(x, synapse.weight, synapse.bias))
    with pytest.raises(KernelError, match="No kernel adds rows"):
        spike_linear(x, pack(x), synapse.weight, synapse.bias)


def test_a_compiler_that_rejects_the_kernels_is_named(eager_for_bits, monkeypatch, caplog):
    def reject(source):
        raise KernelError("The compiler tiny rejected a kernel")

    monkeypatch.setattr(build, "load", reject)
    events._built.cache_clear()
    try:
        assert not applies(spikes(30, 4, 16).float(), torch.zeros(8, 16))
        assert "dense products: The compiler tiny rejected" in caplog.text
    finally:
        events._built.cache_clear()
