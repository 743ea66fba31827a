"""``eegmmidb-mi``: which of two movements one person imagines, from 64 channels of EEG.

Subject S001 of PhysioNet's EEGMMIDB, taken through the same steps as ``openbmi``
(:mod:`spikeworks.data.eeg`): common average reference, band-pass, the 4 s behind each cue, from 160
to 80 Hz, mean 0 and deviation 1 of every channel by the training trials. The band is 7 to 30 Hz,
where the rhythms of movement lie; with the 1 to 50 Hz of ``openbmi``, 15 training trials are too few
for a plain stack to leave chance. A sample is a window of 2 s, nine of them overlapping in each
trial. A stand-in whose figures are its own; reading it needs MNE (``pip install 'spikeworks[eeg]'``).

Splits, by run: the first of three runs is training, the second validation, the third test, 15 trials each;
``fold`` moves the runs on by one. The windows of a trial stand or fall together, so that a
score is known to about 13 points: report the mean of the three folds, over several seeds. Left
against right fist is hard for this person (0.58 by common spatial patterns and a linear
discriminant, mean of the folds); both fists against both feet is easier (0.84).
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
from ..data.disjoint import check_disjoint
from ..data.eeg import TrialPipeline, channel_scale
from ..data.eegmmidb import CHANNELS, EEGMMIDB, RATE, EegRun, load_eegmmidb
from ..data.scale import Standardizer
from ..data.segments import window_starts
from .base import ACCURACY, SPLITS, TASKS, ClassificationTask, Signature, TaskConfig, TaskDefaults, TaskInfo

FACTOR = 2
TRIAL = 320
"""Steps of a trial: 4 s."""
_CLASSES = {"left-right": ("left fist", "right fist"), "fists-feet": ("both fists", "both feet")}


@TASKS.register("eegmmidb-mi")
@config_kind("task", "eegmmidb-mi")
@dataclasses.dataclass(frozen=True, kw_only=True)
class EegmmidbConfig(TaskConfig):
    """Options of ``eegmmidb-mi``.

    Attributes:
        imagery: both ``fists-feet`` (runs 6, 10, 14) or ``left-right`` fist (runs 4, 8, 12).
        steps: T at 80 Hz; a trial has 320.
        stride: steps from one window of a trial to the next.
        low, high: edges of the pass band in hertz.
        fold: 0, 1 or 2: which of the runs is which split.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="two imagined movements from the EEG of one person (stand-in for openbmi)",
        shape="T=160 C=64, 2 classes",
        sizes=(135, 135, 135),
        metric=ACCURACY,
        files=EEGMMIDB,
    )

    imagery: Literal["fists-feet", "left-right"] = "fists-feet"
    steps: int = 160
    stride: int = 20
    low: float = 7.0
    high: float = 30.0
    fold: Literal[0, 1, 2] = 0

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= TRIAL or self.stride < 1:
            raise ConfigError(
                f"eegmmidb-mi: a window has 1 to {TRIAL} steps and a stride of at least 1, "
                f"got steps={self.steps}, stride={self.stride}."
            )
        if self.imagery not in _CLASSES or self.fold not in (0, 1, 2):
            raise ConfigError(
                f"eegmmidb-mi: imagery is left-right or fists-feet and fold 0, 1 or 2, "
                f"got imagery={self.imagery!r}, fold={self.fold}."
            )

        self.pipeline()

    def pipeline(self) -> TrialPipeline:
        """What makes trials of a run."""
        return TrialPipeline(rate=RATE, factor=FACTOR, steps=TRIAL, low=self.low, high=self.high)

    def build(self, root: str | Path | None = None) -> EegmmidbTask:
        return EegmmidbTask(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(64,),
            epochs=12,
            batch_size=32,
            learning_rate=5e-3,
            clip=1.0,
            readout="mean",
            readout_scale=10.0,
        )


class EegmmidbTask(ClassificationTask):
    """The built task.

    Attributes:
        runs: the run of each split, once a split was loaded.
        scale: mean and deviation of the channels, likewise.
    """

    def __init__(self, config: EegmmidbConfig, root: str | Path | None) -> None:
        super().__init__(
            config, Signature(steps=config.steps, inputs=CHANNELS, outputs=2, classes=_CLASSES[config.imagery])
        )
        self.runs: dict[str, str] = {}
        self.scale: Standardizer | None = None
        self._options = config
        self._root = root

    def _load(self, split: str) -> dict[str, Dataset]:
        runs = load_eegmmidb(self._root, self._options.imagery)
        fold = self._options.fold
        members: dict[str, EegRun] = dict(zip(SPLITS, runs[fold:] + runs[:fold], strict=True))
        self.runs = {name: run.name for name, run in members.items()}
        check_disjoint({name: [run] for name, run in self.runs.items()}, what="run", who=self.name)
        pipeline, steps = self._options.pipeline(), self._options.steps
        trials = {name: pipeline(run.signal * 1e6, run.cues, who=run.name) for name, run in members.items()}
        self.scale = channel_scale([trials["train"]])
        parts: dict[str, Dataset] = {}
        for name, signals in trials.items():
            starts = window_starts(TRIAL, steps, self._options.stride)
            inputs = self.scale(signals)[:, starts[:, None] + torch.arange(steps)].flatten(0, 1)
            targets = torch.tensor(members[name].labels).repeat_interleave(len(starts))
            check_arrays(f"{self.name} {name}", inputs, targets, classes=2)
            parts[name] = ArrayDataset(inputs, targets)
        return parts
