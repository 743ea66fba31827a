from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data.eeg import TrialPipeline, anti_alias, band_pass, both_ways, channel_scale, zero_phase
from spikeworks.data.scale import Standardizer


def gain(coefficients, hertz, rate):
    return np.abs(signal.freqz(coefficients, worN=np.atleast_1d(hertz), fs=rate)[1])


@pytest.mark.parametrize("rate", [1000.0, 160.0])
def test_the_band_is_passed_and_the_rest_is_not(rate):
    kernel = both_ways(band_pass(rate, 1.0, 50.0))
    assert len(kernel) % 2 and np.allclose(kernel, kernel[::-1], atol=1e-15)
    np.testing.assert_allclose(gain(kernel, [2.0, 10.0, 30.0, 48.0], rate), 1.0, atol=0.01)
    assert (gain(kernel, [0.0, 0.3, 52.0, 60.0, 75.0], rate) < 1e-3).all()


def test_one_filter_does_what_two_runs_do():
    x = np.random.default_rng(0).normal(size=(3, 2000))
    taps = band_pass(160.0, 1.0, 50.0)
    there_and_back = signal.filtfilt(taps, 1.0, x, axis=1, padlen=3 * (len(taps) - 1))
    np.testing.assert_allclose(zero_phase(x, both_ways(taps)), there_and_back, atol=1e-12)


def test_a_tone_keeps_its_phase():
    seconds = np.arange(4000) / 160
    tone = np.sin(2 * np.pi * 10 * seconds)
    out = zero_phase(tone[None], both_ways(band_pass(160.0, 1.0, 50.0)))[0]
    np.testing.assert_allclose(out[1000:3000], tone[1000:3000], atol=0.01)


@given(st.integers(2, 12))
def test_the_low_pass_stops_at_the_new_nyquist_frequency(factor):
    taps = anti_alias(factor)
    above = np.linspace(1.0, float(factor), 50) / factor
    below = np.linspace(0.0, 0.8, 50) / factor
    assert (gain(taps, above, 2.0) < 5e-3).all() and np.allclose(gain(taps, below, 2.0), 1.0, atol=0.01)
    assert anti_alias(1).tolist() == [1.0]


def by_hand(recording, cue, pipeline):
    """A trial, step by step with other functions."""
    centred = recording - recording.mean(1, keepdims=True)
    taps = band_pass(pipeline.rate, pipeline.low, pipeline.high)
    filtered = signal.filtfilt(taps, 1.0, centred, axis=0, padlen=3 * (len(taps) - 1))
    if pipeline.decimation == "mean":
        cut = filtered[cue : cue + pipeline.length]
        return np.stack([cut[i : i + pipeline.factor].mean(0) for i in range(0, len(cut), pipeline.factor)])
    low = np.stack([np.convolve(column, anti_alias(pipeline.factor), mode="same") for column in filtered.T], axis=1)
    return low[cue : cue + pipeline.length : pipeline.factor]


@pytest.mark.parametrize("decimation", ["fir", "mean"])
def test_trials_are_referenced_filtered_cut_and_decimated(decimation):
    recording = np.random.default_rng(1).normal(size=(3000, 11)) + 5.0
    pipeline = TrialPipeline(rate=160.0, factor=4, steps=30, decimation=decimation)
    trials = pipeline(recording, [700, 2000])
    assert trials.shape == (2, 30, 11) and trials.dtype == torch.float32
    for trial, cue in zip(trials, (700, 2000), strict=True):
        np.testing.assert_allclose(trial.numpy(), by_hand(recording, cue, pipeline), atol=1e-5)


def test_what_all_channels_share_is_removed():
    draw = np.random.default_rng(2)
    recording = draw.normal(size=(2000, 4))
    pipeline = TrialPipeline(rate=160.0, factor=2, steps=50)
    shared = recording + 100 * np.sin(np.arange(2000) / 3)[:, None]
    assert torch.allclose(pipeline(recording, [900]), pipeline(shared, [900]), atol=1e-4)
    assert pipeline(recording, [900]).sum(-1).abs().max() < 1e-5


def test_block_means_fold_back_what_the_low_pass_removes():
    seconds = np.arange(4000) / 160
    tone = np.sin(2 * np.pi * 45 * seconds)  # above the 40 Hz that 80 samples a second can hold
    recording = np.stack([tone, -tone], axis=1)
    folded = {
        way: TrialPipeline(rate=160.0, factor=2, steps=300, decimation=way)(recording, [1500]).abs().max().item()
        for way in ("fir", "mean")
    }
    assert folded["mean"] > 0.5 and folded["fir"] < 0.01


def test_bands_and_sizes_are_checked():
    with pytest.raises(ConfigError, match="A band from 1 to 50 Hz does not fit into a recording at 100 Hz"):
        TrialPipeline(rate=100.0, factor=1, steps=10)
    with pytest.raises(ConfigError, match="factor=0"):
        TrialPipeline(rate=160.0, factor=0, steps=10)


def test_recordings_that_cannot_be_used():
    pipeline = TrialPipeline(rate=160.0, factor=2, steps=100)
    recording = np.zeros((2000, 3))
    with pytest.raises(
        DataError, match=r"run 4: trial 2 begins at sample 1801 and takes 200, .* 1 of 3 trials are fine"
    ):
        pipeline(recording, [1800, 1801, -1], who="run 4")
    with pytest.raises(DataError, match=r"lasts 3.1 s; the filter from 1 Hz needs more than 3.3 s"):
        pipeline(recording[:500], [0])
    with pytest.raises(DataError, match=r"expected a signal \[samples, channels\], got the shape \[2000, 1\]"):
        pipeline(recording[:, :1], [0])
    recording[7, 2] = np.nan
    with pytest.raises(DataError, match=r"the signal is nan at sample 7 of channel 2 \(1 such values\)"):
        pipeline(recording, [0])


def test_scale_of_many_recordings_is_that_of_all_rows():
    parts = [torch.randn(n, 5, 3) * 4 + 2 for n in (2, 1, 3)]
    for part in parts:
        part[..., 1] = 7.0
    scale, whole = channel_scale(parts), Standardizer.of(torch.cat(parts).flatten(0, 1))
    assert torch.allclose(scale.mean, whole.mean) and torch.allclose(scale.deviation, whole.deviation)
    assert scale.deviation[1] == 1.0
    with pytest.raises(DataError, match="no trials"):
        channel_scale([torch.zeros(0, 5, 3)])
