"""Still images shown for a few steps: ``fashion-mnist`` and ``mnist``, and what such tasks have in common.

Direct encoding: the image is the input of every step, as real numbers in [0, 1]; the first layer's neurons turn it
into spikes. A batch holds each image once, the steps are views of it.

Splits: the official test part is the test split. A fixed stratified tenth of the official training part is the
validation split, the rest training; ``train_size`` and ``validation_size`` take fixed subsets of these with the
classes in proportion; the test split is always whole.

Legend: ``T`` time steps, ``B`` batch, ``C`` channels, ``H`` height, ``W`` width.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from pathlib import Path
from typing import ClassVar, Literal

from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..data.dataset import ArrayDataset, Dataset
from ..data.fashion_mnist import CLOTHES, FASHION_MNIST, load_fashion_mnist
from ..data.mnist import MNIST, load_mnist
from ..data.splits import stratified_part_of, stratified_parts
from .base import ACCURACY, TASKS, ClassificationTask, Signature, TaskConfig, TaskDefaults, TaskInfo
from .s_mnist import DIGITS
from .scan import pool_images

SPLIT_SEED = 0
VALIDATION = 6_000
"""Images of the validation split of the sets with MNIST's counts."""


@dataclasses.dataclass(frozen=True)
class Still:
    """From stored images ``[B, C, H, W]`` to floats ``[T, B, C, H, W]``, the same at every step.

    All steps share the memory of one.

    Attributes:
        steps: T.
        scale: what a stored value is divided by.
        flatten: give vectors ``[T, B, C·H·W]`` instead.
    """

    steps: int
    scale: float
    flatten: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """The frames of a batch of images."""
        frame = images.float() / self.scale
        frame = frame.flatten(1) if self.flatten else frame
        return frame.expand(self.steps, *frame.shape)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StillConfig(TaskConfig):
    """Base of tasks on still images.

    Attributes:
        steps: how often each image is shown, T.
        train_size: use only so many training images; ``None``: all.
        validation_size: use only so many validation images; ``None``: all.
        flatten: give the pixels as vectors, for networks of vectors.
    """

    steps: int = 4
    train_size: int | None = None
    validation_size: int | None = None
    flatten: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"An image is shown for at least one step, got steps={self.steps}.")

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            network="stack" if self.flatten else "conv8",
            hidden=(256, 256),
            epochs=20,
            batch_size=64,
            learning_rate=2e-3,
            clip=1.0,
            readout="mean",
            readout_scale=10.0,
            schedule="cosine",
            notes="train_size=2000 trains in a minute",
        )


class StillTask(ClassificationTask):
    """One label an image.

    Args:
        config: its ``steps``, ``flatten`` and sizes are used.
        root: the data directory.
        shape: of an image, ``(C, H, W)``.
        classes: names.
        scale: what stored values are divided by.
    """

    def __init__(
        self,
        config: StillConfig,
        root: str | Path | None,
        shape: tuple[int, int, int],
        classes: tuple[str, ...],
        scale: float = 255.0,
    ) -> None:
        inputs = math.prod(shape) if config.flatten else shape
        super().__init__(config, Signature(steps=config.steps, inputs=inputs, outputs=len(classes), classes=classes))
        self._options = config
        self._root = root
        self._still = Still(config.steps, scale, config.flatten)

    def parts(self, labels: list[int], validation: int) -> dict[str, list[int]]:
        """Positions of training and validation among the official training images with ``labels``."""
        held, rest = stratified_parts(labels, (validation,), SPLIT_SEED, who=self.name)
        sizes = {"train": (rest, self._options.train_size), "validation": (held, self._options.validation_size)}
        return {
            name: stratified_part_of(index, labels, size, SPLIT_SEED, self.name)
            for name, (index, size) in sizes.items()
        }

    def dataset(self, images: Tensor, labels: Tensor) -> ArrayDataset:
        """Stored images ``[N, C, H, W]`` as a split."""
        return ArrayDataset(images, labels, self._still)

    @abc.abstractmethod
    def _load(self, split: str) -> dict[str, Dataset]: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class GreyConfig(StillConfig):
    """Base of the tasks on 28 x 28 grey pixels.

    Attributes:
        size: side of the image; 14 and 7 are means over blocks of pixels.
    """

    size: Literal[28, 14, 7] = 28

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size not in (28, 14, 7):
            raise ConfigError(f"Images have a size of 28, 14 or 7, got {self.size}.")


@TASKS.register("fashion-mnist")
@config_kind("task", "fashion-mnist")
@dataclasses.dataclass(frozen=True, kw_only=True)
class FashionMnistConfig(GreyConfig):
    """Options of ``fashion-mnist``: those of :class:`GreyConfig`."""

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="grey images of clothes, shown for a few steps",
        shape="T=4 C=1 H=W=28, 14 or 7, 10 classes",
        sizes=(54_000, 6_000, 10_000),
        metric=ACCURACY,
        files=FASHION_MNIST,
    )

    def build(self, root: str | Path | None = None) -> GreyImages:
        return GreyImages(self, root, CLOTHES)


@TASKS.register("mnist")
@config_kind("task", "mnist")
@dataclasses.dataclass(frozen=True, kw_only=True)
class MnistConfig(GreyConfig):
    """Options of ``mnist``: those of :class:`GreyConfig`."""

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="MNIST digits, shown for a few steps",
        shape="T=4 C=1 H=W=28, 14 or 7, 10 classes",
        sizes=(54_000, 6_000, 10_000),
        metric=ACCURACY,
        files=MNIST,
    )

    def build(self, root: str | Path | None = None) -> GreyImages:
        return GreyImages(self, root, DIGITS)


class GreyImages(StillTask):
    """MNIST, or a set with its files."""

    def __init__(self, config: GreyConfig, root: str | Path | None, classes: tuple[str, ...]) -> None:
        self._pool = 28 // config.size
        super().__init__(config, root, (1, config.size, config.size), classes, 255.0 * self._pool**2)
        self._read = load_fashion_mnist if isinstance(config, FashionMnistConfig) else load_mnist

    def _load(self, split: str) -> dict[str, Dataset]:
        images, labels = self._read(self._root, "test" if split == "test" else "train")
        images = pool_images(images, self._pool).unsqueeze(1)
        if split == "test":
            return {"test": self.dataset(images, labels)}
        parts = self.parts(labels.tolist(), VALIDATION)
        return {name: self.dataset(images[index], labels[index]) for name, index in parts.items()}
