from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from tests.measure.nets import TinyNetwork, quarter_half_silent
from torch import nn

from spikeworks.core.errors import ConfigError, UnknownName
from spikeworks.measure import (
    DEFAULT_PROFILE,
    PROFILES,
    Constant,
    EnergyProfile,
    MemoryTier,
    count_operations,
    energy,
    price,
)


def test_default_constants_are_the_usual_ones():
    assert (DEFAULT_PROFILE.mac_pj, DEFAULT_PROFILE.ac_pj) == (4.6, 0.9)
    assert [t.word_pj(64) for t in DEFAULT_PROFILE.tiers] == [10, 20, 100, 1300]
    assert (PROFILES.get("int8-45nm").mac_pj, PROFILES.get("int8-45nm").ac_pj) == (0.23, 0.03)
    assert (PROFILES.get("fp16-45nm").mac_pj, PROFILES.get("fp16-45nm").ac_pj) == (1.5, 0.4)


def test_every_constant_has_a_unit_and_a_source():
    for name in PROFILES:
        profile = PROFILES.get(name)
        constants = [profile.multiply, profile.add, profile.special, *(t.access for t in profile.tiers)]
        assert all(c.unit == "pJ" and len(c.source) > 10 for c in constants)


def test_two_layers_equal_pen_and_paper_in_both_conventions():
    report = energy(TinyNetwork(), quarter_half_silent())
    pj = {layer.name: (layer.convention_nj * 1e3, layer.memory_aware_nj * 1e3) for layer in report.layers}
    word = 5.0  # 32 of 64 bits, 8 KB
    assert pj["blocks.0.synapse"] == pytest.approx((18 * 4.6, 18 * (4.6 + word)))
    assert pj["blocks.0.neuron"] == pytest.approx((9 * 5.5, 9 * (5.5 + 2 * word)))
    assert pj["blocks.1.synapse"] == pytest.approx((12 * 0.9, 12 * (0.9 + word)))
    assert pj["readout.linear"] == pytest.approx((20 * 0.9, 20 * (0.9 + word)))
    assert report.convention_nj * 1e3 == pytest.approx(39 * 4.6 + 53 * 0.9)
    assert report.memory_aware_nj * 1e3 == pytest.approx(39 * 4.6 + 53 * 0.9 + (50 + 42) * word)
    assert report.neurons_nj * 1e3 == pytest.approx(21 * 5.5)


def test_silent_network_costs_its_first_layer_and_the_neuron_updates():
    report = energy(TinyNetwork(), torch.full((3, 2, 2), 0.1))
    first = report.layers[0]
    assert first.name == "blocks.0.synapse"
    assert report.convention_nj - report.neurons_nj == pytest.approx(first.convention_nj)
    assert first.convention_nj * 1e3 == pytest.approx(3 * 2 * 3 * 4.6)


def test_always_firing_costs_ac_over_mac_of_the_dense_network():
    # E_SNN(convention) with rate * T = 1 equals 0.9 / 4.6 of the network on real values.
    layer, x = nn.Linear(8, 5, bias=False), torch.ones(1, 3, 8)
    spiking, real = energy(layer, x).convention_nj, energy(layer, x * 0.5).convention_nj
    assert spiking / real == pytest.approx(0.9 / 4.6)


def test_energy_grows_with_spikes_steps_and_bits():
    layer, generator = nn.Linear(16, 4), torch.Generator().manual_seed(0)
    draw = torch.rand(6, 2, 16, generator=generator)
    by_rate = [energy(layer, (draw < rate).float()).memory_aware_nj for rate in (0.0, 0.3, 0.6, 1.0)]
    assert by_rate == sorted(by_rate) and by_rate[0] == 0 < by_rate[1]
    by_steps = [energy(layer, torch.ones(t, 1, 16)).memory_aware_nj for t in (1, 2, 5)]
    assert by_steps == pytest.approx([by_steps[0], by_steps[0] * 2, by_steps[0] * 5])
    wide = dataclasses.replace(DEFAULT_PROFILE, weight_bits=64)
    counted = count_operations(layer, torch.ones(2, 1, 16))
    assert price(counted, wide).memory_aware_nj > price(counted).memory_aware_nj
    assert price(counted, wide).convention_nj == price(counted).convention_nj


@pytest.mark.parametrize(
    ("outputs", "memory", "word"),
    [(32, "SRAM 8 KB", 5.0), (33, "SRAM 32 KB", 10.0), (1000, "SRAM 1 MB", 50.0), (4097, "DRAM", 650.0)],
)
def test_weights_lie_in_the_smallest_memory_that_holds_them(outputs, memory, word):
    report = energy(nn.Linear(64, outputs, bias=False), torch.full((1, 1, 64), 0.5))
    (layer,) = report.layers
    assert layer.weight_memory == memory and layer.state_memory is None
    assert layer.weights_nj * 1e3 == pytest.approx(64 * outputs * word)


def test_states_of_one_step_choose_the_memory_not_those_of_a_sequence():
    network = TinyNetwork()
    one, many = energy(network, torch.rand(1, 1, 2)), energy(network, torch.rand(1000, 1, 2))
    assert one.layers[1].state_memory == many.layers[1].state_memory == "SRAM 8 KB"


def test_own_profile_and_named_profile():
    x = quarter_half_silent()
    free = Constant(0.0, "pJ", "a test")
    own = EnergyProfile(
        name="adds only",
        multiply=free,
        add=Constant(1.0, "pJ", "a test"),
        special=free,
        tiers=(MemoryTier(name="free", capacity_bytes=None, access=free, access_bits=8),),
        weight_bits=8,
        state_bits=8,
    )
    assert energy(TinyNetwork(), x, profile=own).memory_aware_nj * 1e3 == pytest.approx(39 + 53)
    flat = energy(TinyNetwork(), x, profile="step-flat")
    assert (flat.memory_aware_nj - flat.convention_nj) * 1e3 == pytest.approx((50 + 42) * 3.12)


def test_table_and_json_agree_with_the_report():
    report = energy(TinyNetwork(), quarter_half_silent())
    rows = report.table()
    assert [row["name"] for row in rows][-1] == "total" and len({tuple(row) for row in rows}) == 1
    assert rows[-1]["memory_aware_nj"] == report.memory_aware_nj
    assert sum(row["acs"] for row in rows[:-1]) == rows[-1]["acs"] == 53
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["convention_nj"] == report.convention_nj
    assert sum(layer["memory_aware_nj"] for layer in plain["layers"]) == pytest.approx(plain["memory_aware_nj"])
    assert plain["profile"]["add"]["source"].startswith("Horowitz")


def test_bad_profiles_are_named():
    with pytest.raises(UnknownName, match="Did you mean 'fp32-45nm'"):
        energy(TinyNetwork(), quarter_half_silent(), profile="fp32-45")
    with pytest.raises(ConfigError, match="finite and not negative"):
        Constant(-1.0, "pJ", "nowhere")
    with pytest.raises(ConfigError, match="unbounded last one"):
        dataclasses.replace(DEFAULT_PROFILE, tiers=DEFAULT_PROFILE.tiers[:2])
    with pytest.raises(ConfigError, match="positive widths"):
        dataclasses.replace(DEFAULT_PROFILE, state_bits=0)
