"""``event-digits-signed``: digits before an event camera, through everything that ``dvs-lip`` does to its clips.

A stand-in with real recordings for the pipeline of ``dvs-lip``: steps of 6 ms from time 0 on, signed counts, squares
drawn within the frames, masked and scaled (:mod:`~spikeworks.data.event_clips`,
:class:`~spikeworks.data.clip_views.ClipView`), and a network that answers at the last step. Digits are not mirrored.
Figures say nothing about lips; ``nmnist-sample`` shows the same recordings as a few frames.

Splits: those of ``nmnist-sample``: its 100 test recordings, a fixed stratified 100 of the 1000 others for validation.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import ClassVar

import torch

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..data.check import check_labels
from ..data.clip_views import ClipView
from ..data.dataset import Dataset
from ..data.event_clips import EventClips, event_places
from ..data.files import locate
from ..data.nmnist import NMNIST_SAMPLE, SIZE, read_nmnist
from ..data.records import read_records
from ..data.splits import stratified_parts
from .base import ACCURACY, TASKS, ClassificationTask, Signature, TaskConfig, TaskDefaults, TaskInfo
from .s_mnist import DIGITS

SIDE = 30
_WIDTH = 6_000.0
_SPLIT_SEED = 0


@TASKS.register("event-digits-signed")
@config_kind("task", "event-digits-signed")
@dataclasses.dataclass(frozen=True, kw_only=True)
class EventDigitsSignedConfig(TaskConfig):
    """Options of ``event-digits-signed``.

    Attributes:
        steps: T of 6 ms each; later events are left out. Recordings last 0.3 s.
        augment: shift, mask and scale the training clips.
        flatten: give the pixels as vectors, for networks of vectors.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="digits before an event camera, through the steps of dvs-lip (its stand-in)",
        shape="T=50 C=2 H=W=30, 10 classes",
        sizes=(900, 100, 100),
        metric=ACCURACY,
        files=NMNIST_SAMPLE,
    )

    steps: int = 50
    augment: bool = True
    flatten: bool = True

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"event-digits-signed: a clip has at least one step, got steps={self.steps}.")

    def build(self, root: str | Path | None = None) -> EventDigitsSigned:
        return EventDigitsSigned(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            network="stack" if self.flatten else "conv8",
            hidden=(256, 256),
            epochs=30,
            batch_size=32,
            learning_rate=2e-3,
            clip=1.0,
            readout="last",
            schedule="cosine",
        )


class EventDigitsSigned(ClassificationTask):
    """The built task."""

    default_readout = "last"

    def __init__(self, config: EventDigitsSignedConfig, root: str | Path | None) -> None:
        shape = (2, SIDE, SIDE)
        inputs = math.prod(shape) if config.flatten else shape
        super().__init__(config, Signature(steps=config.steps, inputs=inputs, outputs=10, classes=DIGITS))
        self._options = config
        self._root = root

    def _load(self, split: str) -> dict[str, Dataset]:
        steps, part = self._options.steps, "Test" if split == "test" else "Train"
        paths = [path for name, path in locate(NMNIST_SAMPLE, self._root).items() if name.startswith(f"{part}/")]
        recordings = read_records(paths, read_nmnist, f"{NMNIST_SAMPLE.title} recording")
        places = [event_places(events, steps, _WIDTH, SIZE, inner=min(SIZE)) for events in recordings]
        digits = torch.tensor([int(path.parent.name) for path in paths])
        check_labels(f"{NMNIST_SAMPLE.title} {part}", digits, classes=10)

        def some(index: list[int], augment: bool) -> EventClips:
            view = ClipView(
                side=SIDE, augment=augment, flip=False, holes=2, longest=8, zoom=7, flatten=self._options.flatten
            )
            return EventClips([places[i] for i in index], digits[index], steps, min(SIZE), view)

        if split == "test":
            return {"test": some(list(range(len(paths))), augment=False)}
        labels = digits.tolist()
        validation, train = stratified_parts(labels, (len(labels) // 10,), _SPLIT_SEED, who=self.name)
        return {"train": some(train, self._options.augment), "validation": some(validation, augment=False)}
