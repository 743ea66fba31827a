"""The ratio that was asked for is the one that is there; the challenge's rule is off by the predicted amount."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.errors import DataError
from spikeworks.data.mixing import CEILING, active_rms, active_share, mix

RATE = 8000


def speech(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    wave = 0.3 * torch.randn(2 * RATE, generator=generator)
    wave[RATE // 2 : RATE] = 0  # a pause
    return wave


def noise(seed: int = 1) -> torch.Tensor:
    return 0.01 * torch.randn(2 * RATE, generator=torch.Generator().manual_seed(seed))


def level(wave: torch.Tensor) -> float:
    return 20 * math.log10(float(wave.double().square().mean().sqrt()))


def active_ratio(clean: torch.Tensor, hiss: torch.Tensor) -> float:
    return 20 * math.log10(active_rms(clean, RATE) / active_rms(hiss, RATE))


@given(st.integers(-5, 19), st.integers(-35, -22))
def test_ratio_level_and_sum(snr, wanted):
    mixed = mix(speech(), noise(), snr=snr, level=wanted, rate=RATE)
    assert active_ratio(mixed.clean, mixed.noise) == pytest.approx(snr, abs=0.05)
    assert level(mixed.noisy) == pytest.approx(wanted, abs=0.01)
    torch.testing.assert_close(mixed.noisy, mixed.clean + mixed.noise, rtol=0, atol=1e-6)


@given(st.integers(-5, 19))
def test_the_challenges_rule_is_off_by_the_levels_at_peak_one(snr):
    clean, hiss = speech(), noise()
    mixed = mix(clean, hiss, snr=snr, level=-25, rate=RATE, mode="dns")
    at_peak_one = [active_rms(w / w.abs().max(), RATE) for w in (clean, hiss)]
    predicted = snr + 20 * math.log10(at_peak_one[1] / at_peak_one[0])
    assert abs(predicted - snr) > 0.3  # else this tests nothing
    assert active_ratio(mixed.clean, mixed.noise) == pytest.approx(predicted, abs=0.05)


def test_nothing_clips():
    loud = speech()
    loud[0] = 40  # a peak far above the rest
    mixed = mix(loud, noise(), snr=5, level=-16, rate=RATE)
    assert float(mixed.noisy.abs().max()) == pytest.approx(CEILING, abs=1e-5)
    torch.testing.assert_close(mixed.noisy, mixed.clean + mixed.noise, rtol=0, atol=1e-6)


def test_active_level_does_not_count_pauses():
    wave = torch.zeros(RATE)
    wave[: RATE // 2] = 0.5
    assert active_rms(wave, RATE) == pytest.approx(0.5)
    assert active_share(wave, RATE) == pytest.approx(0.5)
    assert active_rms(torch.zeros(100), RATE) == 0 and active_share(torch.zeros(100), RATE) == 0


def test_what_cannot_be_mixed():
    with pytest.raises(DataError, match="A silent noise has no level"):
        mix(speech(), torch.zeros(2 * RATE), snr=0, level=-25, rate=RATE)
    with pytest.raises(DataError, match=r"Speech \[16000\] and noise \[3\] are not two waves of one length"):
        mix(speech(), torch.ones(3), snr=0, level=-25, rate=RATE)
