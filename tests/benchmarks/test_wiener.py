"""The classical denoiser of the benchmarks works where it should: on steady noise, without hearing the future."""

from __future__ import annotations

import torch
from benchmarks import wiener
from torch.testing import assert_close

from spikeworks.data.fsdd import load_fsdd
from spikeworks.data.stft import Stft
from spikeworks.measure.signal import si_snr

STFT = Stft(window=256, hop=64)


def test_it_finds_the_level_of_white_noise():
    noise = 0.1 * torch.randn(1, 32_000, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    power = STFT(noise).abs().square()
    found = wiener.bias(STFT, 125) * wiener.least_power(power, 125)[150:, :, 1:-1].mean()
    assert 0.8 < found / power[150:, :, 1:-1].mean() < 1.25


def test_speech_in_white_noise_gains_and_clean_speech_stays(data_root, data_set):
    data_set("fsdd")
    clean = torch.cat([recording.wave for recording in load_fsdd(data_root)[:12]])[None, :32_000]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    noisy = clean + noise * clean.std() * 10 ** (-5 / 20)
    found = wiener.enhance(noisy, STFT, 8_000)
    assert found.shape == clean.shape and found.dtype == clean.dtype
    before, after, alone = (si_snr(wave, clean).item() for wave in (noisy, found, wiener.enhance(clean, STFT, 8_000)))
    assert after > before + 4 and alone > 15


def test_it_hears_no_further_than_the_window():
    wave = torch.randn(1, 8_000, generator=torch.Generator().manual_seed(0))
    other = wave.clone()
    other[:, 4_000 + STFT.look_ahead :] = 0
    assert_close(wiener.enhance(wave, STFT, 8_000)[:, :4_000], wiener.enhance(other, STFT, 8_000)[:, :4_000])
