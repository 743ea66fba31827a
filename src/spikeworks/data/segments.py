"""Sliding windows over long recordings, and the stretches in which their label stays the same.

Legend: ``L`` samples of a recording, ``N`` windows, ``T`` samples of a window, ``C`` channels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ..core.errors import ConfigError, DataError
from .disjoint import Span


def window_starts(length: int, size: int, stride: int) -> Tensor:
    """First samples of all windows that fit into ``length`` samples, int64 ``[N]``; none where it is too short.

    Raises:
        ConfigError: a size or stride below 1.

    Example:
        >>> window_starts(10, size=4, stride=3).tolist()
        [0, 3, 6]
    """
    if size < 1 or stride < 1:
        raise ConfigError(f"A window and its stride hold at least one sample, got size={size}, stride={stride}.")
    return torch.arange(0, max(0, length - size + 1), stride)


def label_runs(labels: Tensor) -> list[tuple[int, int]]:
    """Stretches ``(start, stop)`` of equal labels in ``[L]``, in order.

    Example:
        >>> label_runs(torch.tensor([4, 4, 1, 4]))
        [(0, 2), (2, 3), (3, 4)]
    """
    if len(labels) == 0:
        return []
    changes = ((labels[1:] != labels[:-1]).nonzero().flatten() + 1).tolist()
    return list(zip([0, *changes], [*changes, len(labels)], strict=True))


def starts_within_runs(labels: Tensor, size: int, stride: int) -> Tensor:
    """First samples of windows that hold one label throughout; the grid begins anew in every run."""
    runs = label_runs(labels)
    return torch.cat([torch.arange(0), *(start + window_starts(stop - start, size, stride) for start, stop in runs)])


def starts_by_end_labels(labels: Tensor, size: int, stride: int) -> Tensor:
    """First samples of windows whose first and last label agree, whatever stands between."""
    starts = window_starts(len(labels), size, stride)
    return starts[labels[starts] == labels[starts + size - 1]]


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows with their labels and where they come from.

    Attributes:
        inputs: float32 ``[N, T, C]``.
        targets: class ids, int64 ``[N]``.
        spans: recording, first sample and the one behind the last of each window.
        groups: whose each window is, for instance a subject.
    """

    inputs: Tensor
    targets: Tensor
    spans: tuple[Span, ...]
    groups: tuple[str | int, ...]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: Sequence[int]) -> Windows:
        """The windows at these positions."""
        return Windows(
            self.inputs[list(index)],
            self.targets[list(index)],
            tuple(self.spans[i] for i in index),
            tuple(self.groups[i] for i in index),
        )

    @classmethod
    def join(cls, parts: Iterable[Windows]) -> Windows:
        """All windows of several recordings, in order.

        Raises:
            DataError: there are none.
        """
        parts = list(parts)
        if not parts:
            raise DataError("There are no recordings to take windows from.")
        return cls(
            torch.cat([part.inputs for part in parts]),
            torch.cat([part.targets for part in parts]),
            tuple(span for part in parts for span in part.spans),
            tuple(group for part in parts for group in part.groups),
        )


def cut_windows(
    rows: Tensor, labels: Tensor, starts: Tensor, size: int, recording: str, groups: str | int | Sequence[str | int]
) -> Windows:
    """Windows of ``size`` samples at ``starts``; the label of a window is that of its first sample.

    Args:
        rows: a recording ``[L, C]``.
        labels: class id of each sample, int64 ``[L]``.
        starts: first samples, int64 ``[N]``.
        size: T.
        recording: its name, for the spans.
        groups: whose it is, or whose each sample is.
    """
    each = isinstance(groups, Sequence) and not isinstance(groups, str)
    at = starts.tolist()
    return Windows(
        rows[starts[:, None] + torch.arange(size)].float(),
        labels[starts],
        tuple((recording, start, start + size) for start in at),
        tuple(groups[start] for start in at) if each else (groups,) * len(at),  # type: ignore[index]
    )
