"""Noises that are made, not recorded: eleven kinds with drawn parameters, for any clean speech and sampling rate.

Each kind is a function of the number of samples, the rate and a generator; babble and speech-shaped noise are made of
recordings of speech, which must be those of training. All are of unit peak or near it; the mixer sets levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import scipy.signal
import torch
from torch import Tensor

HELD_OUT = ("siren", "fan")
"""Kinds that a test of new noise keeps apart."""
_HARMONICS = 8
Made = Callable[[int, int, torch.Generator, Sequence[Tensor]], Tensor]


def made_noise(kind: str, samples: int, rate: int, generator: torch.Generator, speech: Sequence[Tensor] = ()) -> Tensor:
    """A noise of a kind, ``[samples]`` of peak 1.

    Args:
        kind: one of :data:`MADE_NOISES`.
        samples: at least 1.
        rate: samples a second.
        generator: draws its parameters and itself.
        speech: recordings ``[S]`` of training, for ``babble`` and ``speech-shaped``.

    Example:
        >>> made_noise("pink", 4000, 8000, torch.Generator().manual_seed(0)).abs().max().item()
        1.0
    """
    wave = MADE_NOISES[kind](samples, rate, generator, speech)
    return (wave / wave.abs().max().clamp(min=1e-12)).float()


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _white(samples: int, rate: int, generator: torch.Generator, speech: Sequence[Tensor]) -> Tensor:
    return torch.randn(samples, generator=generator, dtype=torch.float64)


def _coloured(exponent: float) -> Made:
    """Noise whose power falls with the frequency to an exponent, from 20 Hz on."""

    def make(samples: int, rate: int, generator: torch.Generator, speech: Sequence[Tensor]) -> Tensor:
        frequencies = torch.fft.rfftfreq(samples, 1 / rate, dtype=torch.float64).clamp(min=20.0)
        return _shaped(_white(samples, rate, generator, speech), frequencies ** (-exponent / 2))

    return make


def _shaped(wave: Tensor, gains: Tensor) -> Tensor:
    return torch.fft.irfft(torch.fft.rfft(wave) * gains, n=len(wave))


def _speech_shaped(samples: int, rate: int, generator: torch.Generator, speech: Sequence[Tensor]) -> Tensor:
    """White noise under the mean spectrum of some recordings."""
    window, chosen = 256, torch.randint(len(speech), (8,), generator=generator).tolist()
    power = torch.zeros(window // 2 + 1, dtype=torch.float64)
    for index in chosen:
        wave = torch.nn.functional.pad(speech[index].double(), (0, max(0, window - len(speech[index]))))
        power += torch.fft.rfft(wave.unfold(0, window, window // 2)).abs().square().mean(0)
    gains = torch.nn.functional.interpolate(power.sqrt()[None, None], size=samples // 2 + 1, mode="linear")[0, 0]
    return _shaped(_white(samples, rate, generator, speech), gains)


def _babble(samples: int, rate: int, generator: torch.Generator, speech: Sequence[Tensor]) -> Tensor:
    """Six to eight streams of recordings without a pause."""
    total = torch.zeros(samples, dtype=torch.float64)
    for _ in range(int(torch.randint(6, 9, (), generator=generator))):
        parts: list[Tensor] = []
        while sum(map(len, parts)) < 2 * samples:
            parts.append(speech[int(torch.randint(len(speech), (), generator=generator))].double())
        start = int(torch.randint(samples, (), generator=generator))
        total += torch.cat(parts)[start : start + samples]
    return total


def _hum(samples: int, rate: int, generator: torch.Generator, speech: Sequence[Tensor]) -> Tensor:
    """Mains at 50 or 60 Hz with its harmonics."""
    mains = (50.0, 60.0)[int(torch.randint(2, (), generator=generator))]
    order = torch.arange(1, _HARMONICS + 1, dtype=torch.float64).unsqueeze(1)
    drawn = torch.rand(2, _HARMONICS, 1, generator=generator, dtype=torch.float64)
    return (drawn[0] / order * torch.sin(2 * math.pi * (order * mains * _times(samples, rate) + drawn[1]))).sum(0)


def _fan(samples: int, rate: int, generator: torch.Generator, speech: Sequence[Tensor]) -> Tensor:
    """Noise through two to four resonances."""
    wave = _white(samples, rate, generator, speech).numpy()
    total = torch.zeros(samples, dtype=torch.float64)
    for _ in range(int(torch.randint(2, 5, (), generator=generator))):
        b, a = scipy.signal.iirpeak(_uniform(80, 0.35 * rate, generator), _uniform(3, 20, generator), fs=rate)
        total += _uniform(0.3, 1, generator) * torch.as_tensor(scipy.signal.lfilter(b, a, wave))
    return total


def _modulated(samples: int, rate: int, generator: torch.Generator, speech: Sequence[Tensor]) -> Tensor:
    """White noise whose loudness swings 1 to 8 times a second."""
    speed, depth, phase = (_uniform(*bounds, generator) for bounds in ((1, 8), (0.5, 1), (0, 1)))
    swing = 1 + depth * torch.sin(2 * math.pi * (speed * _times(samples, rate) + phase))
    return swing * _white(samples, rate, generator, speech)


def _clicks(samples: int, rate: int, generator: torch.Generator, speech: Sequence[Tensor]) -> Tensor:
    """Bursts at random times, 2 to 10 a second, that die away within 5 to 40 ms; at least one."""
    chance = _uniform(2, 10, generator) / rate
    strikes = torch.rand(samples, generator=generator) < chance
    strikes[int(torch.randint(samples, (), generator=generator))] = True
    decay = math.exp(-1 / (rate * _uniform(0.005, 0.04, generator)))
    envelope = torch.as_tensor(scipy.signal.lfilter([1.0], [1.0, -decay], strikes.double().numpy()))
    return envelope * _white(samples, rate, generator, speech)


def _siren(samples: int, rate: int, generator: torch.Generator, speech: Sequence[Tensor]) -> Tensor:
    """A tone that sweeps up and down."""
    low, high, speed = (_uniform(*bounds, generator) for bounds in ((300, 700), (900, 1800), (0.2, 2)))
    course = 0.5 - 0.5 * torch.cos(2 * math.pi * (speed * _times(samples, rate) + _uniform(0, 1, generator)))
    return torch.sin(2 * math.pi * torch.cumsum(low + (high - low) * course, 0) / rate)


def _tones(samples: int, rate: int, generator: torch.Generator, speech: Sequence[Tensor]) -> Tensor:
    """Pairs of tones in turn, as of a keypad, with pauses."""
    wave, at = torch.zeros(samples, dtype=torch.float64), 0
    while at < samples:
        length = min(samples - at, round(_uniform(0.05, 0.25, generator) * rate))
        times = _times(length, rate)
        for low, high in ((650, 950), (1200, 1650)):
            wave[at : at + length] += torch.sin(2 * math.pi * _uniform(low, high, generator) * times)
        at += length + round(_uniform(0.02, 0.2, generator) * rate)
    return wave


def _times(samples: int, rate: int) -> Tensor:
    return torch.arange(samples, dtype=torch.float64) / rate


MADE_NOISES: Mapping[str, Made] = {
    "white": _white, "pink": _coloured(1.0), "brown": _coloured(2.0), "speech-shaped": _speech_shaped,
    "babble": _babble, "hum": _hum, "fan": _fan, "modulated": _modulated, "clicks": _clicks, "siren": _siren,
    "tones": _tones,
}  # fmt: skip
"""All kinds, by name."""
