from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.errors import DataError
from spikeworks.data.disjoint import check_disjoint, check_spans_disjoint, shared_windows, split_groups


def test_keys_may_repeat_within_a_part():
    check_disjoint({"train": ["a", "a"], "validation": iter(["b"]), "test": []}, what="file")


def test_shared_keys_are_counted_and_named():
    parts = {"train": range(10), "validation": [20], "test": [3, 3, 9, 30]}
    with pytest.raises(DataError, match=r"wisdm: the splits train and test share 2 subject\(s\): 3, 9\."):
        check_disjoint(parts, what="subject", who="wisdm")
    with pytest.raises(
        DataError, match=r"validation and test share 7 file\(s\): 0, 1, 2, 3, 4 and 2 more\.\n.*one split"
    ):
        check_disjoint({"validation": range(7), "test": range(7)}, what="file")


def test_windows_that_touch_do_not_overlap():
    check_spans_disjoint({"train": [("a", 0, 10), ("a", 5, 15)], "test": [("a", 15, 20), ("b", 0, 10)]})


def test_overlap_of_one_sample_is_found():
    parts = {
        "train": [("a", 0, 10), ("a", 30, 40)],
        "validation": [],
        "test": [("b", 0, 9), ("a", 39, 50), ("a", 9, 12)],
    }
    with pytest.raises(
        DataError, match="2 of 3 windows of test share samples with train; the first: 'a' 39 to 50 over"
    ):
        check_spans_disjoint(parts)
    with pytest.raises(DataError, match="a trial of test in 'a' runs from 4 to 4: it is empty"):
        check_spans_disjoint({"test": [("a", 4, 4)]}, what="trial")


SPANS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(1, 9)).map(lambda s: (s[0], s[1], s[1] + s[2])),
    max_size=6,
)


@given(SPANS, SPANS)
def test_agrees_with_sets_of_samples(one, other):
    samples = [{(name, i) for name, start, stop in part for i in range(start, stop)} for part in (one, other)]
    parts = {"train": one, "test": other}
    if samples[0] & samples[1]:
        with pytest.raises(DataError, match="share samples"):
            check_spans_disjoint(parts)
    else:
        check_spans_disjoint(parts)


def test_windows_that_leak_are_counted():
    train = [("a", start, start + 10) for start in range(0, 100, 10)]
    test = [("a", 95, 105), ("a", 100, 110), ("b", 0, 10), ("a", 3, 4)]
    assert shared_windows(test, train) == 2 and shared_windows(train, test) == 2


def test_groups_go_to_one_split_each_whatever_their_order():
    subjects = [f"s{i}" for i in range(20)]
    parts = split_groups(subjects, test=0.2, validation=0.1, seed=0, what="subject")
    assert {name: len(members) for name, members in parts.items()} == {"train": 14, "validation": 2, "test": 4}
    assert sorted(who for part in parts.values() for who in part) == sorted(subjects)
    assert split_groups(subjects[::-1] * 2, test=0.2, validation=0.1, seed=0, what="subject") == parts
    assert split_groups(subjects, test=0.2, validation=0.1, seed=1, what="subject") != parts
    with pytest.raises(DataError, match=r"toy: 2 speaker\(s\) cannot be split .*\n.*at least three speakers"):
        split_groups([1, 2, 1], test=0.2, validation=0.1, seed=0, what="speaker", who="toy")
