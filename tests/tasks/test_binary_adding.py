from __future__ import annotations

import hashlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.errors import ConfigError
from spikeworks.tasks import BinaryAddingConfig
from spikeworks.tasks.binary_adding import adding_labels, draw_adding, expand_bits


@pytest.fixture(scope="module")
def task():
    return BinaryAddingConfig().build()


@pytest.mark.parametrize(("split", "size"), [("train", 50_000), ("validation", 2_000), ("test", 2_000)])
def test_label_identity_marks_and_balance_at_the_published_size(task, split, size):
    data = task.data(split)
    batch = data.batch(torch.arange(len(data)))
    bits, marks = batch.x.unbind(2)
    assert batch.x.shape == (100, size, 2)
    assert set(batch.x.unique().tolist()) == {0.0, 1.0}
    assert torch.equal((bits * marks).sum(0).long(), batch.target)
    assert torch.equal(marks.sum(0), torch.full((size,), 9.0))
    assert torch.bincount(batch.target).tolist() == [size // 10] * 10


def test_marks_and_free_bits_are_fair(task):
    batch = task.data("train").batch(torch.arange(50_000))
    bits, marks = batch.x.double().unbind(2)
    assert (marks.mean(1) - 0.09).abs().max() < 0.008  # every position alike
    assert abs(bits[marks == 0].mean().item() - 0.5) < 0.002
    first = torch.where(marks.cumsum(0) == 1, marks, 0).bool()  # the first mark of each sequence
    assert abs(bits[first].mean().item() - 0.5) < 0.01  # which marked bits are one does not depend on the order


@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 8), st.integers(0, 99))
def test_sampler_law(marks, ones, free, seed):
    ones = min(ones, marks)
    stored = draw_adding(5, marks + free, marks, ones, torch.Generator().manual_seed(seed))
    assert adding_labels(stored).tolist() == [ones] * 5
    assert expand_bits(stored)[:, :, 1].sum(0).tolist() == [marks] * 5


def test_same_seed_same_bytes():
    options = {"steps": 30, "train_size": 100, "validation_size": 10, "test_size": 10}
    digests = [
        hashlib.sha256(BinaryAddingConfig(seed=seed, **options).build().data("train").inputs.numpy()).hexdigest()
        for seed in (0, 0, 1)
    ]
    assert digests[0] == digests[1] != digests[2]
    assert digests[0] == GOLDEN


GOLDEN = "ac1bdc1ceddb137bd2e599238beb1601765115cee1ea894e5da57ed85d1ebe3b"


def test_splits_stay_disjoint_where_sequences_are_few():
    task = BinaryAddingConfig(steps=6, marks=1, train_size=60, validation_size=10, test_size=10).build()
    rows = [{tuple(row) for row in task.data(split).inputs.tolist()} for split in ("train", "validation", "test")]
    assert not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]
    assert torch.bincount(task.data("train").targets).tolist() == [30, 30]


def test_signature_follows_the_marks():
    task = BinaryAddingConfig(steps=50, marks=4, train_size=10, validation_size=10, test_size=10).build()
    assert task.signature.outputs == 5 and task.signature.steps == 50 and task.default_readout == "last"
    assert task.published == ()


def test_errors():
    with pytest.raises(ConfigError, match="at least 1 mark and no more than steps, got 9 in 8 steps"):
        BinaryAddingConfig(steps=8)
    with pytest.raises(ConfigError, match="train_size must be a positive multiple of 10.*got 1001"):
        BinaryAddingConfig(train_size=1001)
