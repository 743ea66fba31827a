"""What a single neuron does, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from spikeworks.core.errors import ConfigError
from spikeworks.measure import portrait
from spikeworks.neurons import LIF, TCLIF, Reset


def test_rate_of_an_integrator_is_its_input():
    neuron = LIF(1, decay=1.0)
    currents = torch.tensor([0.0, 0.25, 0.5, 1.0, 3.0])
    assert_close(portrait.rate_curve(neuron, currents, 800), torch.tensor([0.0, 0.25, 0.5, 1.0, 1.0]))


def test_firing_starts_where_the_potential_settles_on_the_threshold():
    found = portrait.firing_current(LIF(3, decay=0.9))
    assert found == pytest.approx(0.1, rel=0.05)  # x / (1 - decay) = threshold
    assert portrait.firing_current(LIF(1, threshold=1e9)) is None


def test_impulse_response_is_the_decay():
    (trace,) = portrait.impulse_response(LIF(2, decay=0.8), 0.1, 30).values()
    assert_close(trace, 0.1 * 0.8 ** torch.arange(30.0))


def test_memory_of_a_neuron_without_reset_is_a_power_of_its_decay():
    memory = portrait.memory_horizon(LIF(1, decay=0.9, reset=Reset(kind="none")), drive=1.0, steps=100)
    ratios = memory.gradient[1:] / memory.gradient[:-1]
    assert_close(ratios, torch.full((99,), 0.9), rtol=1e-4, atol=0)
    assert memory.horizon == math.floor(math.log(0.01) / math.log(0.9))


def test_phase_plane_has_two_states():
    names, path = portrait.phase_plane(TCLIF(1), 0.5, 20)
    assert names == ("dendrite", "soma") and path.shape == (20, 2)
    with pytest.raises(ConfigError, match="needs two states, this neuron has 1"):
        portrait.phase_plane(LIF(1), 0.5)
