from __future__ import annotations

import pytest
import torch

from spikeworks.core.errors import DataError
from spikeworks.data import check_arrays

GOOD = torch.zeros(3, 4, 2)
LABELS = torch.tensor([0, 1, 2])


def test_good_arrays_pass():
    check_arrays("set", GOOD, LABELS, classes=3)
    check_arrays("set", GOOD.to(torch.uint8), LABELS, classes=3)
    check_arrays("set", torch.zeros(6, 2), LABELS, classes=3, lengths=torch.tensor([1, 2, 3]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_named(value):
    bad = GOOD.clone()
    bad[1, 3, 0] = value
    with pytest.raises(DataError, match=f"set: the signal is {value} at sample 1, step 3, channel 0"):
        check_arrays("set", bad, LABELS, classes=3)


def test_nan_in_unequal_lengths_is_named_by_sample_and_step():
    rows = torch.zeros(6, 2)
    rows[4, 1] = float("nan")  # lengths 1, 2, 3: row 4 is step 1 of sample 2
    with pytest.raises(DataError, match="sample 2, step 1, channel 1"):
        check_arrays("set", rows, LABELS, classes=3, lengths=torch.tensor([1, 2, 3]))


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_out_of_range(label):
    with pytest.raises(DataError, match=f"label {label} of sample 1 is out of range; expected 0 to 2"):
        check_arrays("set", GOOD, torch.tensor([0, label, 2]), classes=3)


def test_labels_must_be_integers():
    with pytest.raises(DataError, match="expected integer labels"):
        check_arrays("set", GOOD, LABELS.float(), classes=3)


def test_zero_length():
    with pytest.raises(DataError, match="zero length"):
        check_arrays("set", torch.zeros(3, 0, 2), LABELS, classes=3)
    with pytest.raises(DataError, match="sample 1 is a sequence of zero length"):
        check_arrays("set", torch.zeros(4, 2), LABELS, classes=3, lengths=torch.tensor([2, 0, 2]))


def test_counts_must_agree():
    with pytest.raises(DataError, match="holds no samples"):
        check_arrays("set", torch.zeros(0, 4, 2), LABELS[:0], classes=3)
    with pytest.raises(DataError, match="3 labels belong to signals of shape"):
        check_arrays("set", GOOD[:2], LABELS, classes=3)
    with pytest.raises(DataError, match="lengths sum to 6, but 5 steps"):
        check_arrays("set", torch.zeros(5, 2), LABELS, classes=3, lengths=torch.tensor([1, 2, 3]))
    with pytest.raises(DataError, match="3 labels belong to 2 sequences"):
        check_arrays("set", torch.zeros(3, 2), LABELS, classes=3, lengths=torch.tensor([1, 2]))
