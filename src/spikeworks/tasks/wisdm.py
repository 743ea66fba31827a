"""``wisdm``: which of 18 activities, from the gyroscope of a watch at 20 Hz.

Human activity of the Neuromorphic Sequential Arena (arXiv 2505.22035). Every file is one
subject; its three axes are brought to mean 0 and deviation 1 by the file itself. A sample is a
window of 200 readings (10 s), a new one every 100.

Protocol ``clean``: a window lies inside one file and one activity; the splits are made by subject
(a hash of its number: 20 % test, 10 % validation), so that nobody's movements stand on two sides.

Protocol ``paper``: as the arena's own program does it, to compare with its figures. All files are
joined, in the order of their names, and windows are cut from the whole: some begin with one subject
and end with the next. A window counts if its first and last reading have the same activity. 20 % of
the windows, chosen at random, are the test split; since neighbouring windows share half of their
readings, 96 % of the test windows share readings with the other 80 %. The score is therefore no
estimate for a new person. The arena has no validation split: it reports the best test score over
all epochs. Here, as under every ``paper`` protocol (docs/arena.md), a random tenth of its training
windows chooses instead, and the remaining 72 % train. Two things differ from the original and
cannot be helped: its order of files is whatever the file system gives, and its best-of-epochs score
is optimistic beside ours.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

import torch

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..data.check import check_arrays
from ..data.dataset import ArrayDataset, Dataset
from ..data.disjoint import check_disjoint, check_spans_disjoint, split_groups
from ..data.joined_windows import joined_windows, leaking_share, random_windows_split
from ..data.scale import Standardizer
from ..data.segments import Windows, cut_windows, starts_within_runs
from ..data.wisdm import ACTIVITIES, WISDM, WisdmRecording, load_wisdm
from .base import ACCURACY, TASKS, ClassificationTask, Signature, TaskConfig, TaskDefaults, TaskInfo

Protocol = Literal["clean", "paper"]

_PUBLISHED_SEED = 42
_SPLIT_SEED = 0


@TASKS.register("wisdm")
@config_kind("task", "wisdm")
@dataclasses.dataclass(frozen=True, kw_only=True)
class WisdmConfig(TaskConfig):
    """Options of ``wisdm``.

    Attributes:
        protocol: ``clean`` or ``paper``; figures of the two must not be compared.
        steps: readings of a window, T.
        stride: readings from one window to the next.
        subjects: use only these of 1600 to 1650; ``None``: all 51.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="18 activities from the gyroscope of a watch (WISDM)",
        shape="T=200 C=3, 18 classes",
        sizes=None,
        metric=ACCURACY,
        files=WISDM,
    )

    protocol: Protocol = "clean"
    steps: int = 200
    stride: int = 100
    subjects: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.steps < 1 or self.stride < 1:
            raise ConfigError(f"wisdm: steps and stride are at least 1, got steps={self.steps}, stride={self.stride}.")

    def build(self, root: str | Path | None = None) -> WisdmTask:
        return WisdmTask(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(128, 256, 256),
            epochs=100,
            batch_size=256,
            learning_rate=3e-3,
            clip=1.0,
            readout="mean",
            schedule="step",
            notes="LIF with decay 0.9, threshold 0.5, triangle surrogate of width 0.6",
        )


class WisdmTask(ClassificationTask):
    """The built task.

    Attributes:
        windows: the windows of each split with their origin, once a split was loaded.
        leaking: share of the test windows that share readings with training or validation
            windows: 0 under ``clean``.
    """

    def __init__(self, config: WisdmConfig, root: str | Path | None) -> None:
        super().__init__(config, Signature(steps=config.steps, inputs=3, outputs=len(ACTIVITIES), classes=ACTIVITIES))
        self.windows: dict[str, Windows] = {}
        self.leaking: float | None = None
        self._options = config
        self._root = root

    def _load(self, split: str) -> dict[str, Dataset]:
        recordings = load_wisdm(self._root, self._options.subjects)
        self.windows = self._clean(recordings) if self._options.protocol == "clean" else self._paper(recordings)
        for name, part in self.windows.items():
            check_arrays(f"{self.name} {name}", part.inputs, part.targets, classes=len(ACTIVITIES))
        self.leaking = leaking_share(self.windows)
        return {name: ArrayDataset(part.inputs, part.targets) for name, part in self.windows.items()}

    def _clean(self, recordings: list[WisdmRecording]) -> dict[str, Windows]:
        subjects = [recording.subject for recording in recordings]
        members = split_groups(subjects, test=0.2, validation=0.1, seed=_SPLIT_SEED, what="subject", who=self.name)
        size, stride = self._options.steps, self._options.stride
        cut = {
            one.subject: cut_windows(
                _standardised(one),
                one.labels,
                starts_within_runs(one.labels, size, stride),
                size,
                one.name,
                one.subject,
            )
            for one in recordings
        }
        parts = {name: Windows.join(cut[int(who)] for who in sorted(group)) for name, group in members.items()}
        check_disjoint({name: part.groups for name, part in parts.items()}, what="subject", who=self.name)
        check_spans_disjoint({name: part.spans for name, part in parts.items()}, who=self.name)
        return parts

    def _paper(self, recordings: list[WisdmRecording]) -> dict[str, Windows]:
        rows = [_standardised(one) for one in recordings]
        labels, owners = [one.labels for one in recordings], [one.subject for one in recordings]
        whole = joined_windows(rows, labels, owners, self._options.steps, self._options.stride)
        return random_windows_split(whole, _PUBLISHED_SEED)


def _standardised(recording: WisdmRecording) -> torch.Tensor:
    return Standardizer.of(recording.rows)(recording.rows)
