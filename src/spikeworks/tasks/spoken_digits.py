"""``spoken-digits``: which of ten English digits was said, from 40 log-mel bands.

Free Spoken Digit Dataset, 3000 recordings at 8 kHz by six speakers. A step is a frame of 25 ms
every 10 ms (:class:`~spikeworks.data.mel.LogMel`), 12 to 226 steps in all; each band is brought
to mean 0 and deviation 1 by the frames of the training split. Batches are padded behind and
carry a mask.

Splits: takes 0 to 4 of every digit and speaker are the test split (the official rule, 300
recordings), takes 5 to 9 validation (300), takes 10 to 49 training (2400).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import torch

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..data.check import check_arrays
from ..data.dataset import Dataset, RaggedDataset
from ..data.fsdd import FSDD, RATE, load_fsdd
from ..data.mel import LogMel
from ..data.scale import Standardizer
from .base import ACCURACY, TASKS, ClassificationTask, Signature, TaskConfig, TaskDefaults, TaskInfo

_TAKES = {"test": range(0, 5), "validation": range(5, 10), "train": range(10, 50)}


@TASKS.register("spoken-digits")
@config_kind("task", "spoken-digits")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SpokenDigitsConfig(TaskConfig):
    """Options of ``spoken-digits``.

    Attributes:
        bands: number of mel bands, the channels.
        window, hop: length and distance of frames in seconds.
        steps: fixed length T: longer recordings are cut behind, shorter ones padded and masked;
            ``None``: every recording whole, batches padded to their longest.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="spoken digits of six speakers, log-mel frames, unequal lengths",
        shape="T=12 to 226, C=40, 10 classes",
        sizes=(2_400, 300, 300),
        metric=ACCURACY,
        files=FSDD,
    )

    bands: int = 40
    window: float = 0.025
    hop: float = 0.010
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"spoken-digits: a sequence has at least one step, got steps={self.steps}.")
        self.front_end()

    def front_end(self) -> LogMel:
        """The log-mel front end with these options."""
        return LogMel(rate=RATE, bands=self.bands, window=self.window, hop=self.hop)

    def build(self, root: str | Path | None = None) -> SpokenDigits:
        return SpokenDigits(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(128, 128),
            epochs=30,
            batch_size=64,
            learning_rate=2e-3,
            clip=1.0,
            readout="mean",
            readout_scale=10.0,
            schedule="cosine",
        )


class SpokenDigits(ClassificationTask):
    """The built task; ``scale`` holds mean and deviation of the bands once a split was loaded."""

    def __init__(self, config: SpokenDigitsConfig, root: str | Path | None) -> None:
        super().__init__(
            config,
            Signature(
                steps=config.steps, inputs=config.bands, outputs=10, classes=tuple(str(digit) for digit in range(10))
            ),
        )
        self.scale: Standardizer | None = None
        self._options = config
        self._root = root

    def _load(self, split: str) -> dict[str, Dataset]:
        front_end = self._options.front_end()
        recordings = load_fsdd(self._root)
        frames = [front_end(recording.wave)[: self._options.steps] for recording in recordings]
        members = {
            name: [i for i, recording in enumerate(recordings) if recording.take in takes]
            for name, takes in _TAKES.items()
        }
        self.scale = Standardizer.of(torch.cat([frames[i] for i in members["train"]]))
        parts: dict[str, Dataset] = {}
        for name, index in members.items():
            rows = self.scale(torch.cat([frames[i] for i in index]))
            lengths = torch.tensor([len(frames[i]) for i in index])
            targets = torch.tensor([recordings[i].digit for i in index])
            check_arrays(f"spoken-digits {name}", rows, targets, classes=10, lengths=lengths)
            parts[name] = RaggedDataset(rows, lengths, targets, steps=self._options.steps)
        return parts
