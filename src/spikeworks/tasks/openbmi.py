"""``openbmi``: right or left hand imagined, from 62 channels of EEG.

Motor imagery of the Neuromorphic Sequential Arena (arXiv 2505.22035), 54 subjects in two sessions of
200 trials. Every recording goes through :mod:`spikeworks.data.eeg`: common average reference, 1 to 50 Hz
without delay, the 5 s behind each cue, from 1 kHz to 100 Hz. (The arena's committed program cuts
350 ms, which cannot give its 500 steps; 5 s do.) It takes some seconds a recording.

Protocol ``clean``: a low-pass before the rate is lowered; mean and deviation of every channel by the
training trials. ``split="subject"``: 20 % of the subjects (by a hash of their numbers) are the test split,
10 % validation. ``split="session"``: of every subject, the second session is the test split, the first
session's two recordings are training and validation.

Protocol ``paper``: as the arena's own program does it, to compare with its figures. The mean of 10 samples
lowers the rate; every channel of every subject is brought to mean 0 and deviation 1 by all trials of that
subject, test trials among them; the trials of all subjects are shuffled and the first 80 % are training, so
that the same people, sessions and recordings stand on both sides. The score is therefore no estimate for a
new person or day. The arena has no validation split: it reports the best test score over all epochs. Here,
as under every ``paper`` protocol (docs/arena.md), the last tenth of its training trials chooses instead,
and the first 72 % of all train. Its shuffle cannot be repeated (it is not seeded); ours is another, fixed
one. ``layout="mirror"`` reads the arena's own preprocessed arrays, in which its shuffle is kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..data.check import check_arrays
from ..data.dataset import ArrayDataset, Dataset
from ..data.disjoint import check_disjoint, split_groups
from ..data.eeg import TrialPipeline, channel_scale
from ..data.openbmi import CHANNELS, CLASSES, OPENBMI, RATE, load_openbmi, load_openbmi_arrays
from ..data.splits import fixed_permutation
from .base import ACCURACY, SPLITS, TASKS, ClassificationTask, Signature, TaskConfig, TaskDefaults, TaskInfo

FACTOR = 10
_SPLIT_SEED = 0


@TASKS.register("openbmi")
@config_kind("task", "openbmi")
@dataclasses.dataclass(frozen=True, kw_only=True)
class OpenbmiConfig(TaskConfig):
    """Options of ``openbmi``.

    Attributes:
        protocol: ``clean`` or ``paper``; figures of the two must not be compared.
        split: under ``clean``, by ``subject`` or by ``session``.
        layout: ``raw`` recordings, or the arena's preprocessed ``mirror`` (protocol ``paper``).
        steps: T at 100 Hz.
        subjects: use only these of 1 to 54; ``None``: all.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="right or left hand imagined, from EEG (OpenBMI)",
        shape="T=500 C=62, 2 classes",
        sizes=None,
        metric=ACCURACY,
        files=OPENBMI,
    )

    protocol: Literal["clean", "paper"] = "clean"
    split: Literal["subject", "session"] = "subject"
    layout: Literal["raw", "mirror"] = "raw"
    steps: int = 500
    subjects: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"openbmi: a trial has at least one step, got steps={self.steps}.")
        if self.protocol == "paper" and self.split != "subject":
            raise ConfigError("openbmi: protocol=paper has one split, over all subjects; split=session is for clean.")
        if self.layout == "mirror" and (self.protocol != "paper" or self.subjects is not None):
            raise ConfigError(
                "openbmi: the mirror does not say whose a trial is, so it cannot be split cleanly or by subject.",
                "take protocol=paper and all subjects, or layout=raw",
            )

    def build(self, root: str | Path | None = None) -> OpenbmiTask:
        return OpenbmiTask(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(128, 256, 256),
            epochs=100,
            batch_size=128,
            learning_rate=1e-3,
            clip=1.0,
            readout="last",
            schedule="step",
            notes="LIF with decay 1, threshold 0.5, triangle surrogate of width 0.6",
        )


@dataclasses.dataclass(frozen=True)
class _Trials:
    """The trials of one recording: signals ``[N, T, C]``, labels ``[N]``."""

    recording: str
    subject: int
    session: int
    phase: str
    signals: Tensor
    labels: Tensor


