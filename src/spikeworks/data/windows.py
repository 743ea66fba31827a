"""Windows over a long text, with state carried from one to the next.

The text is cut into ``columns`` equal stretches that run side by side; a batch is the next
``steps`` tokens of every column, and its target is the token that follows each of them. All
batches but the first continue the one before (``Batch.fresh`` is false). What does not fill a
column, and the last incomplete window, is dropped.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ..core.batch import Batch
from ..core.errors import ConfigError, DataError


@dataclasses.dataclass(frozen=True)
class Window:
    """Item of a plan: the window ``index`` of a text in ``columns`` columns."""

    columns: int
    index: int


class TextWindows:
    """One split of a text.

    Args:
        tokens: ids in reading order, any integer dtype, ``[count]``.
        steps: tokens of a window, T.
        columns: stretches side by side; ``None`` takes the batch size of :meth:`plan`.

    Example:
        >>> text = TextWindows(torch.arange(11), steps=2)
        >>> [text.batch(window).x.tolist() for window in text.plan(2)]
        [[[0, 1], [5, 6]], [[2, 3], [7, 8]]]
    """

    def __init__(self, tokens: Tensor, steps: int, columns: int | None = None) -> None:
        if steps < 1:
            raise ConfigError(f"A window holds at least one token, got steps={steps}.")
        self.tokens = tokens
        self.steps = steps
        self.columns = columns

    def __len__(self) -> int:
        return len(self.tokens)

    def plan(self, batch_size: int, generator: torch.Generator | None = None) -> list[Window]:
        """All windows in reading order; ``generator`` is not used, since state is carried.

        Raises:
            ConfigError: fewer than one column; DataError: the text is too short for one window.
        """
        columns = self.columns or batch_size
        if columns < 1:
            raise ConfigError(f"A batch holds at least one column of text, got batch_size={batch_size}.")
        count = (len(self.tokens) // columns - 1) // self.steps
        if count < 1:
            raise DataError(
                f"A text of {len(self.tokens)} tokens is too short for {columns} columns with a window of "
                f"{self.steps} tokens and its next token: {columns * (self.steps + 1)} are needed.",
                "use a smaller batch or a shorter window",
            )
        return [Window(columns, index) for index in range(count)]

    def batch(self, item: Window) -> Batch:
        length = len(self.tokens) // item.columns
        columns = self.tokens[: length * item.columns].view(item.columns, length)
        start = item.index * self.steps
        return Batch(
            x=columns[:, start : start + self.steps].long(),
            target=columns[:, start + 1 : start + 1 + self.steps].long(),
            fresh=item.index == 0,
        )
