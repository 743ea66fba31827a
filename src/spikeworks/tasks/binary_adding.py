"""``binary-adding``: count the ones at the marked steps.

Channel 0 carries fair random bits, channel 1 marks exactly 9 distinct random steps. The label is
the number of ones at marked steps: 10 classes, each exactly as often as the others.
Source: arXiv 2502.09449 (T=100, 50 000 training and 2000 test sequences).

The source draws many sequences and keeps equally many of each class; here a sequence of class k
is drawn directly (positions, which k of the marked bits are one, free bits elsewhere), which has
the same distribution.

The answer is read at the last step. With a mean over time even a network without memory learns
the task, since each step can cast its vote.

Splits: each is drawn from a generator of its own, derived from ``seed`` and the split's name; a
sequence that an earlier split holds (test, then validation) is drawn again. The source has no
validation split; ours has the size of the test split.

Legend: ``N`` sequences, ``T`` time steps, ``B`` batch, ``M`` marks.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError
from .base import ACCURACY, TASKS, Figure, Signature, TaskDefaults, TaskInfo
from .generate import GeneratedConfig, GeneratedTask, draw_apart

_NAME = "binary-adding"
_SOURCE = "arXiv 2502.09449, feed-forward, about 20 K parameters, T=100"
PUBLISHED = tuple(
    Figure(model, value, _SOURCE)
    for model, value in (
        ("lif", 0.2960),
        ("plif", 0.2940),
        ("alif", 0.4030),
        ("adlif", 0.4200),
        ("tc-lif", 0.1910),
        ("sliding-psn", 0.4570),
        ("pmsn", 1.0),
    )
)


@TASKS.register(_NAME)
@config_kind("task", _NAME)
@dataclasses.dataclass(frozen=True, kw_only=True)
class BinaryAddingConfig(GeneratedConfig):
    """Options of ``binary-adding``.

    Attributes:
        steps: length T.
        marks: number of marked steps; there is one class more. Sizes are multiples of the
            number of classes.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="number of ones at the marked steps of a random bit stream (generated)",
        shape="T=100 C=2, 10 classes",
        sizes=(50_000, 2_000, 2_000),
        metric=ACCURACY,
    )

    steps: int = 100
    marks: int = 9
    validation_size: int = 2_000
    test_size: int = 2_000

    def __post_init__(self) -> None:
        if not 1 <= self.marks <= self.steps:
            raise ConfigError(
                f"{_NAME}: expected at least 1 mark and no more than steps, got {self.marks} in {self.steps} steps."
            )
        self._check_sizes(multiple=self.marks + 1)

    def build(self, root: str | Path | None = None) -> BinaryAdding:
        """The task; its data is generated, so ``root`` is not used."""
        return BinaryAdding(self)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(64, 64),
            epochs=15,
            batch_size=100,
            learning_rate=5e-3,
            clip=1.0,
            readout="last",
            notes="small form that trains in minutes: steps=30 train_size=4000, LIF with decay 0.98, "
            "triangle surrogate of width 0.4; the source does not clip",
        )


class BinaryAdding(GeneratedTask):
    """The built task."""

    default_readout = "last"

    def __init__(self, config: BinaryAddingConfig) -> None:
        classes = tuple(str(number) for number in range(config.marks + 1))
        super().__init__(config, Signature(steps=config.steps, inputs=2, outputs=len(classes), classes=classes))
        self._options = config
        self.published = PUBLISHED if (config.steps, config.marks) == (100, 9) else ()

    def _draw(self, count: int, generator: torch.Generator, taken: set[bytes]) -> Tensor:
        each = count // self.signature.outputs
        steps, marks = self._options.steps, self._options.marks
        drawn = [
            draw_apart(lambda n, k=k: draw_adding(n, steps, marks, k, generator), each, taken, _NAME)
            for k in range(marks + 1)
        ]
        return torch.cat(drawn)[torch.randperm(count, generator=generator)]

    def _labels(self, stored: Tensor) -> Tensor:
        return adding_labels(stored)

    def _expand(self, stored: Tensor) -> Tensor:
        return expand_bits(stored)


def draw_adding(count: int, steps: int, marks: int, ones: int, generator: torch.Generator) -> Tensor:
    """Sequences with exactly ``ones`` ones at ``marks`` marked steps.

    Returns:
        ``[count, T]`` uint8: the bit, plus 2 where the step is marked.
    """
    positions = torch.rand(count, steps, generator=generator).argsort(1)[:, :marks]  # distinct, in random order
    stored = torch.randint(0, 2, (count, steps), generator=generator, dtype=torch.uint8)
    marked = (torch.arange(marks) < ones).to(torch.uint8) + 2
    return stored.scatter_(1, positions, marked.expand(count, marks))


def expand_bits(stored_BT: Tensor) -> Tensor:
    """Floats ``[T, B, 2]``, bits and marks, of stored sequences ``[B, T]``."""
    stored = stored_BT.t()
    return torch.stack([stored & 1, stored >> 1], dim=2).float()


def adding_labels(stored_NT: Tensor) -> Tensor:
    """Number of ones at marked steps of stored sequences ``[N, T]``; int64 ``[N]``."""
    return (stored_NT == 3).sum(1)
