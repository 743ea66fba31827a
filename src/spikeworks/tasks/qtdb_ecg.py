"""``qtdb-ecg``: which wave of the heart beat runs now, at each of 1301 steps, from the events of two leads of an ECG.

Real recordings (:mod:`spikeworks.data.qtdb`), a label at every step, nothing pooled over time. Steps that the
recordings leave without a label count neither in the loss nor in the score. The largest of the six classes has 35.6 %
of the labelled steps of the published training file, 34.0 % of those of the test file.

Splits: the published test file is the test split. A tenth of the published training file is the validation split.
The files do not name the hearts, but sequences stand there in the order of their recordings: neighbours are much
alike, those more than ten apart no more than any two. So validation takes three stretches, spread over the file because
the recordings come from collections of very different hearts, and the ten sequences to both sides of each are left out,
so that as far as the order tells no heart is in both splits.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..data.dataset import Dataset
from ..data.qtdb import CHANNELS, QTDB, STEPS, WAVES, load_qtdb
from ..data.step_labels import StepLabels
from .base import ACCURACY, TASKS, Figure, LabellingTask, Signature, TaskConfig, TaskDefaults, TaskInfo

_HELD, _STRETCHES = 0.1, 3
_GAP = 10  # sequences to each side of a stretch that no split has
_SOURCE = "Yin, Corradi and Bohte, Nature Machine Intelligence 3 (2021), best test accuracy"


@TASKS.register("qtdb-ecg")
@config_kind("task", "qtdb-ecg")
@dataclasses.dataclass(frozen=True, kw_only=True)
class QtdbEcgConfig(TaskConfig):
    """Options of ``qtdb-ecg``.

    Attributes:
        steps: T; the first so many of the 1301 steps of every sequence.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="the wave of the heart beat at every step, from the events of two ECG leads (QT database)",
        shape="T=1301 C=4, 6 classes at every step",
        sizes=(495, 63, 141),
        metric=ACCURACY,
        files=QTDB,
    )

    steps: int = STEPS

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= STEPS:
            raise ConfigError(f"qtdb-ecg: a sequence has 1 to {STEPS} steps, got steps={self.steps}.")

    def build(self, root: str | Path | None = None) -> QtdbEcg:
        return QtdbEcg(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(64, 64),
            epochs=30,
            batch_size=32,
            learning_rate=5e-3,
            clip=1.0,
            readout="every",
            readout_scale=3.0,
            schedule="cosine",
        )


class QtdbEcg(LabellingTask):
    """The built task."""

    published = (Figure("SRNN, adaptive neurons", 0.859, _SOURCE),)

    def __init__(self, config: QtdbEcgConfig, root: str | Path | None) -> None:
        super().__init__(
            config,
            Signature(steps=config.steps, inputs=CHANNELS, outputs=len(WAVES), kind="labelling", classes=WAVES),
        )
        self._steps = config.steps
        self._root = root

    def _load(self, split: str) -> dict[str, Dataset]:
        files = load_qtdb(self._root)
        known, tested = files["train"], files["test"]
        held, left = _stretches(len(known.waves))
        parts = {
            "train": (known.events[left], known.waves[left]),
            "validation": (known.events[held], known.waves[held]),
            "test": (tested.events, tested.waves),
        }
        return {
            name: StepLabels(
                events[:, : self._steps], waves[:, : self._steps], classes=len(WAVES), who=f"{self.name} {name}"
            )
            for name, (events, waves) in parts.items()
        }


def _stretches(count: int) -> tuple[Tensor, Tensor]:
    """Positions of validation and of training among ``count`` sequences, each ascending."""
    size = round(_HELD * count / _STRETCHES)
    places = torch.arange(count)
    held = near = torch.zeros(count, dtype=torch.bool)
    for k in range(_STRETCHES):
        first = (2 * k + 1) * count // (2 * _STRETCHES) - size // 2
        held = held | ((places >= first) & (places < first + size))
        near = near | ((places >= first - _GAP) & (places < first + size + _GAP))
    return held.nonzero().flatten(), (~near).nonzero().flatten()
