from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data.segments import (
    Windows,
    cut_windows,
    label_runs,
    starts_by_end_labels,
    starts_within_runs,
    window_starts,
)

LABELS = st.lists(st.integers(0, 2), max_size=40).map(lambda labels: torch.tensor(labels, dtype=torch.int64))


def test_starts_of_windows():
    assert window_starts(200, 200, 100).tolist() == [0]
    assert window_starts(199, 200, 100).tolist() == []
    assert window_starts(450, 200, 100).tolist() == [0, 100, 200]
    with pytest.raises(ConfigError, match="at least one sample, got size=5, stride=0"):
        window_starts(10, 5, 0)


@given(LABELS)
def test_runs_tile_the_recording(labels):
    runs = label_runs(labels)
    assert [i for start, stop in runs for i in range(start, stop)] == list(range(len(labels)))
    for start, stop in runs:
        assert len(set(labels[start:stop].tolist())) == 1
    for (_, stop), (start, _) in itertools.pairwise(runs):
        assert labels[stop - 1] != labels[start]


@given(LABELS, st.integers(1, 6), st.integers(1, 4))
def test_windows_hold_one_label_or_only_end_alike(labels, size, stride):
    within = starts_within_runs(labels, size, stride).tolist()
    assert within == sorted(within)
    expected = [start + i for start, stop in label_runs(labels) for i in range(0, stop - start - size + 1, stride)]
    assert within == expected
    ends = starts_by_end_labels(labels, size, stride).tolist()
    assert ends == [s for s in range(0, len(labels) - size + 1, stride) if labels[s] == labels[s + size - 1]]


def test_end_labels_miss_what_stands_between():
    labels = torch.tensor([0, 0, 1, 1, 0, 0])
    assert starts_by_end_labels(labels, 6, 1).tolist() == [0] and starts_within_runs(labels, 6, 1).tolist() == []


def test_windows_know_where_they_come_from():
    rows, labels = torch.arange(12, dtype=torch.float64).reshape(6, 2), torch.tensor([3, 3, 3, 5, 5, 5])
    one = cut_windows(rows, labels, torch.tensor([0, 3]), 3, "a.txt", 7)
    assert one.inputs.shape == (2, 3, 2) and one.inputs.dtype == torch.float32
    assert one.inputs[1].tolist() == [[6, 7], [8, 9], [10, 11]]
    assert one.targets.tolist() == [3, 5] and one.spans == (("a.txt", 0, 3), ("a.txt", 3, 6)) and one.groups == (7, 7)
    other = cut_windows(rows, labels, torch.tensor([2]), 3, "b.txt", ["x", "x", "y", "y", "y", "y"])
    both = Windows.join([one, other])
    assert len(both) == 3 and both.groups == (7, 7, "y") and both.targets.tolist() == [3, 5, 3]
    picked = both[[2, 0]]
    assert picked.spans == (("b.txt", 2, 5), ("a.txt", 0, 3)) and torch.equal(picked.inputs[1], one.inputs[0])
    assert len(cut_windows(rows, labels, torch.tensor([], dtype=torch.int64), 3, "c", 1)) == 0
    with pytest.raises(DataError, match="no recordings"):
        Windows.join([])
