"""``ps-mnist``: MNIST one pixel a step, all images shuffled by one fixed order of pixels.

The order is drawn once from a seed that belongs to the task (1234), not to the run: another
order would be another task. It is a bijection and stands in :attr:`MnistSequence.order`.
Splits: as in ``s-mnist``.

Figures: arXiv 2502.09449 (feed-forward, mean readout, best test accuracy, one seed).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..data.mnist import MNIST
from ..data.splits import fixed_permutation
from .base import ACCURACY, TASKS, Figure, Signature, TaskDefaults, TaskInfo
from .s_mnist import DIGITS, SIZE, MnistSequence, SMnistConfig

_SOURCE = "arXiv 2502.09449, feed-forward, about 90 K parameters"
PUBLISHED = tuple(
    Figure(model, value, _SOURCE)
    for model, value in (
        ("lif", 0.5745),
        ("plif", 0.5586),
        ("alif", 0.7390),
        ("adlif", 0.8593),
        ("tc-lif", 0.8681),
        ("sliding-psn", 0.8388),
        ("pmsn", 0.9628),
    )
)


@TASKS.register("ps-mnist")
@config_kind("task", "ps-mnist")
@dataclasses.dataclass(frozen=True, kw_only=True)
class PSMnistConfig(SMnistConfig):
    """Options of ``ps-mnist``: those of ``s-mnist`` by pixel, and the order.

    Attributes:
        permutation_seed: which order of pixels.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="MNIST digits, one pixel a step in a fixed shuffled order",
        shape="T=784 C=1, 10 classes",
        sizes=(54_000, 6_000, 10_000),
        metric=ACCURACY,
        files=MNIST,
    )

    by: Literal["pixel"] = "pixel"  # type: ignore[assignment]
    permutation_seed: int = 1234

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.by != "pixel":
            raise ConfigError(f"ps-mnist reads one pixel a step, got by={self.by!r}.", "s-mnist can read rows")

    def build(self, root: str | Path | None = None) -> MnistSequence:
        steps = (SIZE // self.pool) ** 2
        return MnistSequence(
            self,
            root,
            Signature(steps=steps, inputs=1, outputs=10, classes=DIGITS),
            order=fixed_permutation(steps, self.permutation_seed),
            published=PUBLISHED if self.pool == 1 and self.train_size is None else (),
        )

    def defaults(self) -> TaskDefaults:
        return dataclasses.replace(
            super().defaults(), notes="LIF of the source: decay 1, triangle surrogate of width 1, threshold 0.5"
        )
