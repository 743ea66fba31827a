"""``basic-motions``: standing, running, walking or badminton, from six channels of a watch at 10 Hz.

BasicMotions of the UEA archive, real and small; a stand-in of the kind of ``wisdm`` whose figures are its
own. A sample is a whole recording of 10 s; channels are brought to mean 0 and deviation 1 by the training
cases.

Splits: the archive's 40 test cases are the test split; two of the ten training cases of each class, by a
hash, are validation, the other 32 training. The archive does not say who moved, so that the same
students may stand on both sides.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

from ..core.config import config_kind
from ..data.basic_motions import BASIC_MOTIONS, CLASSES, SHAPE, load_basic_motions
from ..data.check import check_arrays
from ..data.dataset import ArrayDataset, Dataset
from ..data.disjoint import check_disjoint
from ..data.scale import Standardizer
from ..data.splits import stratified_parts
from .base import ACCURACY, TASKS, ClassificationTask, Signature, TaskConfig, TaskDefaults, TaskInfo

_VALIDATION = 8
_SPLIT_SEED = 0


@TASKS.register("basic-motions")
@config_kind("task", "basic-motions")
@dataclasses.dataclass(frozen=True, kw_only=True)
class BasicMotionsConfig(TaskConfig):
    """``basic-motions`` has no options."""

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="four activities from accelerometer and gyroscope of a watch (40 + 40 recordings)",
        shape="T=100 C=6, 4 classes",
        sizes=(32, 8, 40),
        metric=ACCURACY,
        files=BASIC_MOTIONS,
    )

    def build(self, root: str | Path | None = None) -> BasicMotions:
        return BasicMotions(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(64, 64),
            epochs=50,
            batch_size=16,
            learning_rate=3e-3,
            clip=1.0,
            readout="mean",
            readout_scale=10.0,
            schedule="cosine",
        )


class BasicMotions(ClassificationTask):
    """The built task; ``scale`` holds mean and deviation of the channels once a split was loaded."""

    def __init__(self, config: BasicMotionsConfig, root: str | Path | None) -> None:
        steps, channels = SHAPE
        super().__init__(
            config,
            Signature(
                steps=steps, inputs=channels, outputs=len(CLASSES), classes=tuple(name.lower() for name in CLASSES)
            ),
        )
        self.scale: Standardizer | None = None
        self._root = root

    def _load(self, split: str) -> dict[str, Dataset]:
        given = load_basic_motions(self._root)
        labels = given["train"].targets.tolist()
        validation, train = stratified_parts(labels, (_VALIDATION,), _SPLIT_SEED, who=self.name)
        index = {"train": train, "validation": validation, "test": list(range(len(given["test"].targets)))}
        cases = {name: given["test" if name == "test" else "train"] for name in index}
        rows = {name: cases[name].rows.unflatten(0, (-1, SHAPE[0]))[index[name]] for name in index}
        check_disjoint(
            {name: (case.numpy().tobytes() for case in part) for name, part in rows.items()}, "recording", self.name
        )
        self.scale = Standardizer.of(rows["train"].flatten(0, 1))
        parts: dict[str, Dataset] = {}
        for name, part in rows.items():
            inputs = self.scale(part.flatten(0, 1)).unflatten(0, (-1, SHAPE[0]))
            targets = cases[name].targets[index[name]]
            check_arrays(f"{self.name} {name}", inputs, targets, classes=len(CLASSES))
            parts[name] = ArrayDataset(inputs, targets)
        return parts
