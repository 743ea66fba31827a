from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import get_window

from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.data.mel_power import mel_power


def test_frames_and_bands_by_the_definition():
    wave = torch.randn(3000, generator=torch.Generator().manual_seed(0))
    found = mel_power(wave, rate=16_000, points=480, hop=160, bands=40)
    mirrored = np.pad(wave.numpy().astype(float), 240, mode="reflect")
    hertz = np.arange(241) * 16_000 / 480
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 42) / 2595) - 1)
    for frame in (0, 7, 18):
        part = mirrored[frame * 160 : frame * 160 + 480] * get_window("hann", 480)
        power = np.array([abs(np.sum(part * np.exp(-2j * np.pi * k * np.arange(480) / 480))) ** 2 for k in range(241)])
        for band in (0, 20, 39):
            weight = np.interp(hertz, edges[band : band + 3], [0, 1, 0], left=0, right=0)
            assert found[frame, band].item() == pytest.approx((weight * power).sum(), rel=1e-4)
    assert found.shape == (1 + 3000 // 160, 40)


def test_refusals():
    with pytest.raises(ConfigError, match="99 mel bands are too many for the spectrum"):
        mel_power(torch.zeros(200), rate=8000, points=64, hop=32, bands=99)
    for wrong in (torch.zeros(240), torch.zeros(1, 900), torch.zeros(900, dtype=torch.int64)):
        with pytest.raises(ShapeError, match="a float signal of more than 240 samples"):
            mel_power(wrong, rate=16_000, points=480, hop=160, bands=40)