class OpenbmiTask(ClassificationTask):
    """The built task.

    Attributes:
        recordings: the recording of every trial of each split, once a split was loaded; empty for the mirror.
    """

    default_readout = "last"

    def __init__(self, config: OpenbmiConfig, root: str | Path | None) -> None:
        super().__init__(config, Signature(steps=config.steps, inputs=CHANNELS, outputs=len(CLASSES), classes=CLASSES))
        self.recordings: dict[str, tuple[str, ...]] = {}
        self._options = config
        self._root = root

    def _load(self, split: str) -> dict[str, Dataset]:
        if self._options.layout == "mirror":
            parts = self._mirror()
        elif self._options.protocol == "paper":
            parts = self._paper(self._trials("mean"))
        else:
            parts = self._clean(self._trials("fir"))
        for name, (signals, labels) in parts.items():
            check_arrays(f"{self.name} {name}", signals, labels, classes=len(CLASSES))
        return {name: ArrayDataset(signals, labels) for name, (signals, labels) in parts.items()}

    def _trials(self, decimation: Literal["fir", "mean"]) -> list[_Trials]:
        pipeline = TrialPipeline(rate=RATE, factor=FACTOR, steps=self._options.steps, decimation=decimation)
        return [
            _Trials(
                one.name,
                one.subject,
                one.session,
                one.phase,
                pipeline(one.signal, one.cues, who=f"OpenBMI {one.name}"),
                torch.tensor(one.labels),
            )
            for one in load_openbmi(self._root, self._options.subjects)
        ]

    def _clean(self, trials: list[_Trials]) -> dict[str, tuple[Tensor, Tensor]]:
        if self._options.split == "subject":
            members = split_groups(
                [one.subject for one in trials],
                test=0.2,
                validation=0.1,
                seed=_SPLIT_SEED,
                what="subject",
                who=self.name,
            )
            parts = {name: [one for one in trials if one.subject in members[name]] for name in SPLITS}
            check_disjoint({name: [one.subject for one in part] for name, part in parts.items()}, "subject", self.name)
        else:
            parts = {
                "train": [one for one in trials if one.session == 1 and one.phase == "train"],
                "validation": [one for one in trials if one.session == 1 and one.phase == "test"],
                "test": [one for one in trials if one.session == 2],
            }
        self.recordings = {name: _names(part) for name, part in parts.items()}
        check_disjoint(self.recordings, what="recording", who=self.name)
        scale = channel_scale(one.signals for one in parts["train"])
        return {
            name: (torch.cat([scale(one.signals) for one in part]), torch.cat([one.labels for one in part]))
            for name, part in parts.items()
        }

    def _paper(self, trials: list[_Trials]) -> dict[str, tuple[Tensor, Tensor]]:
        scaled = []
        for subject in dict.fromkeys(one.subject for one in trials):
            own = [one for one in trials if one.subject == subject]
            scale = channel_scale(one.signals for one in own)
            scaled += [scale(one.signals) for one in own]
        signals, labels, names = torch.cat(scaled), torch.cat([one.labels for one in trials]), _names(trials)
        order = fixed_permutation(len(labels), _SPLIT_SEED).tolist()
        learn = int(0.8 * len(order))
        parts = {**_tenth_chooses(order[:learn]), "test": order[learn:]}
        self.recordings = {name: tuple(names[i] for i in index) for name, index in parts.items()}
        return {name: (signals[list(index)], labels[list(index)]) for name, index in parts.items()}

    def _mirror(self) -> dict[str, tuple[Tensor, Tensor]]:
        given = load_openbmi_arrays(self._root, self._options.steps)
        signals, labels = given["train"]
        index = {name: list(part) for name, part in _tenth_chooses(range(len(labels))).items()}
        return {**{name: (signals[part], labels[part]) for name, part in index.items()}, "test": given["test"]}


def _tenth_chooses(index: Sequence[int]) -> dict[str, Sequence[int]]:
    """The last tenth of the published training trials is the validation split."""
    kept = len(index) - len(index) // 10
    return {"train": index[:kept], "validation": index[kept:]}


def _names(trials: list[_Trials]) -> tuple[str, ...]:
    return tuple(one.recording for one in trials for _ in range(len(one.labels)))
