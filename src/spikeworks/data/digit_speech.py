"""Streams and strings of spoken digits: recordings of the Free Spoken Digit Dataset trimmed, levelled and joined.

Speakers are split, never mixed: george, jackson, lucas and nicolas train, yweweler validates, theo tests. Six rotations
let each of them be the test speaker once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from .disjoint import check_disjoint
from .fsdd import FSDD, RATE, Recording, load_fsdd

_IN_TURN = ("george", "jackson", "lucas", "nicolas", "yweweler", "theo")
ROTATIONS = len(_IN_TURN)
TRIM = -45.0
"""Level in dB, relative to the peak, below which both ends of a recording are cut."""


def speakers_of(rotation: int = 0) -> dict[str, tuple[str, ...]]:
    """Who is heard in which split: four train, the next one validates, the last one tests.

    Args:
        rotation: 0 to 5, by how many places the six have moved on.

    Example:
        >>> speakers_of(1)["validation"], speakers_of(1)["test"]
        (('theo',), ('george',))
    """
    order = _IN_TURN[rotation:] + _IN_TURN[:rotation]
    return {"train": order[:4], "validation": order[4:5], "test": order[5:]}


def load_digit_speech(root: str | Path | None, rotation: int = 0) -> dict[str, dict[str, list[Recording]]]:
    """From split and speaker to that speaker's trimmed recordings of peak 1.

    Args:
        root: the data directory; ``None`` asks SPIKEWORKS_DATA.
        rotation: see :func:`speakers_of`.

    Raises:
        DataError: files missing or damaged.
    """
    split_of = speakers_of(rotation)
    check_disjoint(split_of, what="speaker", who=FSDD.title)
    recordings = load_fsdd(root)
    return {
        split: {
            speaker: [
                Recording(r.digit, r.speaker, r.take, trimmed(r.wave)) for r in recordings if r.speaker == speaker
            ]
            for speaker in speakers
        }
        for split, speakers in split_of.items()
    }


def trimmed(wave: Tensor) -> Tensor:
    """Without offset, cut at both ends where it stays below -45 dB of the peak, peak 1; silence stays as it is."""
    wave = wave - wave.mean()
    peak = wave.abs().max()
    if peak == 0:
        return wave
    loud = (wave.abs() >= peak * 10 ** (TRIM / 20)).nonzero()
    return wave[int(loud[0]) : int(loud[-1]) + 1] / peak


def joined(waves: Sequence[Tensor], silence: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Waves one after another, with silences before, between and behind them.

    Args:
        silence: seconds, shortest and longest.
        generator: draws each of them.
    """
    low, high = (round(seconds * RATE) for seconds in silence)
    gaps = torch.randint(low, high + 1, (len(waves) + 1,), generator=generator).tolist()
    parts = [torch.zeros(gaps[0])]
    for wave, gap in zip(waves, gaps[1:], strict=True):
        parts += [wave, torch.zeros(gap)]
    return torch.cat(parts)


def at_speed(wave: Tensor, speed: float) -> Tensor:
    """A wave played ``speed`` times as fast, pitch and all, by linear interpolation."""
    if speed == 1:
        return wave
    size = max(1, round(len(wave) / speed))
    return torch.nn.functional.interpolate(wave[None, None], size=size, mode="linear", align_corners=True)[0, 0]
