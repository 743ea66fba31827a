from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.measure.nets import TinyNetwork, prefix_mask, quarter_half_silent
from torch import nn
from torch.nn import functional

from spikeworks.core.errors import ShapeError, UnknownName
from spikeworks.layers import Dense, Readout, ReadoutConfig, Recurrent
from spikeworks.measure import count_operations
from spikeworks.measure.conventions import CONVENTIONS, NEUROBENCH
from spikeworks.measure.energy_by import energy_by
from spikeworks.models import NETWORKS, ConvNetConfig, FrameNetworkConfig
from spikeworks.neurons import LIF

SYNAPSES = ["blocks.0.synapse", "blocks.1.synapse", "readout.linear"]


def counts(report):
    return {layer.name: (layer.macs, layer.acs, layer.dense) for layer in report.layers}


def test_neurobench_equals_pen_and_paper():
    report = energy_by(TinyNetwork(), quarter_half_silent(), convention="neurobench")
    # 5 of 6 inputs are not 0 and reach 3 neurons; 3 spikes reach 4; 4 spikes reach 5
    assert counts(report) == dict(zip(SYNAPSES, [(15, 0, 18), (0, 12, 36), (0, 20, 60)], strict=True))
    assert (report.macs, report.acs, report.dense) == (15, 32, 114)
    assert report.energy_nj * 1e3 == pytest.approx(15 * 4.6 + 32 * 0.9)
    assert [layer.rate for layer in report.layers] == pytest.approx([1.85 / 6, 3 / 9, 4 / 12])
    assert report.unseen == ("blocks.0.neuron", "blocks.1.neuron")
    assert (report.samples, report.steps) == (1, 3.0)


def test_sop_equals_pen_and_paper():
    report = energy_by(TinyNetwork(), quarter_half_silent(), convention="sop")
    # all of the first layer; 3 of 9 inputs spike: 36 / 3; 4 of 12: 60 / 3
    found = [value for name in SYNAPSES for value in counts(report)[name]]
    assert found == pytest.approx([18, 0, 18, 0, 12, 36, 0, 20, 60])
    assert report.energy_nj * 1e3 == pytest.approx(18 * 4.6 + 32 * 0.9)
    still = energy_by(TinyNetwork(), quarter_half_silent(), convention="sop-still")
    assert still.energy_nj * 1e3 == pytest.approx(6 * 4.6 + 32 * 0.9)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_only_the_arena_divides_by_steps(name):
    x = quarter_half_silent()
    once, twice = (energy_by(TinyNetwork(), x.repeat(1, n, 1), convention=name) for n in (1, 2))
    if name == "neurobench-nsa":  # [T=3, B]: 15 and 32 operations divided by 3, whatever B is
        assert (once.macs, once.acs) == pytest.approx((15 / 3, 32 / 3))
        assert (twice.macs, twice.acs) == pytest.approx((2 * 15 / 3, 2 * 32 / 3))
        assert twice.energy_nj == pytest.approx(2 * once.energy_nj)
    else:
        assert counts(twice) == {name: pytest.approx(values) for name, values in counts(once).items()}


def test_a_silent_network_costs_the_first_layer_alone():
    x = torch.full((3, 2, 2), 0.1)
    for name, macs in (("neurobench", 18), ("sop", 18), ("sop-still", 6), ("neurobench-nsa", 18 * 2 / 3)):
        report = energy_by(TinyNetwork(), x, convention=name)
        assert (report.macs, report.acs) == (pytest.approx(macs), 0)
        assert report.energy_nj * 1e3 == pytest.approx(macs * 4.6)


