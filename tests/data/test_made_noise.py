"""Made noises: every kind is finite, loud, drawn by its generator, and of the spectrum or course that it says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.data.made_noise import HELD_OUT, MADE_NOISES, made_noise

RATE = 8000
SPEECH = [torch.sin(2 * torch.pi * 440 * torch.arange(n) / RATE) for n in (900, 2000, 100)]


def made(kind: str, seed: int = 0, samples: int = RATE) -> torch.Tensor:
    return made_noise(kind, samples, RATE, torch.Generator().manual_seed(seed), SPEECH)


@pytest.mark.parametrize("kind", MADE_NOISES)
def test_every_kind_is_drawn_again_by_the_same_generator_and_has_peak_1(kind):
    first, again, other = made(kind), made(kind), made(kind, 1)
    assert first.shape == (RATE,) and first.dtype == torch.float32
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.abs().max() == pytest.approx(1.0) and first.isfinite().all()


@given(st.sampled_from(sorted(MADE_NOISES)), st.integers(1, 700), st.integers(0, 5))
def test_every_kind_has_any_length(kind, samples, seed):
    wave = made(kind, seed, samples)
    assert wave.shape == (samples,) and wave.isfinite().all()


def _octaves(wave: torch.Tensor) -> list[float]:
    power = torch.fft.rfft(wave.double()).abs().square()
    return [10 * torch.log10(power[low : 2 * low].mean()).item() for low in (125, 250, 500, 1000, 2000)]


@pytest.mark.parametrize(("kind", "decibels"), [("white", 0.0), ("pink", 3.01), ("brown", 6.02)])
def test_coloured_noise_falls_by_so_many_decibels_an_octave(kind, decibels):
    found = torch.tensor([_octaves(made(kind, seed)) for seed in range(4)]).mean(0)
    assert (found[:-1] - found[1:]).mean().item() == pytest.approx(decibels, abs=0.4)


@pytest.mark.parametrize("kind", ["speech-shaped", "babble"])
def test_what_is_made_of_speech_has_its_spectrum(kind):
    power = torch.fft.rfft(made(kind).double()).abs().square()
    assert power[380:500].sum() > 0.8 * power.sum()  # speech here is a tone of 440 Hz


def test_hum_has_harmonics_of_the_mains_alone():
    power = torch.fft.rfft(made("hum").double()).abs().square()  # a bin a hertz
    mains = 50 if power[50] > power[60] else 60
    assert power[[mains * k for k in range(1, 9)]].sum() > 0.999 * power.sum()


def test_clicks_are_quiet_most_of_the_time_and_a_siren_is_not():
    share = {kind: (made(kind).abs() > 0.05).float().mean().item() for kind in ("clicks", "siren")}
    assert share["clicks"] < 0.6 < share["siren"]
    assert set(HELD_OUT) < set(MADE_NOISES)
