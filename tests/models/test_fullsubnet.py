"""Spiking-FullSubNet: parameter counts, sections, filters that start as the identity, memories normalised by batch."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from spikeworks.core.errors import ConfigError
from spikeworks.data.deep_filter import Mask
from spikeworks.layers import FrequencyReadout, ReadoutConfig, Section, SectionDense
from spikeworks.models import NETWORKS, FullSubNetConfig
from spikeworks.neurons import GSN, NormedGSN, Surrogate, config_for

SMOOTH = GSN.Config(surrogate=Surrogate(kind="sigmoid", width=1.0))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("size", "taps", "parameters", "units"),
    [
        ("s", 3, 520_920, [8, 3, 2]), ("m", 5, 953_704, [8, 3, 2]), ("l", 5, 1_289_004, [16, 24, 2, 1]),
        ("xl", 5, 1_797_928, [8, 3, 2]),
    ],
)  # fmt: skip
def test_the_published_sizes_have_the_published_parameters(size, taps, parameters, units):
    network = NETWORKS.get(f"spiking-fullsubnet-{size}")().build(257, 2 * 257 * taps, generator())
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert [section.units for section in network.readout.linear.sections] == units


def test_the_small_form_for_8_khz_has_the_parameters_of_its_prototype():
    config = FullSubNetConfig(widths=(4, 16, 32), orders=(3, 1, 1))
    assert sum(p.numel() for p in config.build(129, 2 * 129 * 3, generator()).parameters()) == 88_984


def test_at_129_frequencies_sections_have_the_proportions_of_those_at_257():
    found = [(s.low, s.high, s.width) for s in FullSubNetConfig().sections(128)]
    assert found == [(0, 16, 2), (16, 64, 16), (64, 128, 32)]


@given(st.integers(1, 70), st.integers(0, 9))
def test_every_frequency_is_in_exactly_one_unit_and_folding_gives_it_back(bins, seed):
    sections = FullSubNetConfig().sections(bins)
    x = torch.randn(2, 3, bins, generator=generator(seed))
    folded = [section.fold(section.unfold(x)) for section in sections]
    assert_close(torch.cat(folded, 2), x, rtol=0, atol=0)
    covered = list(itertools.chain.from_iterable(range(s.low, s.high) for s in sections))
    assert covered == list(range(bins))


def test_a_unit_hears_its_neighbours_and_beyond_the_border_the_spectrum_mirrored():
    x = torch.arange(8.0).reshape(1, 1, 8)
    low, high = Section(0, 4, 2), Section(4, 8, 4)
    assert low.unfold(x, 2)[0, 0].tolist() == [[2, 1, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5]]
    assert high.unfold(x, 2)[0, 0].tolist() == [[2, 3, 4, 5, 6, 7, 6, 5]]


def test_the_readout_answers_each_frequency_from_its_own_unit():
    sections = (Section(0, 4, 2, 2), Section(4, 6, 2, 1))
    dense = SectionDense(sections, (3, 5), 7, parts=2, taps=3, generator=generator())
    for made in dense.maps:
        torch.nn.init.normal_(made.bias, generator=generator(1))
    x = torch.randn(2 * 3 + 5, generator=generator(2))
    found = dense(x).reshape(2, 7, 3)  # parts, frequencies, taps
    units = [(dense.maps[0], x[:3], 0), (dense.maps[0], x[3:6], 2), (dense.maps[1], x[6:], 4)]
    expected = torch.zeros(2, 7, 3)
    for made, heard, first in units:
        order = len(made.weight) // 4
        numbers = made.weight @ heard + made.bias
        for index, (part, place, tap) in enumerate(itertools.product(range(2), range(2), range(order))):
            expected[part, first + place, 3 - order + tap] = numbers[index]
    assert_close(found, expected)
    assert not found[:, 6].any()  # in no section


@pytest.mark.parametrize("kind", ["magnitude", "complex"])
def test_with_a_start_of_0_the_noisy_spectrum_passes_whole_and_the_last_frequency_always(kind):
    mask = Mask(kind, 3 if kind == "complex" else 1)
    spectrum = torch.randn(6, 2, 9, dtype=torch.complex64, generator=generator())
    for start in (0.0, 1.0):
        network = FullSubNetConfig(start=start).build(9, mask.outputs(9), generator())
        shaped, _ = mask(spectrum, network(spectrum.abs())[0])
        assert_close(shaped[..., 8], spectrum[..., 8])
        assert torch.allclose(shaped, spectrum, atol=1e-6) == (start == 0.0)


def test_the_first_units_hear_nothing_of_the_highest_frequencies_but_all_hear_the_full_band():
    config = FullSubNetConfig(neuron=SMOOTH, full_bins=4, neighbours=2)
    network = config.build(33, 66, generator()).double()
    x = torch.rand(3, 1, 33, dtype=torch.float64, generator=generator(1), requires_grad=True)
    answer = network(x)[0].unflatten(2, (2, 33))
    (low,) = torch.autograd.grad(answer[-1, 0, :, 0].sum(), x, retain_graph=True)
    (high,) = torch.autograd.grad(answer[-1, 0, :, 31].sum(), x)
    assert not low[..., 12:].any() and low[..., :4].any()
    assert high[..., :4].any() and not high[..., 4:8].any() and high[..., 31].any()
    assert not high[..., 32].any()  # the last frequency is heard by nobody


def test_the_units_of_a_section_share_one_model():
    """Two units that hear the same answer the same."""
    config = FullSubNetConfig(cuts=(8,), widths=(2,), neighbours=0, full_bins=2)
    network = config.build(8, 8, generator())
    x = torch.rand(5, 1, 2, generator=generator(1)).repeat(1, 1, 4)
    answer = network(x)[0].unflatten(2, (4, 2))
    assert_close(answer, answer[:, :, :1].expand_as(answer))


# -- memories normalised over the batch ------------------------------------------------------------


def normed(size: int = 5, shared: bool = True) -> NormedGSN:
    made = NormedGSN(size, shared=shared, trainable=("gate_bias", "cell_bias", "gain", "offset"), generator=generator())
    with torch.no_grad():
        made.stored_gain.copy_(0.5 + torch.rand(size, generator=generator(1)))
        made.stored_offset.copy_(torch.randn(size, generator=generator(2)))
    return made.double()


def test_in_training_every_step_is_normalised_over_its_batch_and_carried_on():
    neuron = normed().train()
    x = torch.randn(4, 6, 5, dtype=torch.float64, generator=generator(3))
    y, state = neuron(x)
    cell, mean, variance = torch.zeros(6, 5, dtype=torch.float64), torch.zeros(5).double(), torch.ones(5).double()
    for t in range(4):
        gate = torch.sigmoid(x[t] + neuron.gate_bias)
        cell = gate * cell + (1 - gate) * (x[t] + neuron.cell_bias)
        mean = 0.9 * mean + 0.1 * cell.mean(0)
        variance = 0.9 * variance + 0.1 * cell.var(0)
        cell = neuron.gain * (cell - cell.mean(0)) / (cell.var(0, correction=0) + 1e-5).sqrt() + neuron.offset
        assert torch.equal(y[t], (cell >= 0).double())
    assert_close(state.cell, cell)
    assert_close(neuron.mean, mean.detach())
    assert_close(neuron.variance, variance.detach())


@pytest.mark.parametrize("shared", [True, False])
def test_in_evaluation_the_folded_form_equals_batch_norm_by_running_averages(shared):
    neuron = normed(shared=shared).train()
    x = torch.randn(4, 6, 5, dtype=torch.float64, generator=generator(3))
    signal = x if shared else (x, x.flip(0))
    neuron(signal)
    neuron.eval()
    y, state = neuron(signal)
    assert neuron.backend_report(dtype=torch.float64)[0] in ("c", "torch")
    cell = torch.zeros(6, 5, dtype=torch.float64)
    for t in range(4):
        gate = torch.sigmoid(x[t] + neuron.gate_bias)
        cell = gate * cell + (1 - gate) * ((x if shared else x.flip(0))[t] + neuron.cell_bias)
        cell = torch.nn.functional.batch_norm(cell, neuron.mean, neuron.variance, neuron.gain, neuron.offset, False)
        assert torch.equal(y[t], (cell >= 0).double())
    assert_close(state.cell, cell)
    assert_close(neuron.leak(), neuron.gain / (neuron.variance + 1e-5).sqrt())


def test_gradients_pass_through_the_normalised_recurrence():
    neuron = NormedGSN(
        3, surrogate=Surrogate(kind="sigmoid", width=1.0), trainable=("gate_bias", "gain"), generator=generator()
    )
    neuron = neuron.double().train()
    x = torch.randn(3, 4, 3, dtype=torch.float64, generator=generator(3), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: neuron(x)[1].cell, (x,))


def test_one_sequence_has_no_variance_and_leaves_the_averages_finite():
    neuron = normed().train()
    _, state = neuron(torch.randn(3, 1, 5, dtype=torch.float64, generator=generator(3)))
    assert_close(state.cell, neuron.offset.detach().expand(1, 5))
    assert neuron.variance.isfinite().all() and neuron.mean.isfinite().all()


# -- what cannot be ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"norm": "memory", "neuron": config_for("lif")}, "Norm memory is one of GSN"),
        ({"norm": "batch"}, "norm is none, layer or memory"),
        ({"start": -1.0}, "a factor from 0 on"),
        ({"neighbours": -1}, "a number from 0 on"),
        ({"sub_hidden": ()}, "at least one block"),
    ],
)
def test_descriptions_that_cannot_be_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        FullSubNetConfig(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cuts": (4, 8, 20)}, "the last at 16"),
        ({"cuts": (8, 4, 16)}, "ascending"),
        ({"cuts": (4, 8, 16), "widths": (3, 2, 8)}, "whole number of units"),
        ({"widths": (1, 2)}, "Each section has a cut, a width and an order"),
        ({"orders": (2, 1, 1)}, "up to 2 taps do not fit a task with 1"),
        ({"full_bins": 17}, "1 to 16 frequencies"),
        ({"neighbours": 16}, "fewer neighbours"),
    ],
)
def test_networks_that_do_not_fit_their_spectrum_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        FullSubNetConfig(**fields).build(17, 34, generator())


def test_tokens_and_frames_are_refused_and_a_readout_of_frequencies_answers_every_frame():
    with pytest.raises(ConfigError, match="takes frames of a spectrum"):
        FullSubNetConfig().build(10, 10, generator(), tokens=True)
    with pytest.raises(ConfigError, match="takes frames of a spectrum"):
        FullSubNetConfig().build((1, 8, 8), 10, generator())
    dense = SectionDense((Section(0, 2, 2),), (3,), 2, parts=1, taps=1)
    with pytest.raises(ConfigError, match="answers every frame"):
        FrequencyReadout(dense, ReadoutConfig(kind="mean"))


def test_a_task_that_asks_for_something_else_gets_a_dense_readout_of_all_units():
    network = FullSubNetConfig(readout=ReadoutConfig(kind="mean")).build(40, 10, generator())
    assert network(torch.rand(6, 2, 40))[0].shape == (2, 10)