@pytest.mark.parametrize(
    "values, macs, acs, sop",
    [
        ([0.0, 1.0, 1.0], 0, 8, 8),
        ([-1.0, 0.0, 1.0], 0, 8, 8),
        ([0.0, 3.0, 1.0], 8, 0, 16),  # graded: MACs here, by value there
        ([0.0, 0.5, 1.0], 8, 0, 6),  # the zero is left out; half a spike
        ([0.0, 0.0, 0.0], 0, 0, 0),
    ],
    ids=["binary", "ternary", "graded", "real", "silent"],
)
def test_what_a_second_layer_reads(values, macs, acs, sop):
    class Second(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(1, 1), nn.Linear(3, 4)

        def forward(self, x):
            self.first(x[..., :1])
            return self.second(x)

    x = torch.tensor(values).reshape(1, 1, 3)
    assert counts(energy_by(Second(), x))["second"] == (macs, acs, 12)
    report = energy_by(Second(), x, convention="sop")
    assert counts(report)["second"] == pytest.approx((0, sop, 12))
    spikes = all(value in (-1, 0, 1) for value in values)
    assert report.charged_as_spikes == (() if spikes else ("second",))


@given(
    seed=st.integers(0, 1000),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    real=st.booleans(),
)
def test_hooks_of_the_published_meter(seed, kernel, stride, padding, real):
    """The rule as NeuroBench has it: all weights 1, no bias, applied to the inputs that are not 0."""
    generator = torch.Generator().manual_seed(seed)
    conv, linear = nn.Conv1d(2, 3, kernel, stride, padding), nn.Linear(3, 4)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.linear = conv, linear

        def forward(self, x):
            return self.linear((self.conv(x) > 0).float().mT)

    x = (torch.rand(5, 2, 9, generator=generator) < 0.4).float() * (0.5 if real else 1.0)
    found = counts(energy_by(Net(), x, batch_axis=0))
    pattern, ones = (x != 0).double(), torch.ones(3, 2, kernel, dtype=torch.float64)
    met = functional.conv1d(pattern, ones, None, stride, padding).sum().item() / 5
    dense = functional.conv1d(torch.ones_like(pattern), ones, None, stride, padding).sum().item() / 5
    silent = not x.any()
    assert found["conv"] == pytest.approx((met, 0, dense) if real and not silent else (0, met, dense))
    spikes = (conv(x) > 0).sum().item() / 5
    assert found["linear"][:2] == pytest.approx((0, spikes * 4))


def test_recurrent_weights_and_readouts_by_hand():
    class Net(nn.Module):
        def __init__(self, kind):
            super().__init__()
            self.synapse = Dense(1, 2)
            self.hidden = Recurrent(LIF(2, threshold=0.1, decay=0.5))
            self.readout = Readout(2, 3, ReadoutConfig(kind=kind))
            for weight in (self.synapse.weight, self.synapse.bias):
                nn.init.constant_(weight, 5.0)
            for weight in (self.hidden.synapse.weight, self.hidden.synapse.bias):
                nn.init.zeros_(weight)

        def forward(self, x):
            y, _ = self.hidden(self.synapse(x))
            return self.readout(y)

    x = torch.full((4, 1, 1), 0.5)  # both neurons fire at all four steps
    for kind in ("mean", "last", "every", "leaky"):
        report = energy_by(Net(kind), x)
        assert counts(report) == {
            "synapse": (4 * 1 * 2, 0, 8),
            "hidden.synapse": (0, 3 * 2 * 2, 16),  # nothing is heard before the first step
            "readout.linear": (0, 4 * 2 * 3, 24),
        }
        assert report.unseen == (("hidden", "readout") if kind == "leaky" else ("hidden",))


def test_masks_cut_padding_off():
    x, mask = torch.rand(7, 3, 2, generator=torch.Generator().manual_seed(0)), prefix_mask([7, 4, 1], 7)
    masked = energy_by(TinyNetwork(), x, mask)
    alone = [energy_by(TinyNetwork(), x[:n, b : b + 1]) for b, n in enumerate((7, 4, 1))]
    assert masked.macs == pytest.approx(sum(one.macs for one in alone) / 3)
    assert masked.acs == pytest.approx(sum(one.acs for one in alone) / 3)


def test_a_convention_of_ones_own_and_unknown_names():
    cheap = dataclasses.replace(NEUROBENCH, name="own", ac=dataclasses.replace(NEUROBENCH.ac, value=0.1))
    report = energy_by(TinyNetwork(), quarter_half_silent(), convention=cheap)
    assert report.energy_nj * 1e3 == pytest.approx(15 * 4.6 + 32 * 0.1)
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["acs"] == 32 and plain["convention"]["name"] == "own" and len(plain["layers"]) == 3
    with pytest.raises(UnknownName, match="energy convention 'neurobensh' is not registered. Did you mean 'neurobench"):
        energy_by(TinyNetwork(), quarter_half_silent(), convention="neurobensh")
    with pytest.raises(ShapeError, match="Nothing to measure"):
        energy_by(TinyNetwork(), torch.rand(0, 2, 2))


def test_every_convention_says_where_it_stands_and_what_is_wrong_with_it():
    for name in CONVENTIONS:
        one = CONVENTIONS.get(name)
        assert one.name == name and len(one.source) > 20 and len(one.faults) > 20
        assert (one.mac.value, one.ac.value) == (4.6, 0.9)


def test_measuring_leaves_no_trace():
    network = TinyNetwork()
    network.blocks[0].eval()
    energy_by(network, quarter_half_silent())
    assert network.training and not network.blocks[0].training
    assert all(not module._forward_hooks for module in network.modules())


FRAMES = ("conv", "conv8", "vgg11")
"""Networks for frames that are quick enough; the others are made of the same layers."""


@pytest.mark.parametrize(
    "name", [n for n in NETWORKS if n in FRAMES or not issubclass(NETWORKS.get(n), (FrameNetworkConfig, ConvNetConfig))]
)
def test_every_layer_of_every_network_is_counted(name):
    inputs, x = ((2, 16, 16), torch.rand(2, 1, 2, 16, 16)) if name in FRAMES else (6, torch.rand(5, 2, 6))
    network = NETWORKS.get(name)().build(inputs, 5, torch.Generator().manual_seed(0))
    counted = count_operations(network, x)
    assert counted.uncounted == counted.not_called == ()
    report = energy_by(network, x)
    assert 0 < report.macs + report.acs <= report.dense
    assert set(report.unseen) | {layer.name for layer in report.layers} >= {
        layer.name for layer in counted.layers if layer.operations.macs + layer.operations.acs > 0
    } - {"readout"}
