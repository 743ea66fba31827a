"""Pooling over frames, held against torch's own, and what it keeps for backward."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torch.testing import assert_close

from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.layers import Readout, ReadoutConfig
from spikeworks.layers.pool import AveragePool2d, MaxPool2d, PooledReadout
from spikeworks.measure import count_operations, memory
from spikeworks.measure.memory import predict
from spikeworks.models import ResNet18Config


def frames(*shape: int, rate: float | None = None, seed: int = 0) -> torch.Tensor:
    x = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x if rate is None else (x < rate).double()).requires_grad_()


@given(
    size=st.integers(1, 4),
    stride=st.integers(1, 3),
    padded=st.booleans(),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    spikes=st.booleans(),
)
def test_maxima_are_those_of_torch_ties_included(size, stride, padded, height, width, spikes):
    padding = size // 2 if padded else 0
    x = frames(2, 3, 2, height, width, rate=0.4 if spikes else None)
    pool = MaxPool2d(size, stride=stride, padding=padding)
    if min(map(pool.length, (height, width))) < 1:
        with pytest.raises(ShapeError, match="has no place"):
            pool(x)
        return
    y = pool(x)
    plain = functional.max_pool2d(x.flatten(0, 1), size, stride, padding).reshape(y.shape)
    assert torch.equal(y, plain) and torch.equal(pool(x.detach()), plain)
    weights = torch.rand_like(y)
    for ours, theirs in zip(torch.autograd.grad(y, x, weights), torch.autograd.grad(plain, x, weights), strict=True):
        assert_close(ours, theirs, rtol=0, atol=1e-15)


@given(size=st.integers(1, 4), height=st.integers(1, 9), width=st.integers(1, 9))
def test_means_are_those_of_torch(size, height, width):
    x, pool = frames(2, 3, 2, height, width), AveragePool2d(size)
    if min(height, width) < size:
        with pytest.raises(ShapeError, match=rf"AveragePool2d of size {size} has no place on {height} x {width}"):
            pool(x)
        return
    y = pool(x)
    plain = functional.avg_pool2d(x.flatten(0, 1), size).reshape(y.shape)
    weights = torch.rand_like(y)
    assert_close(y, plain)
    assert_close(torch.autograd.grad(y, x, weights), torch.autograd.grad(plain, x, weights))


def test_second_derivatives():
    x = frames(1, 2, 1, 5, 4)
    for pool in (AveragePool2d(2), MaxPool2d(3, stride=2, padding=1)):
        assert torch.autograd.gradcheck(pool, x)
        assert torch.autograd.gradgradcheck(pool, x)


def test_little_is_kept():
    x = frames(4, 3, 2, 8, 8).detach().float()
    behind = torch.nn.Identity()

    class Pooled(torch.nn.Module):
        def __init__(self, pool):
            super().__init__()
            self.scale, self.pool, self.behind = torch.nn.Parameter(torch.ones(())), pool, behind

        def forward(self, x):
            return self.pool(x + self.scale)  # the sum itself keeps nothing

    assert memory(Pooled(AveragePool2d(2)), x).saved_bytes == 0
    assert memory(Pooled(MaxPool2d(2)), x).saved_bytes == x.numel() // 4


def test_maxima_of_spikes_are_foreseen_to_wait_as_bits():
    config = ResNet18Config(stem="pooled", width=0.125, depths=(1,), memory="packed")
    network = config.build((3, 32, 32), 2, torch.Generator().manual_seed(0))
    foreseen = predict(network, (3, 2, 3, 32, 32)).parts["blocks.1"]
    assert foreseen == memory(network, torch.rand(3, 2, 3, 32, 32)).parts["blocks.1"] == 3 * 2 * 8 * 8 * 8 // 8


@pytest.mark.parametrize("kind", ["mean", "last", "sum", "leaky", "every"])
def test_readout_of_means(kind):
    config = ReadoutConfig(kind=kind)
    pooled = PooledReadout(3, 5, config, generator=torch.Generator().manual_seed(0))
    plain = Readout(3, 5, config)
    plain.load_state_dict(pooled.state_dict())
    x = frames(6, 2, 3, 4, 5).float()
    assert_close(pooled(x)[0], plain(x.mean((3, 4)))[0])
    first, state = pooled(x[:4])
    second, _ = pooled(x[4:], state)
    whole = torch.cat([first, second]) if kind == "every" else second
    assert_close(whole, pooled(x)[0])
    copy = pooled.fresh((7, 2, 2), None)
    assert isinstance(copy, PooledReadout) and copy.linear.weight.shape == (5, 7) and copy.config == config


def test_dropout_of_means_is_tied_over_time_and_off_in_evaluation():
    readout = PooledReadout(400, 2, ReadoutConfig(), dropout=0.5)
    x = torch.ones(3, 2, 400, 2, 2)
    kept = readout.features(x)
    assert set(kept.unique().tolist()) == {0.0, 2.0} and torch.equal(kept[0], kept[2])
    assert torch.equal(readout.eval().features(x), torch.ones(3, 2, 400))


def test_operations():
    x = (torch.arange(32).reshape(2, 1, 1, 4, 4) % 3 == 0).float()
    ones = x.sum().item()
    assert count_operations(torch.nn.Sequential(AveragePool2d(2)), x).total.acs == ones
    assert count_operations(torch.nn.Sequential(MaxPool2d(2)), x).total.acs == 2 * 4 * 3
    counted = count_operations(torch.nn.Sequential(PooledReadout(1, 5, ReadoutConfig())), x).total
    assert counted.acs == ones and counted.macs == 2 * 5  # the means are no spikes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaxPool2d(0), "a size of 1 to 15"),
        (lambda: MaxPool2d(16), "a size of 1 to 15"),
        (lambda: MaxPool2d(3, padding=2), "at most half the size, got 3, 3 and 2"),
        (lambda: MaxPool2d(2, stride=0), "a stride of at least 1"),
    ],
)
def test_numbers_out_of_range(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_other_axes():
    with pytest.raises(ShapeError, match=r"MaxPool2d expected x of shape \[T, B, C, H, W\], got \[3, 4, 5, 6\]"):
        MaxPool2d(2)(torch.zeros(3, 4, 5, 6))
