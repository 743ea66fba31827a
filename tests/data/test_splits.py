from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data.splits import fixed_permutation, hash_order, stratified_parts, stratified_split, stratified_subset


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(0, 5))
def test_split_is_a_partition_in_proportion(labels, seed):
    labels = [*labels, *"abcabcabc"]
    parts = stratified_split(labels, range(len(labels)), (0.2, 0.2), seed)
    assert sorted(i for part in parts for i in part) == list(range(len(labels)))
    for part in parts:
        assert {labels[i] for i in part} == set("abc")
    for label in "abc":
        count = labels.count(label)
        assert sum(labels[i] == label for i in parts[0]) == max(1, round(0.2 * count))


def test_split_follows_the_keys_and_not_their_order():
    keys = [f"case{i}" for i in range(40)]
    labels = [i % 2 for i in range(40)]
    test, *_ = stratified_split(labels, keys, (0.25, 0.25), seed=3)
    back, *_ = stratified_split(labels[::-1], keys[::-1], (0.25, 0.25), seed=3)
    assert {keys[i] for i in test} == {keys[::-1][i] for i in back}
    other, *_ = stratified_split(labels, keys, (0.25, 0.25), seed=4)
    assert other != test


def test_too_few_of_a_class():
    with pytest.raises(DataError, match=r"wine: class 'red' has 2 sample\(s\); at least 3 are needed"):
        stratified_split(["red", "red", "white", "white", "white"], range(5), (0.2, 0.2), 0, who="wine")
    with pytest.raises(ConfigError, match="leave nothing of class 'a'"):
        stratified_split(["a"] * 10, range(10), (0.5, 0.5), 0)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.data())
def test_subset_has_the_size_and_the_proportions(labels, data):
    size = data.draw(st.integers(1, len(labels)))
    chosen = stratified_subset(labels, size, seed=0)
    assert len(set(chosen)) == size
    for label in set(labels):
        share = labels.count(label) * size / len(labels)
        assert abs(sum(labels[i] == label for i in chosen) - share) < 1


def test_subset_size_out_of_range():
    with pytest.raises(ConfigError, match="expected a size from 1 to 3, got 4"):
        stratified_subset([0, 0, 1], 4, seed=0)


def test_parts_are_disjoint_and_exact():
    labels = [i % 3 for i in range(100)]
    parts = stratified_parts(labels, (20, 10), seed=0)
    assert [len(part) for part in parts] == [20, 10, 70]
    assert sorted(i for part in parts for i in part) == list(range(100))


def test_hash_order_is_the_same_for_ever():
    assert hash_order(list(range(8)), seed=0) == [4, 0, 6, 7, 2, 1, 5, 3]


@pytest.mark.parametrize("size", [64, 196, 784])
def test_permutation_is_a_bijection(size):
    order = fixed_permutation(size, seed=1234)
    assert torch.equal(order.sort().values, torch.arange(size))
    assert torch.equal(order[order.argsort()], torch.arange(size))
    assert torch.equal(order, fixed_permutation(size, seed=1234))
    assert not torch.equal(order, fixed_permutation(size, seed=1235))


def test_permutation_is_the_same_for_ever():
    assert fixed_permutation(784, seed=1234)[:5].tolist() == [529, 511, 328, 133, 532]
