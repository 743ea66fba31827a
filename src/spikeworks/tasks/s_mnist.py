"""``s-mnist``: MNIST one pixel a step (T=784), the classic test of long memory.

Splits: the official test part (10 000 images) is the test split. Of the official 60 000 training
images 6000 are the validation split, the rest (54 000) training; the classes keep their proportions,
and which images of a class are taken is decided by a hash of their position. ``train_size`` and
``validation_size`` take fixed subsets of these with the classes in proportion; the test split is
always whole. Pixels are divided by 255.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..data.dataset import ArrayDataset, Dataset
from ..data.mnist import MNIST, load_mnist
from ..data.splits import stratified_part_of, stratified_parts
from .base import ACCURACY, TASKS, ClassificationTask, Figure, Signature, TaskConfig, TaskDefaults, TaskInfo
from .scan import Scan, pool_images

_SPLIT_SEED = 0
SIZE = 28


@TASKS.register("s-mnist")
@config_kind("task", "s-mnist")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SMnistConfig(TaskConfig):
    """Options of ``s-mnist``.

    Attributes:
        by: one pixel (T=784, C=1) or one row (T=28, C=28) a step.
        pool: side of the blocks of pixels that are averaged first; 2 gives T=196.
        train_size: use only so many training images; ``None``: all.
        validation_size: use only so many validation images; ``None``: all.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="MNIST digits, one pixel a step",
        shape="T=784 C=1 (by pixel) or T=28 C=28 (by row), 10 classes",
        sizes=(54_000, 6_000, 10_000),
        metric=ACCURACY,
        files=MNIST,
    )

    by: Literal["pixel", "row"] = "pixel"
    pool: int = 1
    train_size: int | None = None
    validation_size: int | None = None

    def __post_init__(self) -> None:
        check_pool(self.pool)

    def build(self, root: str | Path | None = None) -> MnistSequence:
        side = SIZE // self.pool
        steps, channels = (side * side, 1) if self.by == "pixel" else (side, side)
        return MnistSequence(self, root, Signature(steps=steps, inputs=channels, outputs=10, classes=DIGITS))

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(64, 256, 256) if self.by == "pixel" else (64, 64),
            epochs=100 if self.by == "pixel" else 20,
            batch_size=256,
            learning_rate=5e-3,
            clip=1.0,
            readout="mean",
            readout_scale=10.0,
            schedule="step",
            notes="widths of the temporal-processing suite; pool=2 and train_size=6000 train in minutes",
        )


DIGITS = tuple(str(digit) for digit in range(10))


def check_pool(pool: int) -> None:
    """Raise ConfigError unless ``pool`` divides 28 and leaves a sequence."""
    if pool not in (1, 2, 4, 7):
        raise ConfigError(f"pool must divide 28: expected 1, 2, 4 or 7, got {pool}.")


class MnistSequence(ClassificationTask):
    """MNIST read as a sequence; ``order`` is the permutation ``[T]`` or ``None``.

    Args:
        config: its ``by``, ``pool``, ``train_size`` and ``validation_size`` are used.
        root: the data directory.
        signature: as the options make it.
        order: order of the pixels.
        published: figures of papers.
    """

    def __init__(
        self,
        config: SMnistConfig,
        root: str | Path | None,
        signature: Signature,
        order: Tensor | None = None,
        published: tuple[Figure, ...] = (),
    ) -> None:
        super().__init__(config, signature)
        self.order = order
        self.published = published
        self._options = config
        self._root = root
        self._scan = Scan(config.by, scale=255.0 * config.pool**2, order=order)

    def _load(self, split: str) -> dict[str, Dataset]:
        images, labels = load_mnist(self._root, "test" if split == "test" else "train")
        images = pool_images(images, self._options.pool)
        if split == "test":
            return {"test": ArrayDataset(images, labels, self._scan)}
        digits = labels.tolist()
        validation, train = stratified_parts(digits, (6_000,), _SPLIT_SEED, who=self.name)
        parts = {
            "train": stratified_part_of(train, digits, self._options.train_size, _SPLIT_SEED, self.name),
            "validation": stratified_part_of(validation, digits, self._options.validation_size, _SPLIT_SEED, self.name),
        }
        return {name: ArrayDataset(images[index], labels[index], self._scan) for name, index in parts.items()}
