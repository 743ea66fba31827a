"""Tasks that are drawn, not collected: reproducible, and no sequence stands in two splits."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from ..core.errors import ConfigError
from ..core.seeds import stream
from ..data.check import check_arrays
from ..data.dataset import ArrayDataset, Dataset
from .base import ClassificationTask, TaskConfig

_ROUNDS = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratedConfig(TaskConfig):
    """Options that all generated tasks share.

    Attributes:
        train_size, validation_size, test_size: sequences.
        seed: of the task's data, not of the run.
    """

    train_size: int = 50_000
    validation_size: int = 5_000
    test_size: int = 5_000
    seed: int = 0

    def _check_sizes(self, multiple: int = 1) -> None:
        """Raise ConfigError unless every size is a positive multiple of ``multiple``."""
        for name in ("train_size", "validation_size", "test_size"):
            size = getattr(self, name)
            if size < 1 or size % multiple:
                balanced = f"a positive multiple of {multiple}, for equally many of each class"
                wanted = "at least 1" if multiple == 1 else balanced
                kind = self.config_kind  # type: ignore[attr-defined]
                raise ConfigError(f"{kind}: {name} must be {wanted}, got {size}.")


class GeneratedTask(ClassificationTask):
    """A task whose sequences ``[N, T]`` (uint8) are drawn; each split has a stream of its own."""

    def _load(self, split: str) -> dict[str, Dataset]:
        options: GeneratedConfig = self.config  # type: ignore[assignment]
        sizes = {"test": options.test_size, "validation": options.validation_size, "train": options.train_size}
        taken: set[bytes] = set()
        parts: dict[str, Dataset] = {}
        for name, count in sizes.items():
            stored = self._draw(count, stream(options.seed, self.name, name), taken)
            taken.update(row.tobytes() for row in stored.numpy())
            labels = self._labels(stored)
            check_arrays(f"{self.name} {name}", stored, labels, classes=self.signature.outputs)
            parts[name] = ArrayDataset(stored, labels, self._expand)
        return parts

    @abc.abstractmethod
    def _draw(self, count: int, generator: torch.Generator, taken: set[bytes]) -> Tensor:
        """``count`` sequences ``[count, T]``, uint8, none of which is in ``taken``."""

    @abc.abstractmethod
    def _labels(self, stored: Tensor) -> Tensor:
        """Labels ``[N]`` of sequences ``[N, T]``."""

    @abc.abstractmethod
    def _expand(self, stored: Tensor) -> Tensor:
        """Input ``[T, B, C]`` of sequences ``[B, T]``."""


def draw_apart(draw: Callable[[int], Tensor], count: int, taken: set[bytes], who: str) -> Tensor:
    """Draw ``count`` sequences of which none is in ``taken``.

    Sequences that belong to an earlier split are drawn again. At the lengths of the published
    tasks this never happens; it matters for very short ones.

    Args:
        draw: from a number to as many sequences ``[number, T]``, uint8.
        count: how many are wanted.
        taken: the bytes of the sequences of earlier splits.
        who: the task, for the message.

    Raises:
        ConfigError: there are too few different sequences for disjoint splits.
    """
    kept: list[Tensor] = []
    missing = count
    for _ in range(_ROUNDS):
        rows = draw(missing)
        new = [i for i, row in enumerate(rows.numpy()) if row.tobytes() not in taken]
        kept.append(rows[new])
        missing -= len(new)
        if missing == 0:
            return torch.cat(kept)
    raise ConfigError(
        f"{who}: after {_ROUNDS} rounds {missing} of {count} sequences still belong to another split.",
        "there are too few different sequences of this length; use a longer T or smaller splits",
    )
