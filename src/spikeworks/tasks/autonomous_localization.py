"""``autonomous-localization``: follow a robot's actions and say on which side it ends.

Each step is one of four actions: 0 stop, 1 forward, 2 left, 3 right, drawn independently with
probabilities 1/2 - c/T, 1/2 - c/T, c/T, c/T, where the capacity c is the expected number of left
turns, and of right turns, in a sequence. The robot starts at (0, 0) heading north; forward moves
it by one in its heading (0 north Y+1, 1 east X+1, 2 south Y-1, 3 west X-1), left and right turn
it in place. The label is 1 where X > 0 at the end, else 0. A model near 100 % has tracked
heading and position; the best rule on the direction of the first turn reaches 56 %.

Input: one channel each for forward, left and right; stop is the zero vector.
Source: arXiv 2505.22035 (AL: T=400, c=20, 50 000 training and 5000 test sequences).

Splits: each is drawn from a generator of its own, derived from ``seed`` and the split's name; a
sequence that an earlier split holds (test, then validation) is drawn again, so that the splits
are disjoint at any length. The source has no validation split; ours is drawn beside.

Legend: ``N`` sequences, ``T`` time steps, ``B`` batch.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError, DataError
from .base import ACCURACY, TASKS, Signature, TaskDefaults, TaskInfo
from .generate import GeneratedConfig, GeneratedTask, draw_apart

STOP, FORWARD, LEFT, RIGHT = range(4)
_NAME = "autonomous-localization"
_CHUNK = 4096  # sequences worked on at once, so that wide intermediates stay in the cache's reach


@TASKS.register(_NAME)
@config_kind("task", _NAME)
@dataclasses.dataclass(frozen=True, kw_only=True)
class AutonomousLocalizationConfig(GeneratedConfig):
    """Options of ``autonomous-localization``.

    Attributes:
        steps: length T.
        capacity: expected number c of left turns, and of right turns, in a sequence.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="side on which a robot ends after a stream of actions (generated)",
        shape="T=400 C=3, 2 classes",
        sizes=(50_000, 5_000, 5_000),
        metric=ACCURACY,
    )

    steps: int = 400
    capacity: float = 20.0

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 < self.capacity <= self.steps / 2:
            raise ConfigError(
                f"{_NAME}: expected steps of at least 1 and a capacity above 0 and up to half of them, "
                f"got steps={self.steps}, capacity={self.capacity}."
            )
        self._check_sizes()

    def build(self, root: str | Path | None = None) -> AutonomousLocalization:
        """The task; its data is generated, so ``root`` is not used."""
        return AutonomousLocalization(self)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(64, 64),
            epochs=20,
            batch_size=256,
            learning_rate=5e-3,
            clip=1.0,
            readout="mean",
            schedule="step",
            notes="small form that trains in minutes: steps=20 capacity=3 train_size=4000 test_size=2000, "
            "LIF with decay 1, threshold 0.5, triangle surrogate of width 0.4",
        )


class AutonomousLocalization(GeneratedTask):
    """The built task."""

    def __init__(self, config: AutonomousLocalizationConfig) -> None:
        super().__init__(config, Signature(steps=config.steps, inputs=3, outputs=2, classes=("not east", "east")))
        self._options = config

    def _draw(self, count: int, generator: torch.Generator, taken: set[bytes]) -> Tensor:
        steps, capacity = self._options.steps, self._options.capacity
        return draw_apart(lambda n: draw_actions(n, steps, capacity, generator), count, taken, _NAME)

    def _labels(self, stored: Tensor) -> Tensor:
        return localization_labels(stored)

    def _expand(self, stored: Tensor) -> Tensor:
        return expand_actions(stored)


def draw_actions(count: int, steps: int, capacity: float, generator: torch.Generator) -> Tensor:
    """Independent actions ``[count, steps]``, uint8, with probabilities 1/2-c/T, 1/2-c/T, c/T, c/T."""
    turn = capacity / steps
    actions = torch.empty(count, steps, dtype=torch.uint8)
    for part in actions.split(_CHUNK):
        uniform = torch.rand(part.shape, generator=generator)
        part.copy_((uniform >= 0.5 - turn).to(torch.uint8))
        part += uniform >= 1.0 - 2 * turn
        part += uniform >= 1.0 - turn
    return actions


def expand_actions(actions_BT: Tensor) -> Tensor:
    """One-hot floats ``[T, B, 3]`` for forward, left and right of actions ``[B, T]``."""
    moving = torch.tensor([FORWARD, LEFT, RIGHT], dtype=actions_BT.dtype)
    return (actions_BT.t()[:, :, None] == moving).float()


def final_positions(actions_NT: Tensor) -> Tensor:
    """Where each sequence of actions ``[N, T]`` ends: X and Y, int64 ``[N, 2]``.

    The heading is the running sum of turns modulo 4; a step forward counts in its direction.

    Raises:
        DataError: an action other than 0 to 3.
    """
    if actions_NT.numel() and int(actions_NT.max()) > RIGHT:
        raise DataError(f"Actions run from {STOP} to {RIGHT}, got {int(actions_NT.max())}.")
    ends = []
    for part in actions_NT.split(_CHUNK):
        turns = (part == RIGHT).to(torch.int8) - (part == LEFT).to(torch.int8)
        heading = turns.cumsum(1, dtype=torch.int32).remainder(4)
        forward = part == FORWARD
        north, east, south, west = (((heading == h) & forward).sum(1) for h in range(4))
        ends.append(torch.stack([east - west, north - south], dim=1))
    return torch.cat(ends)


def localization_labels(actions_NT: Tensor) -> Tensor:
    """1 where the robot ends with X > 0, else 0; int64 ``[N]``."""
    return (final_positions(actions_NT)[:, 0] > 0).long()
