"""``wrist-motion``: which of 14 activities, from an accelerometer on the right wrist at 32 Hz.

Real recordings of the same kind as those of ``wisdm``, cut by the same code; a stand-in whose
figures are its own. A sample is a window of 128 readings (4 s), a new one every 64; recordings
shorter than a window are not used. The axes are brought to mean 0 and deviation 1 by the training
windows alone: a recording holds one activity, and its own mean, which tells how the wrist is
held, must not be taken away from it.

Splits of the protocol ``clean``, by volunteer: m1, m3, m5 and m9 are the test split, m2, m6, m8 and f3
validation, the other eight training. Two activities, eating meat and eating soup, were recorded by one
volunteer only and occur in training alone; ``activities="common"`` leaves the eight with at least 40 recordings.

Protocol ``paper``, as published for the task that this one stands for (:mod:`spikeworks.data.joined_windows`): all
recordings are joined, the short ones too, a window may begin in one and end in the next as long as the activity at
both ends is the same, and random windows are tested. It shows what that way of splitting adds to a score; the scale,
the readings and the network are those of ``clean``.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..data.check import check_arrays
from ..data.dataset import ArrayDataset, Dataset
from ..data.disjoint import check_disjoint, check_spans_disjoint
from ..data.hmp import ACTIVITIES, HMP, RECORDINGS, HmpRecording, load_hmp
from ..data.joined_windows import joined_windows, leaking_share, random_windows_split
from ..data.scale import Standardizer
from ..data.segments import Windows, cut_windows, starts_within_runs
from .base import ACCURACY, TASKS, ClassificationTask, Signature, TaskConfig, TaskDefaults, TaskInfo

COMMON = tuple(activity for activity, count in RECORDINGS.items() if count >= 40)
VOLUNTEERS = {
    "train": ("f1", "f2", "f4", "f5", "m4", "m7", "m10", "m11"),
    "validation": ("f3", "m2", "m6", "m8"),
    "test": ("m1", "m3", "m5", "m9"),
}
_SPLIT_SEED = 0


@TASKS.register("wrist-motion")
@config_kind("task", "wrist-motion")
@dataclasses.dataclass(frozen=True, kw_only=True)
class WristMotionConfig(TaskConfig):
    """Options of ``wrist-motion``.

    Attributes:
        protocol: ``clean`` or ``paper``; figures of the two must not be compared, but their difference tells.
        steps: readings of a window, T.
        stride: readings from one window to the next.
        activities: ``all`` 14, or the ``common`` ones.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="14 activities from an accelerometer on the wrist (stand-in for wisdm)",
        shape="T=128 C=3, 14 classes",
        sizes=(3_933, 740, 1_048),
        metric=ACCURACY,
        files=HMP,
    )

    protocol: Literal["clean", "paper"] = "clean"
    steps: int = 128
    stride: int = 64
    activities: Literal["all", "common"] = "all"

    def __post_init__(self) -> None:
        if self.protocol not in ("clean", "paper"):
            raise ConfigError(f"wrist-motion: protocol is 'clean' or 'paper', got {self.protocol!r}.")
        if self.steps < 1 or self.stride < 1:
            raise ConfigError(
                f"wrist-motion: steps and stride are at least 1, got steps={self.steps}, stride={self.stride}."
            )

    def build(self, root: str | Path | None = None) -> WristMotion:
        return WristMotion(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(128, 128),
            epochs=30,
            batch_size=64,
            learning_rate=3e-3,
            clip=1.0,
            readout="mean",
            readout_scale=10.0,
            schedule="cosine",
        )


class WristMotion(ClassificationTask):
    """The built task.

    Attributes:
        windows: the windows of each split with their origin, in g, once a split was loaded.
        scale: mean and deviation of the axes, likewise.
        leaking: share of the test windows that share readings with training or validation, likewise: 0 under
            ``clean``.
    """

    def __init__(self, config: WristMotionConfig, root: str | Path | None) -> None:
        classes = ACTIVITIES if config.activities == "all" else COMMON
        super().__init__(config, Signature(steps=config.steps, inputs=3, outputs=len(classes), classes=classes))
        self.windows: dict[str, Windows] = {}
        self.scale: Standardizer | None = None
        self.leaking: float | None = None
        self._options = config
        self._root = root
        self._classes = classes

    def _load(self, split: str) -> dict[str, Dataset]:
        recordings = [one for one in load_hmp(self._root) if ACTIVITIES[one.activity] in self._classes]
        labels = [torch.full((len(one.rows),), self._classes.index(ACTIVITIES[one.activity])) for one in recordings]
        self.windows = (self._clean if self._options.protocol == "clean" else self._paper)(recordings, labels)
        self.leaking = leaking_share(self.windows)
        self.scale = Standardizer.of(self.windows["train"].inputs.flatten(0, 1))
        parts: dict[str, Dataset] = {}
        for part, windows in self.windows.items():
            inputs = self.scale(windows.inputs.flatten(0, 1)).unflatten(0, (-1, self._options.steps))
            check_arrays(f"{self.name} {part}", inputs, windows.targets, classes=len(self._classes))
            parts[part] = ArrayDataset(inputs, windows.targets)
        return parts

    def _clean(self, recordings: list[HmpRecording], labels: list[Tensor]) -> dict[str, Windows]:
        size, stride = self._options.steps, self._options.stride
        whole = Windows.join(
            cut_windows(one.rows, label, starts_within_runs(label, size, stride), size, one.name, one.volunteer)
            for one, label in zip(recordings, labels, strict=True)
        )
        parts = {
            part: whole[[i for i, who in enumerate(whole.groups) if who in members]]
            for part, members in VOLUNTEERS.items()
        }
        check_disjoint({part: cut.groups for part, cut in parts.items()}, what="volunteer", who=self.name)
        check_spans_disjoint({part: cut.spans for part, cut in parts.items()}, who=self.name)
        return parts

    def _paper(self, recordings: list[HmpRecording], labels: list[Tensor]) -> dict[str, Windows]:
        rows, owners = [one.rows for one in recordings], [one.volunteer for one in recordings]
        whole = joined_windows(rows, labels, owners, self._options.steps, self._options.stride)
        return random_windows_split(whole, _SPLIT_SEED)
