from __future__ import annotations

import math

import pytest
import torch

from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.data import LogMel
from spikeworks.data.mel import mel_filters


def tone(hertz, samples=4000, rate=8000):
    return torch.sin(2 * math.pi * hertz * torch.arange(samples) / rate)


def centre(mel, band):
    low, high = (2595 * math.log10(1 + f / 700) for f in (mel.low, mel.upper))
    return 700 * (10 ** ((low + (high - low) * (band + 1) / (mel.bands + 1)) / 2595) - 1)


@pytest.mark.parametrize("band", [3, 10, 25, 38])
def test_a_tone_is_loudest_in_its_band(band):
    mel = LogMel()
    assert set(mel(tone(centre(mel, band))).argmax(1).tolist()) == {band}


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (200, 1), (279, 1), (280, 2), (8000, 98)])
def test_number_of_frames(samples, frames):
    mel = LogMel()
    assert mel(torch.randn(samples, generator=torch.Generator().manual_seed(0))).shape == (frames, 40)
    assert mel.frames(samples) == frames


def test_frames_depend_on_the_past_only():
    mel = LogMel()
    wave = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(mel(wave[:2000]), mel(wave)[: mel.frames(2000)])


def test_silence_is_the_floor_and_twice_the_amplitude_adds_log_four():
    mel = LogMel(floor=1e-10)
    assert torch.allclose(mel(torch.zeros(400)), torch.tensor(math.log(1e-10)))
    noise = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(mel(2 * noise) - mel(noise), torch.tensor(math.log(4)), atol=1e-4)


def test_filters_overlap_to_one_between_first_and_last_centre():
    mel = LogMel()
    total = mel_filters(mel).sum(1)
    hertz = torch.linspace(0, 4000, len(total))
    inside = (hertz > centre(mel, 0)) & (hertz < centre(mel, 39))
    assert torch.allclose(total[inside], torch.ones_like(total[inside]))


def test_errors():
    with pytest.raises(ConfigError, match="between 0 and 4000"):
        LogMel(high=5000.0)
    with pytest.raises(ConfigError, match="positive bands"):
        LogMel(bands=0)
    with pytest.raises(ConfigError, match="400 mel bands are too many"):
        LogMel(bands=400)(torch.zeros(400))
    with pytest.raises(ShapeError, match=r"expected a float signal \[samples\]"):
        LogMel()(torch.zeros(400, 1))
