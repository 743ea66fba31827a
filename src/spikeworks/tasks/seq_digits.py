"""``seq-digits``: the real handwritten digits that come with scikit-learn, read as a sequence.

1797 images of 8 x 8 pixels with 17 grey levels (E. Alpaydin, C. Kaynak, UCI ML repository), one
pixel a step (T=64, C=1) or one row a step (T=8, C=8). Small enough for a first try, long enough
that a leaky neuron without further memory fails.

Splits: 360 images for the test, 180 of the others for validation, the remaining 1257 for training;
the classes keep their proportions, and which images of a class are taken is decided by a hash of
their position.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import ClassVar, Literal

import torch

from ..core.config import config_kind
from ..core.errors import DataError
from ..data.check import check_arrays
from ..data.dataset import ArrayDataset, Dataset
from ..data.splits import fixed_permutation, stratified_parts
from .base import ACCURACY, TASKS, ClassificationTask, Signature, TaskConfig, TaskDefaults, TaskInfo
from .scan import Scan

# of the pixels as uint8, then the labels as uint8
_SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
_SPLIT_SEED = 0


@TASKS.register("seq-digits")
@config_kind("task", "seq-digits")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SeqDigitsConfig(TaskConfig):
    """Options of ``seq-digits``.

    Attributes:
        by: one pixel or one row a step.
        permuted: shuffle the pixels of all images by one fixed order.
        permutation_seed: which order.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="handwritten digits of 8 x 8 pixels, one pixel or one row a step",
        shape="T=64 C=1 (by pixel) or T=8 C=8 (by row), 10 classes",
        sizes=(1257, 180, 360),
        metric=ACCURACY,
    )

    by: Literal["pixel", "row"] = "pixel"
    permuted: bool = False
    permutation_seed: int = 1234

    def build(self, root: str | Path | None = None) -> SeqDigits:
        """The task; the images come with scikit-learn, so ``root`` is not used."""
        return SeqDigits(self)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(64, 64),
            epochs=25,
            batch_size=64,
            learning_rate=5e-3,
            clip=1.0,
            readout="mean",
            readout_scale=10.0,
            schedule="cosine",
            notes="T=64: TC-LIF lies well above LIF after 25 epochs",
        )


class SeqDigits(ClassificationTask):
    """The built task; ``order`` is the permutation ``[64]`` or ``None``."""

    def __init__(self, config: SeqDigitsConfig) -> None:
        steps, channels = (64, 1) if config.by == "pixel" else (8, 8)
        super().__init__(
            config, Signature(steps=steps, inputs=channels, outputs=10, classes=tuple(str(d) for d in range(10)))
        )
        self.order = fixed_permutation(64, config.permutation_seed) if config.permuted else None
        self._scan = Scan(config.by, scale=16.0, order=self.order)

    def _load(self, split: str) -> dict[str, Dataset]:
        images, labels = _digits()
        check_arrays("seq-digits", images, labels, classes=10)
        test, validation, train = stratified_parts(labels.tolist(), (360, 180), _SPLIT_SEED, who="seq-digits")
        parts = {"train": train, "validation": validation, "test": test}
        return {name: ArrayDataset(images[index], labels[index], self._scan) for name, index in parts.items()}


def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(f"seq-digits needs scikit-learn: {error}.", "pip install scikit-learn") from error
    bunch = load_digits()
    images = torch.from_numpy(bunch.images).to(torch.uint8)  # type: ignore[union-attr]
    labels = torch.from_numpy(bunch.target).long()  # type: ignore[union-attr]
    found = hashlib.sha256(images.numpy().tobytes() + labels.to(torch.uint8).numpy().tobytes()).hexdigest()
    if found != _SHA256:
        raise DataError(
            f"The digits of this scikit-learn differ from the published ones: {len(images)} images, sha256 {found}.",
            "install an official release of scikit-learn",
        )
    return images, labels
