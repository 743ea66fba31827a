"""``timit``: which of 61 phones is said, at every frame of read English, 10 ms apart.

A frame of 25 ms gives 39 numbers (:class:`~spikeworks.data.mfcc.Mfcc`), its label is the phone in its middle. Sentences
are cut into chunks of 100 frames; the last chunk of a sentence is shorter and carries a mask. The SA sentences, the
same for all speakers, are left out.

Splits: the published test part; a tenth of the speakers of the published training part, of every region, is
validation, the rest training.

The classes are the 61 phones by name (:data:`~spikeworks.data.timit.PHONES`). The temporal-processing benchmark
(arXiv 2502.09449) says 61 as well, but its table joins some and misspells others, so that 59 of its classes occur;
scores differ a little for that reason, under both protocols.

Protocol ``clean``: every coefficient has mean 0 and deviation 1 over the frames of training. Protocol ``paper``: every
coefficient is brought from 0 to 1 by the extremes of its own split, of the test split as well, which a recogniser of
single sentences cannot know.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..core.batch import UNLABELLED
from ..core.config import config_kind
from ..core.errors import ConfigError
from ..data.dataset import Dataset
from ..data.mfcc import Mfcc
from ..data.scale import Standardizer
from ..data.step_labels import StepLabels
from ..data.timit import PHONES, TIMIT, read_sentences, split_sentences
from .base import ACCURACY, TASKS, LabellingTask, Signature, TaskConfig, TaskDefaults, TaskInfo


@TASKS.register("timit")
@config_kind("task", "timit")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TimitConfig(TaskConfig):
    """Options of ``timit``.

    Attributes:
        protocol: ``clean`` or ``paper``; figures of the two must not be compared.
        steps: frames of a chunk, T.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="the phone of every frame of read English (TIMIT)",
        shape="T=100 C=39, 61 classes at every step",
        sizes=None,
        metric=ACCURACY,
        files=TIMIT,
    )

    protocol: Literal["clean", "paper"] = "clean"
    steps: int = 100

    def __post_init__(self) -> None:
        if self.protocol not in ("clean", "paper"):
            raise ConfigError(f"timit: protocol is 'clean' or 'paper', got {self.protocol!r}.")
        if self.steps < 1:
            raise ConfigError(f"timit: a chunk has at least one frame, got steps={self.steps}.")

    def build(self, root: str | Path | None = None) -> Timit:
        return Timit(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(256, 256),
            epochs=50,
            batch_size=128,
            learning_rate=1e-3,
            clip=1.0,
            readout="every",
            readout_scale=3.0,
            schedule="cosine",
        )


class Timit(LabellingTask):
    """The built task.

    Attributes:
        speakers: who speaks in which split, once a split was loaded.
        scale: mean and deviation of the coefficients under ``clean``, likewise.
    """

    def __init__(self, config: TimitConfig, root: str | Path | None) -> None:
        super().__init__(
            config,
            Signature(
                steps=config.steps, inputs=Mfcc().channels, outputs=len(PHONES), kind="labelling", classes=PHONES
            ),
        )
        self.speakers: dict[str, list[str]] = {}
        self.scale: Standardizer | None = None
        self._options = config
        self._root = root

    def _load(self, split: str) -> dict[str, Dataset]:
        front = Mfcc()
        sentences: dict[str, list[tuple[Tensor, Tensor]]] = {}
        for name, paths in split_sentences(self._root).items():
            sentences[name] = [
                (front(one.wave), one.labels(front.mel.window_samples, front.mel.hop_samples))
                for one in read_sentences(paths)
            ]
            self.speakers[name] = sorted({path.parent.name for path in paths})
        if self._options.protocol == "clean":
            self.scale = Standardizer.of(torch.cat([rows for rows, _ in sentences["train"]]))
        made: dict[str, Dataset] = {}
        for name, part in sentences.items():
            joined = torch.cat([rows for rows, _ in part])
            scaled = _between_extremes(joined) if self.scale is None else self.scale(joined)
            rows = scaled.split([len(own) for own, _ in part])
            made[name] = _chunks(f"{self.name} {name}", rows, [labels for _, labels in part], self._options.steps)
        return made


def _between_extremes(rows: Tensor) -> Tensor:
    """Each column from 0 to 1 by its own least and largest value; a constant one is 0."""
    least = rows.amin(0)
    width = rows.amax(0) - least
    return (rows - least) / width.masked_fill(width == 0, 1.0)


def _chunks(who: str, rows: tuple[Tensor, ...], labels: list[Tensor], size: int) -> StepLabels:
    """Sentences in chunks of ``size`` frames, zeros and no labels behind the last of each."""
    pieces = [piece for one in rows for piece in one.split(size)]
    notes = [piece for one in labels for piece in one.split(size)]
    lengths = torch.tensor([len(piece) for piece in pieces])
    inputs = torch.zeros(len(pieces), size, pieces[0].shape[1])
    targets = torch.full((len(pieces), size), UNLABELLED, dtype=torch.int16)
    for i, (piece, note) in enumerate(zip(pieces, notes, strict=True)):
        inputs[i, : len(piece)] = piece
        targets[i, : len(note)] = note.to(torch.int16)
    return StepLabels(inputs, targets, lengths, classes=len(PHONES), who=who)
