"""The emitted C where it takes another way than in small cases: streaming stores, packed bits, fused gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.kernels.emit_c import emit_c
from spikeworks.kernels.graph import Ref
from spikeworks.kernels.run import FusedStep, flags, library_of, pointer, pointers
from spikeworks.kernels.trace import trace_step
from spikeworks.neurons import LIF, Neuron, Reset, config_for

BEYOND_CACHE = 4 << 20


def values_and_gradients(neuron: Neuron, backend: str, x: torch.Tensor):
    x = x.clone().requires_grad_()
    neuron.zero_grad()
    with kernels.use(backend):
        y, _ = neuron(x)
    (y * torch.linspace(-1, 1, y.shape[-1], dtype=y.dtype)).sum().backward()
    return y.detach(), x.grad, [p.grad for p in neuron.parameters()]


@pytest.mark.parametrize("neurons", [1024, 1016, 1001], ids=["aligned", "bytes", "odd"])
@pytest.mark.parametrize("name", ["lif", "plif", "tc-lif"])
def test_results_beyond_the_cache_equal_the_loop(name, neurons):
    neuron = config_for(name).build(neurons, torch.Generator().manual_seed(0)).double()
    x = torch.randn(140, 4, neurons, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert x.numel() * x.element_size() > BEYOND_CACHE
    found, expected = values_and_gradients(neuron, "c", x), values_and_gradients(neuron, "loop", x)
    assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_single_precision_beyond_the_cache_in_two_threads():
    torch.set_num_threads(2)
    neuron, x = LIF(1024), torch.randn(300, 4, 1024, generator=torch.Generator().manual_seed(1))
    assert x.numel() * x.element_size() > BEYOND_CACHE
    spikes, gradient, _ = values_and_gradients(neuron, "c", x)
    expected, expected_gradient, _ = values_and_gradients(neuron, "loop", x)
    assert torch.equal(spikes, expected)
    assert_close(gradient, expected_gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("neurons", [8, 24, 264, 1024])
def test_spikes_are_packed_while_they_are_written(neurons, dtype):
    def step(x):
        return ((x > 0).to(x.dtype),)

    fused = FusedStep(trace_step(step, 0, 0, dtype), dtype)
    assert fused.traced.binary
    x = torch.randn(5, neurons, dtype=dtype, generator=torch.Generator().manual_seed(2))
    y, bits = torch.empty_like(x), torch.full((5, neurons // 8), 7, dtype=torch.uint8)
    library = library_of(fused, ())
    library.forward(
        neurons, 5, pointers([x]), pointers([]), flags([]), pointers([]),
        pointer(y), pointer(bits), pointers([]), None, 0, neurons,
    )  # fmt: skip
    assert torch.equal(y, (x > 0).to(dtype))
    assert np.array_equal(bits.numpy(), np.packbits(y.numpy() != 0, axis=1, bitorder="little"))


def test_a_product_is_fused_only_where_no_comparison_depends_on_it():
    def step(x, v, a, b):
        decision = x * a + v
        other = torch.where(decision > 0, v, x)
        return other, v * b + x

    traced = trace_step(step, 1, 2)
    text = emit_c(traced, torch.float32, FusedStep(traced, torch.float32).tiling, (0, 1))
    forward, backward = text.split("int backward(")
    assert "FUSED(" not in forward[forward.index("void forward(") :]
    graph = traced.backward.keep((0, 1, 2, 3))
    tests = [k for k, node in enumerate(graph.nodes) if node.op == "gt"]
    assert tests
    for k in tests:  # the sum that is compared is written with its two roundings
        compared = graph.nodes[k].args[0]
        assert isinstance(compared, Ref)
        name = f"v{compared.index - len(graph.inputs)}"
        assert f"const real {name} = FUSED(" not in backward
    assert "FUSED(" in backward


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_gradient_takes_the_branch_that_forward_took_on_the_edge(kind):
    # potentials that sit on the threshold up to one rounding, where a fused product would decide otherwise
    neuron = LIF(4096, decay=0.7, reset=Reset(kind=kind))
    g = torch.Generator().manual_seed(0)
    first = torch.rand(1, 1, 4096, generator=g)
    to_threshold = 1.0 - 0.7 * first - 2.0**-24 * torch.randint(0, 3, first.shape, generator=g)
    x = torch.cat([first, to_threshold, 0.3 * torch.rand(2, 1, 4096, generator=g)])
    spikes, gradient, _ = values_and_gradients(neuron, "c", x)
    expected, expected_gradient, _ = values_and_gradients(neuron, "loop", x)
    assert 0.05 < spikes[1].mean() < 0.95
    assert torch.equal(spikes, expected)
    assert_close(gradient, expected_gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mean", [lambda y: y.mean(0), lambda y: y.sum((0, 2)), lambda y: y.sum()], ids=range(3))
def test_a_gradient_that_is_the_same_at_every_step_is_not_written_out(mean, monkeypatch):
    neuron, x = LIF(16, trainable=("decay",)).double(), torch.rand(70, 3, 16, dtype=torch.float64)

    def gradients(backend):
        leaf = x.clone().requires_grad_()
        neuron.zero_grad()
        with kernels.use(backend):
            out = mean(neuron(leaf)[0])
        (out * torch.arange(1.0, out.numel() + 1, dtype=out.dtype).reshape(out.shape)).sum().backward()
        return leaf.grad, neuron.stored_decay.grad

    expected = gradients("loop")
    copied, original = [], torch.Tensor.contiguous

    def contiguous(t: torch.Tensor) -> torch.Tensor:
        if not t.is_contiguous():
            copied.append(tuple(t.shape))
        return original(t)

    monkeypatch.setattr(torch.Tensor, "contiguous", contiguous)
    found = gradients("c")
    assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert (70, 48) not in copied
