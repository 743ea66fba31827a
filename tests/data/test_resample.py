"""Resampling in pieces is that of the whole wave by scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import resample_poly

from spikeworks.core.errors import ConfigError
from spikeworks.data.resample import Resampler

RATES = [(44_100, 8_000), (8_000, 44_100), (16_000, 8_000), (8_000, 16_000), (48_000, 16_000), (11_025, 8_000)]


@given(st.sampled_from(RATES), st.integers(1, 3000), st.integers(1, 1000))
def test_pieces_are_the_whole(rates, samples, size):
    wave = np.random.default_rng(0).standard_normal((2, samples)).astype(np.float32)
    common = math.gcd(*rates)
    wanted = resample_poly(wave.astype(np.float64), rates[1] // common, rates[0] // common, axis=1)
    resampler = Resampler(*rates, channels=2)
    out = [resampler.push(wave[:, i : i + size]) for i in range(0, samples, size)]
    found = np.concatenate([*out, resampler.flush()], 1)
    assert found.shape[1] == resampler.length(samples) and found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def test_a_tone_keeps_its_pitch_and_its_time():
    rate_in, rate_out, tone = 44_100, 8_000, 440.0
    wave = np.sin(2 * np.pi * tone * np.arange(rate_in) / rate_in).astype(np.float32)[None]
    resampler = Resampler(rate_in, rate_out)
    found = np.concatenate([resampler.push(wave), resampler.flush()], 1)[0]
    wanted = np.sin(2 * np.pi * tone * np.arange(rate_out) / rate_out)
    np.testing.assert_allclose(found[200:-200], wanted[200:-200], atol=5e-3)


def test_the_buffer_does_not_grow_and_equal_rates_change_nothing():
    resampler = Resampler(44_100, 8_000)
    sizes = []
    for _ in range(50):
        resampler.push(np.ones((1, 3000), np.float32))
        sizes.append(resampler._buffer.shape[1])
    assert max(sizes) < 4 * 441
    same, wave = Resampler(8_000, 8_000), np.ones((1, 5), np.float32)
    assert same.push(wave) is wave and same.flush().shape == (1, 0)


def test_a_rate_of_nothing():
    with pytest.raises(ConfigError, match="at least 1 Hz, got 0 and 8000"):
        Resampler(0, 8_000)
