"""``csv``: any labelled series of your own, one CSV file, a row for each time step.

See :mod:`spikeworks.data.series` for the file. Every channel is brought to mean 0 and deviation
1 by the rows of the training split alone. Cases of unequal length are padded behind and carry a
mask.

Splits: by case, never by row. Within each class the cases stand in the order of a hash of their
id (and ``split_seed``); the first 15 % are the test split, the next 15 % validation, the rest
training, each at least one. The order of the file plays no part, and the same file always gives
the same split.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError, DataError
from ..data.check import check_arrays
from ..data.dataset import Dataset, RaggedDataset
from ..data.files import data_root, verify_checksum
from ..data.scale import Standardizer
from ..data.series import Series, read_series
from ..data.splits import stratified_split
from .base import ACCURACY, TASKS, ClassificationTask, Signature, TaskConfig, TaskDefaults, TaskInfo


@TASKS.register("csv")
@config_kind("task", "csv")
@dataclasses.dataclass(frozen=True, kw_only=True)
class CsvConfig(TaskConfig):
    """Options of ``csv``.

    Attributes:
        path: the file; relative to the working directory, or else to the data directory.
        label_column: column of the label, the same in all rows of a case.
        id_column: column that says which case a row belongs to.
        time_column: column to sort the rows of a case by; ``None``: they stand in order.
        test_share, validation_share: shares of the cases of each class.
        split_seed: another number, another split.
        sha256: refuse the file if its contents differ from those with this hash.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="your own labelled series: one CSV file, a row for each time step",
        shape="any length, any channels, 2 or more classes",
        sizes=None,
        metric=ACCURACY,
    )

    path: str
    label_column: str = "label"
    id_column: str = "id"
    time_column: str | None = None
    test_share: float = 0.15
    validation_share: float = 0.15
    split_seed: int = 0
    sha256: str | None = None

    def __post_init__(self) -> None:
        shares = (self.test_share, self.validation_share)
        if min(shares) <= 0 or sum(shares) >= 1:
            raise ConfigError(
                f"csv: test_share and validation_share must be positive and leave something for training, got {shares}."
            )

    def build(self, root: str | Path | None = None) -> CsvTask:
        """The task; reads the file, since the classes and channels stand in it.

        Raises:
            DataError: the file is missing or cannot be used; see :func:`~spikeworks.data.series.read_series`.
        """
        return CsvTask(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(64, 64),
            epochs=50,
            batch_size=16,
            learning_rate=5e-3,
            clip=1.0,
            readout="mean",
            readout_scale=10.0,
            schedule="cosine",
        )


class CsvTask(ClassificationTask):
    """The built task; ``scale`` holds mean and deviation of the channels, ``ids`` the cases of each split."""

    def __init__(self, config: CsvConfig, root: str | Path | None) -> None:
        path = _find(config.path, data_root(root))
        if config.sha256 is not None:
            verify_checksum(path, f"sha256:{config.sha256}", "the file has changed since this run was described")
        series = read_series(path, config.label_column, config.id_column, config.time_column)
        classes = _class_names(series)
        if len(classes) < 2:
            raise DataError(f"{path}: column {config.label_column!r} holds one class only: {series.labels[0]!r}.")
        lengths = set(series.lengths.tolist())
        super().__init__(
            config,
            Signature(
                steps=lengths.pop() if len(lengths) == 1 else None,
                inputs=len(series.channels),
                outputs=len(classes),
                classes=classes,
            ),
        )
        self.channels = series.channels
        parts = stratified_split(
            series.labels, series.ids, (config.test_share, config.validation_share), config.split_seed, who=str(path)
        )
        members = dict(zip(("test", "validation", "train"), parts, strict=True))
        self.ids = {name: tuple(series.ids[i] for i in index) for name, index in members.items()}
        rows = series.rows.split(series.lengths.tolist())
        self.scale = Standardizer.of(torch.cat([rows[i] for i in members["train"]]))
        targets = torch.tensor([classes.index(label) for label in series.labels])
        self._parts = {
            name: self._part(f"{path} ({name})", rows, series.lengths, targets, index)
            for name, index in members.items()
        }

    def _part(
        self, who: str, rows: tuple[Tensor, ...], lengths: Tensor, targets: Tensor, index: list[int]
    ) -> RaggedDataset:
        scaled = self.scale(torch.cat([rows[i] for i in index]))
        check_arrays(who, scaled, targets[index], classes=self.signature.outputs, lengths=lengths[index])
        return RaggedDataset(scaled, lengths[index], targets[index])

    def _load(self, split: str) -> dict[str, Dataset]:
        return dict(self._parts)


def _find(path: str, root: Path | None) -> Path:
    places = [Path(path)]
    if root is not None and not Path(path).is_absolute():
        places.append(root / path)
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(str(place.absolute()) for place in places)
    raise DataError(f"The CSV file {path} does not exist. Looked for: {looked}.", "check the name after --csv")


def _class_names(series: Series) -> tuple[str, ...]:
    names = set(series.labels)
    try:
        return tuple(sorted(names, key=float))  # 2 before 10
    except ValueError:
        return tuple(sorted(names))
