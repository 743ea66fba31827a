from __future__ import annotations

import gc
import json
import time

import pytest
import torch
from tests.measure.nets import TinyNetwork, prefix_mask
from torch import nn

from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.measure import SpeedReport, Timing, speed


class Sleeper(nn.Module):
    """Takes a known time and notes when it was called, and how."""

    def __init__(self, seconds: float, log: list[str], name: str) -> None:
        super().__init__()
        self.seconds, self.log, self.name = seconds, log, name
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x):
        time.sleep(self.seconds)
        self.log.append(self.name + ("T" if self.training else "I"))
        return x * self.weight


def test_rates_ratio_and_turns():
    log: list[str] = []
    slow, fast = Sleeper(0.02, log, "s"), Sleeper(0.002, log, "f")
    report = speed(fast, torch.rand(2, 10, 1), repeats=3, warmup=1, baseline=slow)
    turns = ["f", "s", "f", "s", "s", "f", "f", "s"]  # warm-up, then every other turn in reverse
    assert log == [f"{name}{mode}" for mode in "IT" for name in turns]
    assert report.inference.samples_per_second <= 10 / 0.002
    assert report.inference_ratio is not None and report.inference_ratio > 1.5
    assert report.training_ratio is not None and report.training_ratio > 1.5
    assert len(report.inference.seconds) == 3
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["training_ratio"] == report.training_ratio
    assert plain["inference"]["samples_per_second"] == report.inference.samples_per_second


def test_median_and_spread_by_hand():
    timing = Timing(seconds=(0.1, 0.2, 0.3, 0.4, 9.0), samples=6)
    assert timing.samples_per_second == pytest.approx(20)
    assert timing.spread == pytest.approx((0.4 - 0.2) / 0.3)
    assert Timing(seconds=(0.1,), samples=1).spread is None


def test_ratio_is_the_median_over_pairs():
    own = Timing(seconds=(1.0, 1.0, 2.0), samples=1)
    other = Timing(seconds=(2.0, 3.0, 2.0), samples=1)
    report = SpeedReport(
        inference=own,
        training=own,
        baseline_inference=other,
        baseline_training=None,
        samples=1,
        steps=1.0,
        repeats=3,
        warmup=0,
    )
    assert (report.inference_ratio, report.training_ratio) == (2.0, None)


class Noisy(nn.Module):
    """Everything that a forward pass may change: statistics, global and own random streams."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.frozen = nn.BatchNorm1d(4)
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)
        self.generator = torch.Generator().manual_seed(3)

    def forward(self, x):
        x = x + torch.rand(x.shape, generator=self.generator)
        return self.drop(self.norm(self.frozen(self.linear(x))))


def test_everything_is_left_as_it_was():
    network, other = Noisy(), Noisy().eval()
    network.frozen.eval()
    network.linear.weight.grad = torch.full((4, 4), 7.0)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    modes = [m.training for m in network.modules()]
    stream, own = torch.get_rng_state(), network.generator.get_state()
    report = speed(network, torch.zeros(6, 4), repeats=2, warmup=1, baseline=other)
    assert report.training is not None and report.baseline_training is not None
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert modes == [m.training for m in network.modules()] and not other.training
    assert torch.equal(network.linear.weight.grad, torch.full((4, 4), 7.0))
    assert network.linear.bias.grad is None and network.norm.weight.grad is None
    assert torch.equal(stream, torch.get_rng_state())
    assert torch.equal(own, network.generator.get_state())
    assert gc.isenabled()


def test_everything_is_left_as_it_was_after_an_error():
    network, stream = Noisy(), torch.get_rng_state()
    with pytest.raises(RuntimeError):
        speed(network, torch.zeros(6, 3))
    assert all(m.training for m in network.modules())
    assert torch.equal(stream, torch.get_rng_state()) and gc.isenabled()


def test_buffers_used_by_a_pending_backward_stay_usable():
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).eval()
    pending = network(torch.rand(6, 4)).sum()
    speed(network, torch.rand(6, 4), repeats=1, warmup=0, training=False)
    pending.backward()
    assert network[0].weight.grad is not None


def test_mask_and_loss_are_used():
    network, x, mask = TinyNetwork(), torch.rand(4, 3, 2), prefix_mask([4, 2, 1], 4)
    seen = []

    def loss(output):
        seen.append(output.shape)
        return output.sum()

    report = speed(network, x, mask, loss, repeats=2, warmup=1)
    assert seen == [(3, 5)] * 3
    assert (report.samples, report.steps) == (3, pytest.approx(7 / 3))


def test_without_parameters_or_without_training():
    assert speed(nn.ReLU(), torch.rand(4, 3, 2), repeats=1, warmup=0).training is None
    report = speed(nn.Linear(2, 2), torch.rand(4, 3, 2), repeats=1, warmup=0, training=False)
    assert report.training is None and report.training_ratio is None and report.inference_ratio is None


def test_bad_options_are_named():
    with pytest.raises(ConfigError, match="repeats >= 1"):
        speed(nn.ReLU(), torch.rand(4, 3, 2), repeats=0)
    with pytest.raises(ShapeError, match="Nothing to measure"):
        speed(nn.ReLU(), torch.rand(4, 0, 2))
