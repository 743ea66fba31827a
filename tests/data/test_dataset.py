from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data import ArrayDataset, RaggedDataset


def test_array_dataset_expands_per_batch():
    stored = torch.arange(24, dtype=torch.uint8).view(4, 3, 2)
    data = ArrayDataset(stored, torch.arange(4))
    batch = data.batch(torch.tensor([2, 0]))
    assert batch.x.shape == (3, 2, 2) and batch.x.dtype == torch.float32 and batch.x.is_contiguous()
    assert torch.equal(batch.x[:, 0], stored[2].float())
    assert batch.target.tolist() == [2, 0]
    assert batch.mask is None and batch.fresh


@given(st.integers(1, 30), st.integers(1, 12), st.booleans())
def test_plan_visits_every_sample_once(count, size, shuffled):
    data = ArrayDataset(torch.zeros(count, 2, 1), torch.zeros(count, dtype=torch.int64))
    generator = torch.Generator().manual_seed(0) if shuffled else None
    plan = data.plan(size, generator)
    assert torch.equal(torch.cat(plan).sort().values, torch.arange(count))
    assert all(len(item) == size for item in plan[:-1]) and len(plan[-1]) <= size


def test_plan_order():
    data = ArrayDataset(torch.zeros(50, 2, 1), torch.zeros(50, dtype=torch.int64))
    assert torch.equal(torch.cat(data.plan(7)), torch.arange(50))
    first = torch.cat(data.plan(7, torch.Generator().manual_seed(1)))
    assert torch.equal(first, torch.cat(data.plan(7, torch.Generator().manual_seed(1))))
    assert not torch.equal(first, torch.cat(data.plan(7, torch.Generator().manual_seed(2))))
    with pytest.raises(ConfigError, match="got batch_size=0"):
        data.plan(0)


def ragged(lengths, channels=2):
    rows = torch.arange(1.0, sum(lengths) * channels + 1).view(-1, channels)  # no value is zero
    return RaggedDataset(rows, torch.tensor(lengths), torch.arange(len(lengths)))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(0, 1000))
def test_padding_stands_behind_and_the_mask_tells_it(lengths, seed):
    data = ragged(lengths)
    item = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(seed))
    batch = data.batch(item)
    longest = max(lengths)
    assert batch.x.shape == (longest, len(lengths), 2)
    mask = torch.ones(longest, len(lengths), dtype=torch.bool) if batch.mask is None else batch.mask
    assert (batch.mask is None) == (len(set(lengths)) == 1)
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    for column, sample in enumerate(item.tolist()):
        length = lengths[sample]
        assert mask[:, column].tolist() == [True] * length + [False] * (longest - length)
        assert torch.equal(batch.x[:length, column], data.rows[starts[sample] : starts[sample] + length])
        assert not batch.x[length:, column].any()
        assert batch.target[column] == sample


def test_fixed_length():
    rows = torch.ones(5, 1)
    data = RaggedDataset(rows, torch.tensor([2, 3]), torch.tensor([0, 1]), steps=4)
    batch = data.batch(torch.tensor([0]))
    assert batch.x[:, 0, 0].tolist() == [1, 1, 0, 0] and batch.mask[:, 0].tolist() == [True, True, False, False]
    with pytest.raises(DataError, match="Sample 1 has 3 steps, more than 2"):
        RaggedDataset(rows, torch.tensor([2, 3]), torch.tensor([0, 1]), steps=2)


def test_parts_that_do_not_fit():
    with pytest.raises(DataError, match="4 samples came with 3 labels"):
        ArrayDataset(torch.zeros(4, 2, 1), torch.zeros(3))
    with pytest.raises(DataError, match="do not fit together"):
        RaggedDataset(torch.zeros(4, 1), torch.tensor([2, 3]), torch.tensor([0, 1]))
    with pytest.raises(DataError, match="Sample 0 is a sequence of zero length"):
        RaggedDataset(torch.zeros(3, 1), torch.tensor([0, 3]), torch.tensor([0, 1]))
