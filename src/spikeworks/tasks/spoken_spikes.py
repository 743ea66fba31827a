"""What ``shd`` and ``ssc`` share: options, steps, splits without a recording on two sides."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..core.errors import ConfigError, DataError
from ..data.check import check_labels
from ..data.dataset import Dataset
from ..data.disjoint import check_disjoint
from ..data.heidelberg import UNITS, SpikeRecording, read_spikes
from ..data.spike_bins import SpikeBins, even_places, published_places
from .base import ClassificationTask, Signature, TaskConfig, TaskDefaults


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpokenSpikesConfig(TaskConfig):
    """Options of both tasks.

    Attributes:
        protocol: ``clean`` or ``paper``; figures of the two must not be compared.
        steps: length T.
        window: seconds that the steps share; of ``clean`` only, ``paper`` has 1 s.
    """

    protocol: Literal["clean", "paper"] = "clean"
    steps: int = 250
    window: float = 1.4

    def __post_init__(self) -> None:
        if self.protocol not in ("clean", "paper") or self.steps < 1 or not self.window > 0:
            raise ConfigError(
                f"Expected protocol 'clean' or 'paper', at least one step and a window above 0 s, got "
                f"{self.protocol!r}, steps={self.steps}, window={self.window}."
            )
        if self.protocol == "paper" and self.window != 1.4:
            raise ConfigError("The protocol paper has a window of 1 s.", "leave window out, or use protocol='clean'")

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(128,) * 5,
            epochs=200,
            batch_size=256,
            learning_rate=5e-4,
            clip=0.0,
            readout="sum",
            notes="LIF with decay 0.9, threshold 0.5, soft reset, rectangle of width 1; batch norm from layer 3",
        )

    def places(self, recording: SpikeRecording) -> Tensor:
        """Where the spikes of a recording stand, see :mod:`~spikeworks.data.spike_bins`."""
        if self.protocol == "paper":
            return published_places(recording.times, recording.units, self.steps, UNITS)
        return even_places(recording.times, recording.units, self.steps, self.window, UNITS)


@dataclasses.dataclass
class Words:
    """Recordings with their spikes in steps.

    Attributes:
        places: of each.
        labels: class ids.
        speakers: who speaks; ``None`` where it is not known.
        spikes: how many there are in the file.
    """

    places: list[Tensor] = dataclasses.field(default_factory=list)
    labels: list[int] = dataclasses.field(default_factory=list)
    speakers: list[int | None] = dataclasses.field(default_factory=list)
    spikes: int = 0

    @classmethod
    def of(cls, recordings: Iterable[SpikeRecording], config: SpokenSpikesConfig) -> Words:
        """All recordings of a file."""
        words = cls()
        for recording in recordings:
            words.places.append(config.places(recording))
            words.labels.append(recording.label)
            words.speakers.append(recording.speaker)
            words.spikes += len(recording.times)
        return words

    def __getitem__(self, index: Iterable[int]) -> Words:
        chosen = list(index)
        places = [self.places[i] for i in chosen]
        labels, speakers = [self.labels[i] for i in chosen], [self.speakers[i] for i in chosen]
        return Words(places, labels, speakers, sum(map(len, places)))

    def __len__(self) -> int:
        return len(self.labels)

    def keys(self) -> list[bytes]:
        """One a recording; equal for recordings with the same spikes in the same steps."""
        return [hashlib.sha256(places.numpy().tobytes()).digest() for places in self.places]


class SpokenSpikes(ClassificationTask):
    """Base of the built tasks.

    Attributes:
        lost: spikes of all files that stand in no step, or in one that holds a spike already, as a share; once a split
            was loaded.
        repeated: how many recordings of training and validation equal one that is tested (or, in training, one of
            validation), spike by spike. ``clean`` leaves them out.
    """

    default_readout = "sum"

    def __init__(self, config: SpokenSpikesConfig, signature: Signature, root: str | Path | None) -> None:
        super().__init__(config, signature)
        self.lost: float | None = None
        self.repeated: int | None = None
        self._options = config
        self._root = root

    def _words(self, path: Path, speakers: bool) -> Words:
        return Words.of(read_spikes(path, self.signature.outputs, speakers), self._options)

    def _datasets(self, parts: dict[str, Words]) -> dict[str, Dataset]:
        """Data sets of the splits; under ``clean`` no recording is in two of them."""
        kept, repeated = _unrepeated(parts)
        self.repeated = repeated
        if self._options.protocol == "clean":
            parts = kept
            check_disjoint({name: part.keys() for name, part in parts.items()}, what="recording", who=self.name)
        made: dict[str, Dataset] = {}
        for name, part in parts.items():
            if not len(part):
                raise DataError(f"{self.name}: no recording is left for the split {name}.")
            targets = torch.tensor(part.labels)
            check_labels(f"{self.name} {name}", targets, self.signature.outputs)
            made[name] = SpikeBins(part.places, targets, self._options.steps, UNITS)
        return made


def _unrepeated(parts: dict[str, Words]) -> tuple[dict[str, Words], int]:
    """The splits, each without what a later one holds too, and how many recordings that leaves out."""
    seen: set[bytes] = set()
    kept: dict[str, Words] = {}
    for name in ("test", "validation", "train"):
        keys = parts[name].keys()
        kept[name] = parts[name][[i for i, key in enumerate(keys) if key not in seen]]
        seen.update(keys)
    return kept, sum(len(parts[name]) - len(kept[name]) for name in parts)


def lost_share(files: Iterable[Words]) -> float:
    """Share of the spikes of some files that stand in no step of their own."""
    words = list(files)
    return 1.0 - sum(len(p) for one in words for p in one.places) / max(1, sum(one.spikes for one in words))
