from __future__ import annotations

import json

import pytest
import torch
from tests.measure.nets import Straight, TinyNetwork, prefix_mask
from torch import nn
from torch.utils.checkpoint import checkpoint

from spikeworks.core.errors import ConfigError
from spikeworks.measure import memory

T, B = 5, 3


def test_linear_saves_nothing_but_its_input():
    # weight and x exist anyway
    report = memory(nn.Linear(4, 6), torch.rand(T, B, 4))
    assert report.saved_bytes == 0
    assert report.parameter_bytes == (4 * 6 + 6) * 4
    assert (report.samples, report.steps, report.peak_bytes, report.state_bytes) == (B, T, None, 0)


def test_linear_relu_linear_is_exact():
    # relu saves its result; the second linear layer saves the same storage once more
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    report = memory(network, torch.rand(T, B, 4))
    assert report.parts == {"0": 0, "1": T * B * 6 * 4, "2": 0}
    assert report.saved_bytes == T * B * 6 * 4
    assert report.saved_bytes_per_sample == T * 6 * 4


def test_sigmoid_in_double_and_loss():
    network = nn.Sequential(nn.Linear(4, 6), nn.Sigmoid()).double()
    x = torch.rand(T, B, 4, dtype=torch.float64)
    plain = memory(network, x)
    assert plain.saved_bytes == T * B * 6 * 8
    # exp saves its own result, of the same size, outside of the network
    with_loss = memory(network, x, loss=lambda y: y.exp().sum())
    assert with_loss.parts == {"0": 0, "1": T * B * 6 * 8, "loss": T * B * 6 * 8}


class Chain(nn.Module):
    def __init__(self, *functions) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.functions = functions

    def forward(self, x):
        x = x * self.weight
        for function in self.functions:
            x = function(x)
        return x


def test_views_count_their_whole_storage_once():
    # sin saves its input; both inputs are rows of one storage [T, B, 4]
    report = memory(Chain(lambda x: x[0].sin() + x[1].sin()), torch.rand(T, B, 4))
    assert report.saved_bytes == T * B * 4 * 4


def test_what_is_dropped_before_the_end_does_not_count():
    # detach cuts the graph of exp: its saved result dies with it
    assert memory(Chain(torch.exp, torch.detach), torch.rand(T, B, 4)).saved_bytes == 0
    assert memory(Chain(torch.exp), torch.rand(T, B, 4)).saved_bytes == T * B * 4 * 4


def test_recomputation_saves_less():
    def deep(x):
        return x.exp().exp().exp()

    size = T * B * 4 * 4
    kept = memory(Chain(deep), torch.rand(T, B, 4))
    recomputed = memory(Chain(lambda x: checkpoint(deep, x, use_reentrant=False)), torch.rand(T, B, 4))
    assert (kept.saved_bytes, recomputed.saved_bytes) == (3 * size, size)  # only what it starts from


def test_attributes_of_custom_functions_are_found():
    report = memory(Chain(Straight.apply), torch.rand(T, B, 4))
    assert report.saved_bytes == T * B * 4 * 4 + 7 * 8


def test_blocks_states_and_mask():
    network, x = TinyNetwork(), torch.rand(T, B, 2)
    report = memory(network, x, prefix_mask([5, 2, 1], T))
    assert list(report.parts)[:3] == ["blocks.0", "blocks.1", "readout"]
    assert report.state_bytes == B * (3 + 4) * 4
    assert report.steps == pytest.approx(8 / 3)
    assert report.parts["blocks.0"] == 0  # the comparison cuts the graph
    assert report.table()[-1] == {"name": "total", "saved_bytes": report.saved_bytes}
    assert json.loads(json.dumps(report.to_dict()))["peak_bytes"] is None


def test_doubling_the_batch_doubles_the_bytes():
    network = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh())
    one, two = (memory(network, torch.rand(T, b, 4)) for b in (2, 4))
    assert two.saved_bytes == 2 * one.saved_bytes > 0


def test_network_is_left_as_it_was():
    network = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5)).eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    stream = torch.get_rng_state()
    memory(network, torch.rand(8, 4, generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert torch.equal(stream, torch.get_rng_state())
    assert not network.training
    assert all(p.grad is None for p in network.parameters())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in network.modules())


def test_mask_for_a_module_that_takes_none():
    with pytest.raises(ConfigError, match=r"Linear takes no mask\.\n  Hint: "):
        memory(nn.Linear(2, 2), torch.rand(T, B, 2), prefix_mask([5, 2, 1], T))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_device_peak():
    network = nn.Sequential(nn.Linear(64, 512), nn.Tanh()).cuda()
    x = torch.rand(10, 8, 64, device="cuda")
    report = memory(network, x)
    assert report.saved_bytes == 10 * 8 * 512 * 4
    assert report.peak_bytes is not None and report.peak_bytes >= report.saved_bytes
