"""Simulated microphones against what geometry says."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.errors import ConfigError
from spikeworks.data.microphones import CircularArray

ARRAY = CircularArray()


def test_delays_of_a_wave_along_an_axis():
    longest = 0.032 / 343
    expected = torch.tensor([[-1, 0, 1, 0], [0, -1, 0, 1]]) * longest
    torch.testing.assert_close(ARRAY.delays(torch.tensor([0.0, math.pi / 2])).float(), expected, rtol=0, atol=1e-9)
    assert 1.4 < longest * 16_000 < 1.5


@given(st.floats(-7, 7))
def test_delays_of_opposite_microphones_cancel_and_turn_with_the_source(azimuth):
    late = ARRAY.delays(torch.tensor(azimuth))
    torch.testing.assert_close(late[:2], -late[2:])
    torch.testing.assert_close(ARRAY.delays(torch.tensor(azimuth + math.pi / 2)), late.roll(1), rtol=0, atol=1e-9)


def tones(seconds, periods):
    """Sinusoids with whole numbers of ``periods`` in 800 samples, at given times."""
    return sum(torch.sin(2 * math.pi * n * 20 * seconds + n) for n in periods)


@given(st.floats(0, 7), st.sets(st.integers(1, 399), min_size=1, max_size=5))
def test_rendering_equals_the_sound_at_each_microphones_own_time(azimuth, periods):
    time = torch.arange(800, dtype=torch.float64) / 16_000
    heard = ARRAY.render(tones(time, periods)[None], torch.tensor([azimuth], dtype=torch.float64))
    expected = tones(time[:, None] - ARRAY.delays(torch.tensor(azimuth, dtype=torch.float64)), periods)
    torch.testing.assert_close(heard[0], expected, rtol=0, atol=1e-9)


def test_the_margin_is_enough_for_sounds_that_are_not_periodic():
    time = torch.arange(-ARRAY.margin, 500 + ARRAY.margin, dtype=torch.float64) / 16_000
    azimuth = torch.tensor([0.7])
    periods = (13.3, 47.7, 101.1, 187.9)  # up to 3.8 kHz
    heard = ARRAY.render(tones(time, periods)[None], azimuth)[0, ARRAY.margin : -ARRAY.margin]
    inner = time[ARRAY.margin : -ARRAY.margin]
    expected = tones(inner[:, None] - ARRAY.delays(azimuth), periods)
    assert (heard - expected).abs().max() < 0.01 * expected.abs().max()


@pytest.mark.parametrize("azimuth", [0.0, 0.6, 2.0, 4.4])
def test_cross_correlation_peaks_at_the_analytic_delay(azimuth):
    source = torch.randn(3, 1024, generator=torch.Generator().manual_seed(0))
    azimuths = torch.full((3,), azimuth)
    heard = ARRAY.render(source, azimuths)
    assert heard.dtype == torch.float32 and heard.shape == (3, 1024, 4)
    spectra = torch.fft.rfft(heard, dim=1)
    late = ARRAY.delays(azimuths[0]) * ARRAY.rate
    for one, other in ((0, 2), (1, 3), (0, 1)):
        finer = torch.fft.irfft(spectra[..., other] * spectra[..., one].conj(), n=16 * 1024)  # 16 lags a sample
        lag = (finer.argmax(1) + 8 * 1024) % (16 * 1024) - 8 * 1024
        assert ((lag / 16 - (late[other] - late[one])).abs() <= 1 / 16).all()


def coherence_of(noise):
    spectra = torch.fft.rfft(noise.double(), dim=1)
    cross = torch.einsum("nfa,nfb->fab", spectra, spectra.conj()) / len(noise)
    power = cross.diagonal(dim1=1, dim2=2).real.sqrt()
    return (cross / (power[:, :, None] * power[:, None, :])).real


def test_diffuse_noise_is_as_coherent_as_a_field_from_all_sides():
    noise = ARRAY.diffuse_noise(4000, 64, torch.Generator().manual_seed(0))
    assert noise.square().mean((0, 1)).sub(1).abs().max() < 0.03
    found = coherence_of(noise)
    frequencies = torch.arange(33, dtype=torch.float64) * 250
    for (one, other), distance in {(0, 2): 0.064, (0, 1): 0.032 * math.sqrt(2), (1, 3): 0.064}.items():
        x = 2 * math.pi * frequencies * distance / 343
        expected = torch.where(x > 0, torch.sin(x) / x.clamp_min(1e-9), 1.0)
        assert (found[:, one, other] - expected).abs().max() < 0.07


def test_incoherent_noise_is_not():
    noise = ARRAY.incoherent_noise(4000, 64, torch.Generator().manual_seed(0))
    assert noise.square().mean((0, 1)).sub(1).abs().max() < 0.03
    assert (coherence_of(noise) - torch.eye(4)).abs().max() < 0.07


def test_wrong_arrays():
    with pytest.raises(ConfigError, match="radius, rate and speed above 0"):
        CircularArray(radius=0.0)
    with pytest.raises(ConfigError, match="has microphones"):
        CircularArray(microphones=0)
