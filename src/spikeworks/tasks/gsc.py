"""``gsc``: which word was said, Speech Commands v2, from 101 frames of 40 mel bands.

Protocol ``clean``: log-mel of frames of 30 ms every 10 ms (:class:`~spikeworks.data.mel.LogMel`; silence stands
before and behind a recording, so that 1 s gives 101 frames), every recording brought to mean 0 and deviation 1 over all
its values. Splits are the published lists, whose speakers differ. With ``classes=12``, ten words, "unknown" and
"silence": as many recordings of other words as a tenth of those of the ten, and as many seconds of background noise at
a random level; the noise files are cut in time, 80, 10 and 10 %.

Protocol ``paper``, as the temporal-processing benchmark (arXiv 2502.09449) has it: band power without a logarithm
(:func:`~spikeworks.data.mel_power.mel_power`), scaled likewise, then padded with zeros. Its figures are the best over
all epochs on the published *validation* list, which therefore is the test split here, and the testing list is not read;
as under every ``paper`` protocol (docs/arena.md), a random tenth of the training recordings chooses. With
``classes=12`` all other words are "unknown", nearly two thirds of the recordings, and there is no "silence": its
program leaves out the background noise. Its task of 37 classes has the 35 words besides an "unknown" and a "silence"
without a recording; this is ``classes=35``.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..core.config import config_kind
from ..core.errors import ConfigError, DataError
from ..core.seeds import stream
from ..data.check import check_arrays
from ..data.dataset import ArrayDataset, Dataset
from ..data.disjoint import Span, check_disjoint, check_spans_disjoint
from ..data.mel import LogMel, mel_filters, triangles
from ..data.mel_power import mel_power
from ..data.records import read_records
from ..data.speech_commands import RATE, SPEECH_COMMANDS, TEN, WORDS, Command, Commands, find_commands, read_command
from ..data.splits import hash_order, stratified_split
from .base import ACCURACY, SPLITS, TASKS, ClassificationTask, Signature, TaskConfig, TaskDefaults, TaskInfo

TWELVE = ("unknown", "silence", *TEN)
_POINTS, _HOP = 480, 160
STEPS = 1 + RATE // _HOP
_SHARE = 0.1  # of the ten words: so many unknown and silent ones
_HELD = 0.1  # of the training recordings, for validation in the protocol paper
_CUTS = {"train": (0.0, 0.8), "validation": (0.8, 0.9), "test": (0.9, 1.0)}


@TASKS.register("gsc")
@config_kind("task", "gsc")
@dataclasses.dataclass(frozen=True, kw_only=True)
class GscConfig(TaskConfig):
    """Options of ``gsc``.

    Attributes:
        protocol: ``clean`` or ``paper``; figures of the two must not be compared.
        classes: 35 words, or 12: ten of them, unknown and silence.
        bands: number of mel bands, the channels.
        seed: of what is drawn for unknown and silence, not of the run.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="spoken commands, mel frames (Speech Commands v2)",
        shape="T=101 C=40, 35 or 12 classes",
        sizes=None,
        metric=ACCURACY,
        files=SPEECH_COMMANDS,
    )

    protocol: Literal["clean", "paper"] = "clean"
    classes: Literal[12, 35] = 35
    bands: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        if self.protocol not in ("clean", "paper") or self.classes not in (12, 35):
            raise ConfigError(
                f"gsc: protocol is 'clean' or 'paper' and classes 12 or 35, got {self.protocol!r}, {self.classes!r}.",
                "the set has 35 words; a task of 37 classes has two that no recording is of",
            )
        if self.protocol == "clean":
            mel_filters(self.front_end())
        else:
            triangles(torch.linspace(0, RATE / 2, _POINTS // 2 + 1), self.bands, 0.0, RATE / 2)

    def front_end(self) -> LogMel:
        """The log-mel front end of the protocol ``clean``."""
        return LogMel(rate=RATE, bands=self.bands, window=_POINTS / RATE, hop=_HOP / RATE)

    def build(self, root: str | Path | None = None) -> Gsc:
        return Gsc(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(300, 300),
            epochs=200,
            batch_size=256,
            learning_rate=5e-4,
            clip=0.0,
            readout="sum",
            dropout=0.3,
            notes="LIF with decay 0.9, threshold 0.5, soft reset, rectangle of width 1; dropout before the neurons",
        )


class Gsc(ClassificationTask):
    """The built task. ``members`` holds, once a split was loaded, the recordings of all splits."""

    default_readout = "sum"

    def __init__(self, config: GscConfig, root: str | Path | None) -> None:
        classes = TWELVE if config.classes == 12 else WORDS
        super().__init__(config, Signature(steps=STEPS, inputs=config.bands, outputs=len(classes), classes=classes))
        self.members: dict[str, list[Command]] = {}
        self._labels = {word: label for label, word in enumerate(classes)}
        self._options = config
        self._root = root

    def _load(self, split: str) -> dict[str, Dataset]:
        commands = find_commands(self._root)
        self.members = self._clean(commands) if self._options.protocol == "clean" else self._paper(commands)
        chosen = self.members[split]
        if not chosen:
            raise DataError(f"{self.name}: no recording is left for the split {split}.")
        waves = read_records(chosen, lambda one: read_command(one.path), f"{SPEECH_COMMANDS.title} recording")
        rows = [self._frames(wave).half() for wave in waves]
        labels = [self._labels.get(one.word, 0) for one in chosen]
        if self._options.protocol == "clean" and self._options.classes == 12:
            silent = self._silence(split, commands, max(1, round(_SHARE * sum(label >= 2 for label in labels))))
            rows += [self._frames(wave).half() for wave in silent]
            labels += [TWELVE.index("silence")] * len(silent)
        inputs, targets = torch.stack(rows), torch.tensor(labels)
        check_arrays(f"{self.name} {split}", inputs, targets, classes=self.signature.outputs)
        return {split: ArrayDataset(inputs, targets)}

    def _clean(self, commands: Commands) -> dict[str, list[Command]]:
        splits = commands.splits
        check_disjoint({n: [one.speaker for one in part] for n, part in splits.items()}, "speaker", self.name)
        return splits if self._options.classes == 35 else {n: self._ten(part) for n, part in splits.items()}

    def _ten(self, part: list[Command]) -> list[Command]:
        """The ten words and a few of the others."""
        wanted = [one for one in part if one.word in TEN]
        others = [one for one in part if one.word not in TEN]
        order = hash_order([one.name for one in others], self._options.seed)
        return wanted + [others[i] for i in sorted(order[: max(1, round(_SHARE * len(wanted)))])]

    def _paper(self, commands: Commands) -> dict[str, list[Command]]:
        train = commands.splits["train"]
        words, names = [one.word for one in train], [one.name for one in train]
        held, rest = stratified_split(words, names, (_HELD,), 0, SPEECH_COMMANDS.title)
        return {
            "train": [train[i] for i in rest],
            "validation": [train[i] for i in held],
            "test": commands.splits["validation"],
        }

    def _silence(self, split: str, commands: Commands, count: int) -> list[Tensor]:
        """Seconds of background noise from this split's part of each file, at levels up to that of the file."""
        noises = list(read_records(commands.noises, read_command, f"{SPEECH_COMMANDS.title} noise"))
        spans = {name: [_part(str(i), len(noise), name) for i, noise in enumerate(noises)] for name in SPLITS}
        check_spans_disjoint(spans, what="stretch of noise", who=self.name)
        parts = [noise[start:stop] for noise, (_, start, stop) in zip(noises, spans[split], strict=True)]
        for path, part in zip(commands.noises, parts, strict=True):
            if len(part) < RATE:
                raise DataError(f"{path}: its part for {split} has {len(part)} samples, less than 1 s.")
        generator = stream(self._options.seed, self.name, "silence", split)
        drawn = []
        for k in range(count):
            noise = parts[k % len(parts)]
            at = int(torch.randint(len(noise) - RATE + 1, (), generator=generator))
            drawn.append(noise[at : at + RATE] * torch.rand((), generator=generator))
        return drawn

    def _frames(self, wave: Tensor) -> Tensor:
        """A recording as frames ``[101, C]`` of mean 0 and deviation 1; what is longer than 1 s is cut."""
        wave = wave[:RATE]
        if self._options.protocol == "clean":
            late = RATE - len(wave) + _POINTS // 2
            return _scaled(self._options.front_end()(functional.pad(wave, (_POINTS // 2, late))))
        if len(wave) <= _POINTS // 2:
            wave = functional.pad(wave, (0, _POINTS // 2 + 1 - len(wave)))
        power = mel_power(wave, rate=RATE, points=_POINTS, hop=_HOP, bands=self._options.bands)
        return functional.pad(_scaled(power), (0, 0, 0, STEPS - len(power)))


def _scaled(frames: Tensor) -> Tensor:
    if bool(frames.amax() == frames.amin()):  # digital silence; its deviation would be rounding alone
        return torch.zeros_like(frames)
    return (frames - frames.mean()) / frames.std()


def _part(name: str, samples: int, split: str) -> Span:
    first, last = _CUTS[split]
    return name, round(first * samples), round(last * samples)
