"""``nmnist-sample``: recordings of digits by an event camera, as frames that count events.

The first 1000 training and the first 100 test recordings of N-MNIST. Splits: the 100 are the test split; a fixed
stratified 100 of the 1000 are the validation split, the other 900 training. With 100 test samples a score is known to
about four points.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..data.dataset import ArrayDataset, Dataset, time_first
from ..data.events import FrameBy
from ..data.nmnist import NMNIST_SAMPLE, SIZE, load_nmnist_frames
from ..data.splits import stratified_part_of, stratified_parts
from .base import ACCURACY, TASKS, ClassificationTask, Signature, TaskConfig, TaskDefaults, TaskInfo
from .s_mnist import DIGITS

_SPLIT_SEED = 0


@TASKS.register("nmnist-sample")
@config_kind("task", "nmnist-sample")
@dataclasses.dataclass(frozen=True, kw_only=True)
class NMnistSampleConfig(TaskConfig):
    """Options of ``nmnist-sample``.

    Attributes:
        steps: frames of a recording, T.
        by: frames of equal ``time`` or of equal ``count`` of events.
        pool: side of the blocks of pixels whose events are counted together; 2 gives 17 x 17.
        binary: 1 where there were events at all, instead of their number.
        train_size: use only so many training recordings; ``None``: all.
        flatten: give the pixels as vectors, for networks of vectors.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="digits before an event camera, frames that count events (1000 + 100 recordings)",
        shape="T=10 C=2 H=W=34 or 17, 10 classes",
        sizes=(900, 100, 100),
        metric=ACCURACY,
        files=NMNIST_SAMPLE,
    )

    steps: int = 10
    by: FrameBy = "time"
    pool: Literal[1, 2] = 1
    binary: bool = False
    train_size: int | None = None
    flatten: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"A recording becomes at least one frame, got steps={self.steps}.")
        if self.by not in ("time", "count"):
            raise ConfigError(f"Frames are cut by time or by count, got {self.by!r}.")
        if self.pool not in (1, 2):
            raise ConfigError(f"pool is 1 or 2, got {self.pool}.")

    def build(self, root: str | Path | None = None) -> NMnistSample:
        return NMnistSample(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            network="stack" if self.flatten else "conv8",
            hidden=(256, 256),
            epochs=20,
            batch_size=32,
            learning_rate=2e-3,
            clip=1.0,
            readout="mean",
            readout_scale=10.0,
            schedule="cosine",
        )


class NMnistSample(ClassificationTask):
    """The built task; frames are stored as counts."""

    def __init__(self, config: NMnistSampleConfig, root: str | Path | None) -> None:
        height, width = (side // config.pool for side in SIZE)
        shape = (2, height, width)
        inputs = math.prod(shape) if config.flatten else shape
        super().__init__(config, Signature(steps=config.steps, inputs=inputs, outputs=10, classes=DIGITS))
        self._options = config
        self._root = root

    def _load(self, split: str) -> dict[str, Dataset]:
        options = self._options
        part = "Test" if split == "test" else "Train"
        frames, digits = load_nmnist_frames(self._root, part, options.steps, options.by)
        if options.pool > 1:
            frames = frames.unflatten(-1, (-1, options.pool)).unflatten(-3, (-1, options.pool))
            frames = frames.sum((-3, -1), dtype=torch.int16)
        if split == "test":
            return {"test": ArrayDataset(frames, digits, self._expand)}
        labels = digits.tolist()
        validation, train = stratified_parts(labels, (len(labels) // 10,), _SPLIT_SEED, who=self.name)
        train = stratified_part_of(train, labels, options.train_size, _SPLIT_SEED, self.name)
        parts = {"train": train, "validation": validation}
        return {name: ArrayDataset(frames[index], digits[index], self._expand) for name, index in parts.items()}

    def _expand(self, stored: Tensor) -> Tensor:
        x = time_first(stored.clamp(max=1) if self._options.binary else stored)
        return x.flatten(2) if self._options.flatten else x
