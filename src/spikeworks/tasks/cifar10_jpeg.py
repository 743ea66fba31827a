"""``cifar10-jpeg``: CIFAR-10 from JPEG files, shown for a few steps.

The pixels were coded with loss and are not the official bytes: compare methods by this task, and call its scores
"CIFAR-10 (JPEG)". Splits as in :mod:`~spikeworks.tasks.static_images`: 45 000 training, 5000 validation and 10 000 test
images. There is no augmentation.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import torch

from ..core.config import config_kind
from ..data.cifar10_jpeg import CIFAR10_CLASSES, CIFAR10_JPEG, SIDE, labels_of, load_cifar10_jpeg
from ..data.dataset import Dataset
from .base import ACCURACY, TASKS, TaskInfo
from .static_images import StillConfig, StillTask


@TASKS.register("cifar10-jpeg")
@config_kind("task", "cifar10-jpeg")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Cifar10JpegConfig(StillConfig):
    """Options of ``cifar10-jpeg``: those of :class:`~spikeworks.tasks.static_images.StillConfig`."""

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="CIFAR-10 from JPEG files (not the official pixels), shown for a few steps",
        shape="T=4 C=3 H=W=32, 10 classes",
        sizes=(45_000, 5_000, 10_000),
        metric=ACCURACY,
        files=CIFAR10_JPEG,
    )

    def build(self, root: str | Path | None = None) -> Cifar10Jpeg:
        return Cifar10Jpeg(self, root, (3, SIDE, SIDE), CIFAR10_CLASSES)


class Cifar10Jpeg(StillTask):
    """All splits come with one reading of the archive; only their own images are decoded."""

    def _load(self, split: str) -> dict[str, Dataset]:
        labels = {part: labels_of(part) for part in ("train", "test")}
        chosen = self.parts(labels["train"], len(labels["train"]) // 10)
        wanted = {name: ("train", index) for name, index in chosen.items()}
        wanted["test"] = ("test", list(range(len(labels["test"]))))
        images = load_cifar10_jpeg(self._root, wanted)
        return {
            name: self.dataset(images[name], torch.tensor([labels[part][i] for i in index]))
            for name, (part, index) in wanted.items()
        }
