"""The noises of ``denoise-digits``: recordings that go round, kinds that are made, and which of them each split hears.

Six kinds of ESC-10 train, from folds 1 to 3. Where the noise of the test is new (``unseen``), validation and test have
two kinds each of their own; else (``seen``) those of training, from folds 4 and 5. Of made noises nine kinds train and
validate; siren and fan are the new ones.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor

from ..core.errors import DataError
from ..data.disjoint import check_disjoint
from ..data.esc10 import ESC10, Clip
from ..data.fsdd import RATE
from ..data.made_noise import HELD_OUT, MADE_NOISES, made_noise
from .base import SPLITS

Noise = Literal["unseen", "seen"]
KINDS: Mapping[str, tuple[str, ...]] = {
    "train": ("rain", "helicopter", "clock_tick", "dog_bark", "baby_cry", "person_sneeze"),
    "validation": ("sea_waves", "rooster"),
    "test": ("chainsaw", "fire_crackling"),
}
"""Kinds of noise of each split where those of the test are new."""
_FOLDS = {"train": (1, 2, 3), "validation": (4,), "test": (5,)}


class Sound(Protocol):
    """A noise that can be played for any time."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def category(self) -> str:
        """Its kind."""
        ...

    def play(self, samples: int, generator: torch.Generator) -> Tensor:
        """``[samples]`` of it, another piece each time, never silent."""
        ...


@dataclasses.dataclass(frozen=True)
class Recorded(Clip):
    """A recording that goes round and round."""

    def play(self, samples: int, generator: torch.Generator) -> Tensor:
        start = int(torch.randint(len(self._sounding), (), generator=generator))
        while True:
            part = self._sounding[(start + torch.arange(samples)) % len(self._sounding)]
            if bool(part.any()):
                return part
            start += samples // 2  # a pause inside the recording

    @functools.cached_property
    def _sounding(self) -> Tensor:
        """Without the digital silence at its ends."""
        loud = self.wave.nonzero()
        return self.wave[int(loud[0]) : int(loud[-1]) + 1]


@dataclasses.dataclass(frozen=True)
class MadeKind:
    """A kind of made noise, and the speech that it may be made of."""

    name: str
    speech: Sequence[Tensor]

    @property
    def category(self) -> str:
        """The kind."""
        return self.name

    def play(self, samples: int, generator: torch.Generator) -> Tensor:
        return made_noise(self.name, samples, RATE, generator, self.speech)


def made_noises(speech: Sequence[Tensor], noise: Noise) -> dict[str, list[MadeKind]]:
    """The made noises of each split."""
    known = [MadeKind(kind, speech) for kind in MADE_NOISES if kind not in HELD_OUT]
    new = [MadeKind(kind, speech) for kind in HELD_OUT]
    return {"train": known, "validation": known, "test": known if noise == "seen" else new}


def recorded_noises(clips: list[Clip], noise: Noise) -> dict[str, list[Recorded]]:
    """The noises of each split; no recording stands in two of them.

    Raises:
        DataError: a split has none, or two share a recording or, with ``unseen``, a kind.
    """
    kinds = KINDS if noise == "unseen" else dict.fromkeys(SPLITS, KINDS["train"])
    found: dict[str, list[Recorded]] = {}
    for split in SPLITS:
        folds = _FOLDS["train"] if split == "train" else (range(1, 6) if noise == "unseen" else _FOLDS[split])
        chosen = [c for c in clips if c.category in kinds[split] and c.fold in folds and bool(c.wave.any())]
        found[split] = [Recorded(**vars(clip)) for clip in chosen]
        if not found[split]:
            raise DataError(f"{ESC10.title}: no clip of {', '.join(kinds[split])} is there for the split {split}.")
    check_disjoint({s: [c.source for c in members] for s, members in found.items()}, "recording", ESC10.title)
    if noise == "unseen":
        check_disjoint({s: [c.category for c in members] for s, members in found.items()}, "kind", ESC10.title)
    return found
