"""The one place where signals and labels are held against what training can use.

Legend: ``N`` samples, ``T`` time steps, ``C`` channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.errors import DataError


def check_arrays(who: str, inputs: Tensor, targets: Tensor, classes: int, lengths: Tensor | None = None) -> None:
    """Raise unless the signals are finite and not empty and every label is a class.

    Args:
        who: the data set and split, for the message.
        inputs: ``[N, T, ...]`` of any dtype, or with ``lengths`` the steps of all samples
            one after another, ``[sum of lengths, ...]``.
        targets: class ids ``[N]`` of an integer dtype.
        classes: number of classes; ids run from 0 to ``classes - 1``.
        lengths: steps of each sample, ``[N]``, where they differ.

    Raises:
        DataError: counts that disagree, no samples, a sequence of zero length, NaN or
            infinity, a label out of range; the message names the first bad sample.
    """
    samples = len(targets)
    if samples == 0:
        raise DataError(f"{who} holds no samples.")
    if lengths is None:
        _check_equal(who, inputs, samples)
    else:
        _check_ragged(who, inputs, samples, lengths)
    if inputs.is_floating_point():
        _check_finite(who, inputs, lengths)
    check_labels(who, targets, classes)


def check_labels(who: str, targets: Tensor, classes: int) -> None:
    """Raise DataError unless ``targets`` are integers from 0 to ``classes - 1``."""
    if targets.is_floating_point() or targets.dtype == torch.bool or targets.dim() != 1:
        raise DataError(f"{who}: expected integer labels of shape [N], got {targets.dtype} {list(targets.shape)}.")
    wrong = ((targets < 0) | (targets >= classes)).nonzero().flatten()
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"{who}: label {int(targets[first])} of sample {first} is out of range; expected 0 to {classes - 1} "
            f"({len(wrong)} of {len(targets)} labels are wrong)."
        )


def _check_equal(who: str, inputs: Tensor, samples: int) -> None:
    if inputs.dim() < 2 or inputs.shape[0] != samples:
        raise DataError(
            f"{who}: {samples} labels belong to signals of shape {list(inputs.shape)}, expected [N, T, ...]."
        )
    if inputs.shape[1] == 0:
        raise DataError(f"{who}: every sequence has zero length: signals of shape {list(inputs.shape)}.")


def _check_ragged(who: str, inputs: Tensor, samples: int, lengths: Tensor) -> None:
    if len(lengths) != samples:
        raise DataError(f"{who}: {samples} labels belong to {len(lengths)} sequences.")
    empty = (lengths <= 0).nonzero().flatten()
    if len(empty):
        raise DataError(f"{who}: sample {int(empty[0])} is a sequence of zero length.", "remove it or record it again")
    if int(lengths.sum()) != inputs.shape[0]:
        raise DataError(f"{who}: the lengths sum to {int(lengths.sum())}, but {inputs.shape[0]} steps are stored.")


def _check_finite(who: str, inputs: Tensor, lengths: Tensor | None) -> None:
    if bool(torch.isfinite(inputs).all()):
        return
    first = (~torch.isfinite(inputs)).nonzero()[0].tolist()
    value = float(inputs[tuple(first)])
    if lengths is not None:  # from the row among all samples to sample and step
        ends = lengths.cumsum(0)
        sample = int(torch.searchsorted(ends, first[0], right=True))
        first = [sample, first[0] - int(ends[sample] - lengths[sample]), *first[1:]]
    where = f"sample {first[0]}, step {first[1]}" + (f", channel {first[2]}" if len(first) > 2 else "")
    raise DataError(f"{who}: the signal is {value} at {where}.", "remove or fill such values before training")
