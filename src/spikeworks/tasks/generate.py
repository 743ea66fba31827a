"""Splits of tasks that are drawn, not collected: reproducible and without a shared sequence."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..core.errors import ConfigError

_ROUNDS = 100


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


def remember(rows: Tensor, taken: set[bytes]) -> None:
    """Add sequences ``[N, T]`` to ``taken``."""
    taken.update(row.tobytes() for row in rows.numpy())


def check_sizes(who: str, multiple: int = 1, **sizes: int) -> None:
    """Raise ConfigError unless every size is a positive multiple of ``multiple``."""
    for name, size in sizes.items():
        if size < 1 or size % multiple:
            wanted = (
                "at least 1" if multiple == 1 else f"a positive multiple of {multiple}, for equally many of each class"
            )
            raise ConfigError(f"{who}: {name} must be {wanted}, got {size}.")
