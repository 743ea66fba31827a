"""``dvs-lip``: which of a hundred words is said, from the lips before an event camera, in 200 steps of 6 ms.

Events are binned (:mod:`~spikeworks.data.event_clips`), and the middle 88 x 88 pixels shown. While training, squares
within the middle 96 x 96 are drawn, mirrored, masked and scaled (:class:`~spikeworks.data.clip_views.ClipView`),
anew in every epoch.

Splits: the official test part, of speakers who are not in the training part, is the test split. A fixed stratified
tenth of the official training part is the validation split, the rest training; file names do not tell the speakers, so
those of the two are the same people. This holds for both protocols, ``clean`` and ``paper``: the Neuromorphic
Sequential Arena's programs differ only in that the test split chooses, and no protocol here does that (docs/arena.md).
The published figures below are best test scores over all epochs.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import ClassVar, Literal

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..data.check import check_labels
from ..data.clip_views import ClipView
from ..data.dataset import Dataset
from ..data.disjoint import check_disjoint
from ..data.dvs_lip import DVS_LIP, WORDS, load_dvs_lip
from ..data.event_clips import EventClips
from ..data.splits import stratified_split
from .base import ACCURACY, TASKS, ClassificationTask, Figure, Signature, TaskConfig, TaskDefaults, TaskInfo

SIDE, INNER = 88, 96
_WINDOW = 1_200_000.0  # microseconds that all steps together cover
_HELD = 0.1  # of the official training part, for validation
_SPLIT_SEED = 0
_SOURCE = "arXiv 2505.22035, programs of the lip-reading task, best test accuracy"


@TASKS.register("dvs-lip")
@config_kind("task", "dvs-lip")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DvsLipConfig(TaskConfig):
    """Options of ``dvs-lip``.

    Attributes:
        protocol: ``clean`` or ``paper``; the data of the two is the same, boards keep them apart.
        steps: T; together they always cover 1.2 s.
        words: use only the first so many words of the alphabet.
        augment: shift, mirror, mask and scale the training clips.
        flatten: give the pixels as vectors, as published, for networks of vectors.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="words on lips before an event camera (DVS-Lip)",
        shape="T=200 C=2 H=W=88, 100 classes",
        sizes=None,
        metric=ACCURACY,
        files=DVS_LIP,
    )

    protocol: Literal["clean", "paper"] = "clean"
    steps: int = 200
    words: int = len(WORDS)
    augment: bool = True
    flatten: bool = True

    def __post_init__(self) -> None:
        if self.protocol not in ("clean", "paper"):
            raise ConfigError(f"dvs-lip: protocol is 'clean' or 'paper', got {self.protocol!r}.")
        if self.steps < 1:
            raise ConfigError(f"dvs-lip: a clip has at least one step, got steps={self.steps}.")
        if not 2 <= self.words <= len(WORDS):
            raise ConfigError(f"dvs-lip: there are 2 to {len(WORDS)} words, got words={self.words}.")

    def build(self, root: str | Path | None = None) -> DvsLip:
        return DvsLip(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            network="stack" if self.flatten else "conv8",
            hidden=(512,) * 6,
            epochs=100,
            batch_size=256,
            learning_rate=3e-3,
            clip=0.0,
            readout="last",
            schedule="cosine",
            notes="arXiv 2505.22035's programs for feed-forward LIF: decay 0.95, threshold 0.8, triangle surrogate of "
            "width 1, batch normalisation before each neuron, mixed precision",
        )


class DvsLip(ClassificationTask):
    """The built task. ``clips`` holds the names of the clips of each split that was loaded."""

    default_readout = "last"
    published = (
        Figure("LIF", 0.1783, _SOURCE),
        Figure("LIF recurrent", 0.3471, _SOURCE),
        Figure("CE-LIF", 0.4832, _SOURCE),
        Figure("CE-LIF recurrent", 0.5164, _SOURCE),
        Figure("LTC", 0.4893, _SOURCE),
        Figure("LTC recurrent", 0.5664, _SOURCE),
        Figure("SPSN", 0.4573, _SOURCE),
        Figure("GSU", 0.2117, _SOURCE),
        Figure("Spiking TCN", 0.4714, _SOURCE),
        Figure("Spike-driven Transformer", 0.3962, _SOURCE),
        Figure("Binary-S4D", 0.4480, _SOURCE),
        Figure("GSU-SSM", 0.4135, _SOURCE),
    )

    def __init__(self, config: DvsLipConfig, root: str | Path | None) -> None:
        shape = (2, SIDE, SIDE)
        inputs = math.prod(shape) if config.flatten else shape
        words = WORDS[: config.words]
        super().__init__(config, Signature(steps=config.steps, inputs=inputs, outputs=len(words), classes=words))
        self.clips: dict[str, list[str]] = {}
        self._options = config
        self._root = root

    def _load(self, split: str) -> dict[str, Dataset]:
        options = self._options
        part = "test" if split == "test" else "train"
        words = WORDS[: options.words]
        places, classes, names = load_dvs_lip(self._root, part, words, options.steps, _WINDOW / options.steps, INNER)
        check_labels(f"{DVS_LIP.title} {part}", classes, len(words))

        def some(index: list[int], augment: bool) -> EventClips:
            view = ClipView(side=SIDE, augment=augment, flatten=options.flatten)
            return EventClips([places[i] for i in index], classes[index], options.steps, INNER, view)

        everything = list(range(len(names)))
        if part == "test":
            self.clips["test"] = [f"test/{name}" for name in names]
            return {"test": some(everything, augment=False)}
        held, rest = stratified_split(classes.tolist(), names, (_HELD,), _SPLIT_SEED, self.name)
        parts = {"train": rest, "validation": held}
        self.clips |= {name: [f"train/{names[i]}" for i in index] for name, index in parts.items()}
        check_disjoint(self.clips, "clip", DVS_LIP.title)
        return {name: some(index, options.augment and name == "train") for name, index in parts.items()}
