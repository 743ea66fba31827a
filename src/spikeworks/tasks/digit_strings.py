"""``digit-strings``: write down strings of two to six spoken digits; a stand-in for ``aishell`` at 8 kHz.

English digits of one speaker (Free Spoken Digit Dataset: trimmed below -45 dB of the peak, peak 1), with silences
between them, are transcribed in Chinese numerals, 零 to 九, and nobody says where a digit begins. A step is ``stack``
frames of 40 log-mel bands, 25 ms every 10 ms, each band brought to mean 0 and deviation 1 by training strings. Training
strings are put together on the fly, each epoch others, at one of several speeds; validation and test strings are always
the same. Loss CTC alone, score the character error rate of greedy decoding.

Splits by speaker: george, jackson, lucas and nicolas train, yweweler validates, theo tests.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..core.seeds import stream
from ..data.dataset import Dataset
from ..data.digit_speech import at_speed, joined, load_digit_speech
from ..data.drawn import DrawnDataset, join_transcribed
from ..data.fsdd import FSDD, RATE, Recording
from ..data.mel import LogMel
from ..data.scale import Standardizer
from .base import SPLITS, TASKS, Signature, TaskConfig, TaskDefaults, TaskInfo
from .transcription import CER, TranscriptTask, check_speech, join_frames

NUMERALS = "零一二三四五六七八九"
"""The character of each digit; its label is the digit plus 1, as 0 is the blank."""
_SCALED_BY = 200  # training strings that mean and deviation are taken from


@TASKS.register("digit-strings")
@config_kind("task", "digit-strings")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DigitStringsConfig(TaskConfig):
    """Options of ``digit-strings``.

    Attributes:
        shortest, longest: digits of a string.
        silence_low, silence_high: seconds before, between and behind the digits, drawn evenly.
        bands: number of mel bands.
        stack: frames of 10 ms that make one step, side by side.
        speeds: of training strings, one drawn for each; with pitch and formants they change the voice, of which
            training has four only.
        train_size, validation_size, test_size: strings.
        seed: of the strings, not of the run.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="strings of spoken digits to characters by CTC (stand-in for aishell)",
        shape="T=25 to 220, C=80, 10 characters",
        sizes=(2_000, 200, 300),
        metric=CER,
        files=FSDD,
    )

    shortest: int = 2
    longest: int = 6
    silence_low: float = 0.05
    silence_high: float = 0.2
    bands: int = 40
    stack: int = 2
    speeds: tuple[float, ...] = (0.75, 0.82, 0.9, 1.0, 1.1, 1.2, 1.3)
    train_size: int = 2_000
    validation_size: int = 200
    test_size: int = 300
    seed: int = 0

    def __post_init__(self) -> None:
        check_speech("digit-strings", self.stack, self.speeds)
        if not 1 <= self.shortest <= self.longest <= 50:
            raise ConfigError(f"digit-strings: strings have 1 to 50 digits, got {self.shortest} to {self.longest}.")
        if not 0 <= self.silence_low <= self.silence_high <= 5:
            raise ConfigError(
                f"digit-strings: silences last from 0 to 5 s, got {self.silence_low} to {self.silence_high}."
            )
        for size in (self.train_size, self.validation_size, self.test_size):
            if size < 1:
                raise ConfigError(f"digit-strings: a split has at least one string, got {size}.")
        self.front_end()

    def front_end(self) -> LogMel:
        """The log-mel front end with these options."""
        return LogMel(rate=RATE, bands=self.bands)

    def build(self, root: str | Path | None = None) -> DigitStrings:
        return DigitStrings(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(192, 192),
            epochs=20,
            batch_size=32,
            learning_rate=3e-3,
            clip=5.0,
            readout="every",
            schedule="cosine",
            dropout=0.2,
        )


class DigitStrings(TranscriptTask):
    """The built task; ``scale`` holds mean and deviation of the bands once a split was loaded."""

    def __init__(self, config: DigitStringsConfig, root: str | Path | None) -> None:
        characters = ("blank", *NUMERALS)
        super().__init__(
            config,
            Signature(
                steps=None,
                inputs=config.bands * config.stack,
                outputs=len(characters),
                kind="transcript",
                classes=characters,
            ),
        )
        self.scale: Standardizer | None = None
        self._options = config
        self._root = root

    def _load(self, split: str) -> dict[str, Dataset]:
        options, front_end = self._options, self._options.front_end()
        speakers = load_digit_speech(self._root)
        sizes = dict(zip(SPLITS, (options.train_size, options.validation_size, options.test_size), strict=True))

        def spoken(name: str, position: int, draw: int) -> tuple[Tensor, Tensor]:
            generator = stream(options.seed, self.name, name, position, draw)
            wave, digits = _string(options, list(speakers[name].values()), generator)
            if name == "train" and draw:
                index = int(torch.randint(len(options.speeds), (), generator=generator))
                wave = at_speed(wave, options.speeds[index])
            return front_end(wave), digits + 1

        heard = [spoken("train", position, 0)[0] for position in range(min(_SCALED_BY, sizes["train"]))]
        scale = self.scale = Standardizer.of(torch.cat(heard))

        def sample(name: str, position: int, draw: int) -> tuple[Tensor, Tensor]:
            frames, labels = spoken(name, position, draw)
            return join_frames(scale(frames), options.stack), labels

        made: dict[str, Dataset] = {}
        for name, size in sizes.items():
            data = DrawnDataset(size, lambda i, draw, name=name: sample(name, i, draw), join_transcribed)
            made[name] = data if name == "train" else data.fixed()
        return made


def _string(
    options: DigitStringsConfig, voices: list[list[Recording]], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A string as a wave, and its digits."""
    voice = voices[int(torch.randint(len(voices), (), generator=generator))]
    count = int(torch.randint(options.shortest, options.longest + 1, (), generator=generator))
    chosen = [voice[i] for i in torch.randint(len(voice), (count,), generator=generator).tolist()]
    wave = joined([r.wave for r in chosen], (options.silence_low, options.silence_high), generator)
    return wave, torch.tensor([r.digit for r in chosen])
