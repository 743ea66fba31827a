"""Delays inside a network: state, memory, optimiser groups, meters."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from spikeworks.core.progress import set_progress
from spikeworks.core.state import detach, select_batch
from spikeworks.layers import BatchNorm, DelayConfig, DelayLinear, Readout, ReadoutConfig, TimeTiedDropout
from spikeworks.measure import count_operations
from spikeworks.models import Block, Network
from spikeworks.neurons import LIF


def network(memory: str = "full") -> Network:
    generator = torch.Generator().manual_seed(0)
    blocks = [
        Block(
            TimeTiedDropout(0.0),
            DelayLinear(inputs, 8, DelayConfig(max_delay=6), generator=generator),
            BatchNorm(8),
            LIF(8),
            memory=memory,  # type: ignore[arg-type]
        )
        for inputs in (5, 8)
    ]
    return Network(blocks, Readout(8, 3, ReadoutConfig(), generator=generator), inputs=5)


def spikes(*shape: int) -> torch.Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(1)) < 0.4).float()


def test_chunks_and_rows_of_the_batch_equal_the_whole():
    net, x = network().eval(), spikes(24, 4, 5)
    with torch.no_grad():
        whole, _ = net(x)
        state = None
        for part in x.split([9, 1, 14]):
            y, state = net(part, detach(state))
        assert torch.equal(y, whole)
        _, early = net(x[:9])
        assert_close(net(x[9:, 1:3], select_batch(early, slice(1, 3)))[0], whole[1:3])


@pytest.mark.parametrize("progress", [0.1, 0.9])
def test_packed_blocks_have_the_gradients_of_full_ones(progress):
    found = []
    for memory in ("full", "packed"):
        net = network(memory)
        set_progress(net, progress)
        first, state = net(spikes(20, 4, 5))
        second, _ = net(spikes(10, 4, 5), state)
        (first.square().sum() + second.square().sum()).backward()
        found.append([p.grad for p in net.parameters()])
    assert all(g is not None and g.isfinite().all() for g in found[0])
    assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)


def test_delays_have_their_own_rate_and_no_decay():
    net = network()
    groups = {(g["weight_decay"], g["lr_scale"]): g["params"] for g in net.parameter_groups(0.1)}
    assert {id(p) for p in groups[0.0, 100.0]} == {id(b.synapse.position) for b in net.blocks}
    assert any(p is net.blocks[0].synapse.weight for p in groups[0.1, 1.0])
    assert sum(map(len, groups.values())) == len(list(net.parameters()))


def test_progress_reaches_every_delay_and_meters_see_the_synapse():
    net = network()
    set_progress(net, 1.0)
    assert [b.synapse.mode for b in net.blocks] == ["ste", "ste"]
    layers = {layer.name: layer for layer in count_operations(net, spikes(12, 2, 5)).layers}
    assert layers["blocks.0.synapse"].operations.acs == spikes(12, 2, 5).sum().item() * 8 / 2
    assert layers["blocks.0.synapse"].parameters == 5 * 8 * 2 + 8
