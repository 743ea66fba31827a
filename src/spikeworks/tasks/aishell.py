"""``aishell``: write down read Mandarin, AISHELL-1, in characters.

A step is ``stack`` frames of 80 log-mel bands, 32 ms every 8 ms at 16 kHz, each band brought to mean 0 and deviation 1
by training utterances. The front end and the three speeds of training are those of the arena's recipe as far as known;
it also masks parts of the spectrum, which is not done here. Its network halves the frames twice by convolutions; four
frames side by side are as many steps. Loss CTC alone: the arena adds an attention decoder of its own, so that its
figures and those of this task are not of one kind.

Splits are the folders ``train``, ``dev`` and ``test``, whose speakers differ. The characters are the most frequent ones
of the training transcripts; all others share one label that never counts as right. Utterances without a transcript are
left out; ``skipped`` counts them.
"""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError, DataError
from ..core.seeds import stream
from ..data.aishell import AISHELL, RATE, Utterance, find_utterances
from ..data.audio import read_audio
from ..data.dataset import Dataset
from ..data.digit_speech import at_speed
from ..data.drawn import DrawnDataset, join_transcribed
from ..data.mel import LogMel
from ..data.scale import Standardizer
from .base import TASKS, Signature, TaskConfig, TaskDefaults, TaskInfo
from .transcription import CER, TranscriptTask, check_speech, join_frames

_SCALED_BY = 500  # training utterances that mean and deviation are taken from


@TASKS.register("aishell")
@config_kind("task", "aishell")
@dataclasses.dataclass(frozen=True, kw_only=True)
class AishellConfig(TaskConfig):
    """Options of ``aishell``.

    Attributes:
        characters: that have a label of their own, the most frequent in training.
        bands: number of mel bands.
        window, hop: length and distance of frames in seconds.
        stack: frames that make one step, side by side.
        speeds: of training utterances, one drawn for each.
        seed: of the drawn speeds, not of the run.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="read Mandarin to characters by CTC (AISHELL-1)",
        shape="T differs, C=320, 4230 characters",
        sizes=None,
        metric=CER,
        files=AISHELL,
    )

    characters: int = 4230
    bands: int = 80
    window: float = 0.032
    hop: float = 0.008
    stack: int = 4
    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)
    seed: int = 0

    def __post_init__(self) -> None:
        check_speech("aishell", self.stack, self.speeds)
        if self.characters < 1:
            raise ConfigError(f"aishell: at least one character has a label, got characters={self.characters}.")
        self.front_end()

    def front_end(self) -> LogMel:
        """The log-mel front end with these options."""
        return LogMel(rate=RATE, bands=self.bands, window=self.window, hop=self.hop)

    def build(self, root: str | Path | None = None) -> Aishell:
        return Aishell(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(1024, 1024, 1024),
            epochs=20,
            batch_size=32,
            learning_rate=1e-3,
            clip=5.0,
            readout="every",
            notes="widths and epochs of the arena; it trains with Adadelta and an attention decoder beside CTC",
        )


class Aishell(TranscriptTask):
    """The built task.

    Attributes:
        skipped: utterances without a transcript, by split, once a split was loaded.
        alphabet: the character of each label from 2 on, once a split was loaded; 0 is the blank, 1 all others.
        scale: mean and deviation of the bands, once a split was loaded.
    """

    unknown = 1

    def __init__(self, config: AishellConfig, root: str | Path | None) -> None:
        super().__init__(
            config,
            Signature(steps=None, inputs=config.bands * config.stack, outputs=config.characters + 2, kind="transcript"),
        )
        self.skipped: dict[str, int] = {}
        self.alphabet: tuple[str, ...] = ()
        self._table: dict[str, int] = {}
        self.scale: Standardizer | None = None
        self._options = config
        self._root = root

    def _load(self, split: str) -> dict[str, Dataset]:
        utterances, self.skipped = find_utterances(self._root)
        counts = collections.Counter(character for u in utterances["train"] for character in u.text)
        ordered = sorted(counts, key=lambda character: (-counts[character], character))
        self.alphabet = tuple(ordered[: self._options.characters])
        self._table = {character: label for label, character in enumerate(self.alphabet, start=2)}
        self._check_alignable(utterances)
        every = max(1, len(utterances["train"]) // _SCALED_BY)
        self.scale = Standardizer.of(torch.cat([self._frames(u, 1.0) for u in utterances["train"][::every]]))
        return {
            name: DrawnDataset(
                len(members), lambda i, draw, name=name: self._sample(name, utterances[name][i], draw), join_transcribed
            )
            for name, members in utterances.items()
        }

    def labels(self, text: str) -> Tensor:
        """The label of each character of a text, int64 ``[L]``."""
        return torch.tensor([self._table.get(character, self.unknown) for character in text])

    def text(self, labels: list[int]) -> str:
        """Characters of labels; those that have none are shown as ``□``."""
        return "".join(self.alphabet[label - 2] if 2 <= label < len(self.alphabet) + 2 else "□" for label in labels)

    def _sample(self, split: str, utterance: Utterance, draw: int) -> tuple[Tensor, Tensor]:
        assert self.scale is not None
        speed = 1.0
        if split == "train" and draw:
            generator = stream(self._options.seed, self.name, utterance.path.stem, draw)
            speed = self._options.speeds[int(torch.randint(len(self._options.speeds), (), generator=generator))]
        frames = self.scale(self._frames(utterance, speed))
        return join_frames(frames, self._options.stack), self.labels(utterance.text)

    def _frames(self, utterance: Utterance, speed: float) -> Tensor:
        wave = read_audio(utterance.path, RATE, channels=1)[:, 0]
        return self._options.front_end()(at_speed(wave, speed))

    def _check_alignable(self, utterances: dict[str, list[Utterance]]) -> None:
        """Raise DataError where CTC has no path: fewer steps than labels and blanks between equal ones."""
        front_end, fastest = self._options.front_end(), max(*self._options.speeds, 1.0)
        for split, members in utterances.items():
            speed = fastest if split == "train" else 1.0
            short = [u for u in members if self._steps(front_end, int(u.samples / speed)) < self._needed(u.text)]
            if short:
                raise DataError(
                    f"{AISHELL.title}: {len(short)} of {len(members)} utterances of {split} are too short for their "
                    f"transcripts, the others fine. The first: {short[0].path} has "
                    f"{self._steps(front_end, int(short[0].samples / speed))} steps, its text needs "
                    f"{self._needed(short[0].text)}.",
                    "take a smaller stack, or look for a transcript of another recording",
                )

    def _steps(self, front_end: LogMel, samples: int) -> int:
        return max(1, front_end.frames(samples) // self._options.stack)

    def _needed(self, text: str) -> int:
        labels = self.labels(text)
        return len(labels) + int((labels[1:] == labels[:-1]).sum())
