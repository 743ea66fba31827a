"""Bounded memory: the same numbers as plain backpropagation from a small part of the bytes."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.state import detach
from spikeworks.kernels import events
from spikeworks.layers import ReadoutConfig
from spikeworks.measure import memory
from spikeworks.models import ConvConfig, StackConfig
from spikeworks.neurons import NEURONS, config_for


def build(mode: str, **fields):
    network = StackConfig(hidden=(12, 9, 7), memory=mode, **fields).build(6, 4, torch.Generator().manual_seed(0))
    for module in network.modules():
        if "generator" in vars(module):
            module.generator = torch.Generator().manual_seed(5)
    return network.double()


def trained(network, mask=None):
    """Outputs, gradients of inputs, carried state and parameters, and buffers after two calls."""
    x = 2 * torch.rand(20, 3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x.requires_grad_()
    first, state = network(x[:11], mask=None if mask is None else mask[:11])
    output, _ = network(x[11:], state, mask=None if mask is None else mask[11:])
    (output.square().sum() + first.sum()).backward()
    return [output.detach(), x.grad, *(p.grad for p in network.parameters()), *network.buffers()]


SHAPES = {
    "plain": {},
    "dropout": {"dropout": 0.3, "input_dropout": 0.2},
    "batch norm": {"norm": "batch"},
    "layer norm": {"norm": "layer"},
    "recurrent": {"recurrent": (True, False, True)},
    "convolution": {"conv": ConvConfig(kernel=3, stride=1)},
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_packed_equals_full(shape, masked):
    mask = torch.arange(20)[:, None] < torch.tensor([20, 13, 17]) if masked else None
    full, packed = (trained(build(mode, **SHAPES[shape]), mask) for mode in ("full", "packed"))
    assert_close(full, packed, rtol=1e-10, atol=1e-12)
    assert full[1].abs().sum() > 0


@pytest.mark.parametrize("name", [n for n in NEURONS.names() if not getattr(NEURONS.get(n), "whole_sequence", False)])
def test_packed_equals_full_for_every_neuron(name):
    full, packed = (trained(build(mode, neuron=config_for(name))) for mode in ("full", "packed"))
    assert_close(full, packed, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_products_with_bits_change_nothing(norm, monkeypatch):
    monkeypatch.setattr(events, "FEWEST_ROWS", 1)
    monkeypatch.setattr(events, "choose", lambda *_: "events")
    added, form = [], events.selected_sum
    monkeypatch.setattr(events, "selected_sum", lambda *a: added.append(a) or form(*a))
    found, x = {}, 2 * torch.rand(20, 3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for mode, work, times in (("full", 1 << 60, 0), ("full", 1, 2), ("packed", 1, 4)):
        monkeypatch.setattr(events, "FEWEST_WORK", work)
        config = StackConfig(hidden=(16, 24, 9), norm=norm, memory=mode)
        network, signal = config.build(6, 4, torch.Generator().manual_seed(0)).double(), x.clone().requires_grad_()
        added.clear()
        output, _ = network(signal)
        output.square().sum().backward()
        assert len(added) == times  # the layers above 16 and 24 neurons, and again in backward
        found[mode, work] = [output.detach(), signal.grad, *(p.grad for p in network.parameters())]
    reference = found["full", 1 << 60]
    assert reference[1].abs().sum() > 0
    for other in found.values():
        assert_close(other, reference, rtol=1e-10, atol=1e-12)


def test_masks_come_from_torch_where_no_generator_is_set():
    results = []
    for mode in ("full", "packed"):
        network = StackConfig(hidden=(30, 30), dropout=0.5, memory=mode).build(6, 4, torch.Generator().manual_seed(0))
        torch.manual_seed(3)
        output, _ = network(3 * torch.rand(20, 2, 6, generator=torch.Generator().manual_seed(1)))
        output.sum().backward()
        results.append([output.detach(), *(p.grad for p in network.parameters()), torch.rand(3)])
    assert_close(results[0], results[1])


def test_the_second_run_has_the_precision_of_the_first():
    results = []
    for mode in ("full", "packed"):
        network = StackConfig(hidden=(12, 9), memory=mode).build(6, 4, torch.Generator().manual_seed(0))
        with torch.autocast("cpu", torch.bfloat16):
            output, _ = network(3 * torch.rand(20, 2, 6, generator=torch.Generator().manual_seed(1)))
        output.float().square().sum().backward()
        results.append([output.detach(), *(p.grad for p in network.parameters())])
    assert_close(results[0], results[1], rtol=0.02, atol=1e-3)
    assert results[0][1].abs().sum() > 0


def test_detached_state_and_evaluation_pass_through():
    network = build("packed")
    x = torch.rand(8, 2, 6, dtype=torch.float64)
    with torch.no_grad():
        _, state = network(x)
    output, _ = network(x, detach(state))
    output.sum().backward()
    with torch.no_grad():
        assert torch.equal(network(x, state)[0], output)


def test_hooks_see_each_block_once():
    network, seen = build("packed"), []
    network.blocks[1].register_forward_hook(lambda module, arguments, output: seen.append(output[0].shape))
    network(torch.rand(8, 2, 6, dtype=torch.float64))[0].sum().backward()
    assert seen == [(8, 2, 9)]


def test_a_synapse_keeps_bits_of_many_spikes(monkeypatch):
    monkeypatch.setattr(events, "FEWEST_ROWS", 1)
    x, saved = torch.rand(200, 8, 64), {}
    for mode in ("full", "packed"):
        network = StackConfig(hidden=(64, 64), memory=mode).build(64, 4, torch.Generator().manual_seed(0))
        for work in (1, 1 << 60):
            monkeypatch.setattr(events, "FEWEST_WORK", work)
            saved[mode, work] = memory(network, x).parts["blocks.1"]
    spikes = 200 * 8 * 64
    assert saved["full", 1 << 60] - saved["full", 1] == 4 * spikes - spikes // 8
    assert saved["packed", 1 << 60] == saved["packed", 1] == spikes // 8


def test_bytes_are_one_bit_a_spike():
    network = StackConfig(hidden=(64, 64, 64), memory="packed").build(64, 4, torch.Generator().manual_seed(0))
    x = torch.rand(200, 8, 64)
    spikes = 200 * 8 * 64
    assert memory(network, x).parts["blocks.1"] == memory(network, x).parts["blocks.2"] == spikes // 8
    assert memory(network, x).parts["blocks.0"] == 0  # its input is the network's own


@pytest.mark.parametrize("name, against_loop", [("lif", 0.98), ("plif", 1.4), ("tc-lif", 1.9), ("alif", 2.8)])
def test_a_deep_stack_stays_far_below_the_loop(name, against_loop):
    x, found = torch.rand(256, 8, 64), {}
    for form, mode, backend in (("loop", "full", "loop"), ("fused", "full", "c"), ("packed", "packed", "c")):
        config = StackConfig(hidden=(64,) * 4, neuron=config_for(name), memory=mode, readout=ReadoutConfig(kind="last"))
        network = config.build(64, 10, torch.Generator().manual_seed(0))
        with kernels.use(backend):
            found[form] = memory(network, x).saved_bytes
    # a step without trained parameters saves as little in the loop as fused: spikes and one potential
    assert found["loop"] / found["fused"] > against_loop
    assert found["loop"] / found["packed"] > 50
