"""Windows in the published manner of activity recognition, which leaks; for the protocol ``paper`` alone.

All recordings are joined, windows are cut from the whole, and single windows are drawn for the test split. With a
stride of half a window a test window shares readings with the others unless both of its neighbours are tested as well:
96 % do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .disjoint import shared_windows
from .segments import Windows, cut_windows, starts_by_end_labels
from .splits import fixed_permutation

_TESTED = 0.2


def joined_windows(
    rows: Sequence[Tensor], labels: Sequence[Tensor], owners: Sequence[str | int], size: int, stride: int
) -> Windows:
    """Windows of the joined recordings whose first and last sample have the same label, whatever stands between.

    Args:
        rows: each recording ``[L, C]``, in order.
        labels: of each of its samples, int64 ``[L]``.
        owners: whose each recording is; a window belongs to the owner of its first sample.
        size: samples of a window.
        stride: from one window to the next.
    """
    joined = torch.cat(list(labels))
    groups = [owner for owner, part in zip(owners, labels, strict=True) for _ in range(len(part))]
    starts = starts_by_end_labels(joined, size, stride)
    return cut_windows(torch.cat(list(rows)), joined, starts, size, "all files joined", groups)


def random_windows_split(whole: Windows, seed: int) -> dict[str, Windows]:
    """A random fifth of the windows is the test split, a tenth of the others validation, the rest training."""
    order = fixed_permutation(len(whole), seed).tolist()
    test = math.ceil(_TESTED * len(whole))
    behind = test + (len(whole) - test) // 10
    parts = {"train": order[behind:], "validation": order[test:behind], "test": order[:test]}
    return {name: whole[index] for name, index in parts.items()}


def leaking_share(parts: dict[str, Windows]) -> float:
    """Share of the test windows with samples that a window of training or validation holds as well."""
    test = parts["test"].spans
    return shared_windows(test, parts["train"].spans + parts["validation"].spans) / len(test)
