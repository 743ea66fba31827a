"""Samples made when asked for: always the same in natural order, never twice the same in shuffled epochs."""

from __future__ import annotations

import pytest
import torch

from spikeworks.core.errors import DataError
from spikeworks.data.drawn import DrawnDataset, join_transcribed, padded


def plan(seed: int | None, data: DrawnDataset) -> torch.Tensor:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return torch.cat(data.plan(2, generator))


def test_plans():
    data = DrawnDataset(5, lambda i, draw: (i, draw), list)
    assert plan(None, data).tolist() == [[i, 0] for i in range(5)]
    first, again, other = plan(1, data), plan(1, data), plan(2, data)
    assert torch.equal(first, again) and sorted(first[:, 0].tolist()) == list(range(5))
    drawn = first[:, 1].tolist() + other[:, 1].tolist()
    assert len(set(drawn)) == 10 and min(drawn) > 0
    assert data.batch(first[:2]) == [tuple(row) for row in first[:2].tolist()]


def test_fixed_samples_are_made_once():
    made = []
    data = DrawnDataset(2, lambda i, draw: made.append((i, draw)) or i, list).fixed()
    assert data.batch(torch.tensor([[1, 77], [0, 5]])) == [1, 0] and made == [(0, 0), (1, 0)]


def test_batches_of_transcripts():
    batch = join_transcribed([(torch.ones(3, 2), torch.tensor([4])), (torch.ones(1, 2), torch.tensor([5, 6]))])
    assert batch.x.shape == (3, 2, 2) and batch.target.tolist() == [[4, -1], [5, 6]]
    assert batch.mask is not None and batch.mask.T.tolist() == [[True] * 3, [True, False, False]]
    assert not batch.x[1:, 1].any() and batch.count == 2
    assert padded([torch.ones(3), torch.ones(3)])[1] is None


def test_no_samples():
    with pytest.raises(DataError, match="without a sample"):
        DrawnDataset(0, lambda i, draw: i, list)
