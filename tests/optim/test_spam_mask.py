"""Coordinates that keep moments: different ones, equally likely, recomputed from a counter."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.optim.spam_mask import kept_coordinates, kept_count


@given(numel=st.integers(1, 300), share=st.floats(0.001, 1.0), seed=st.integers(0, 2**40))
def test_coordinates_are_different_and_within_the_tensor(numel: int, share: float, seed: int) -> None:
    kept = kept_count(numel, share)
    found = kept_coordinates(numel, kept, seed, 3, 1)
    assert found.dtype == torch.int64 and found.shape == (kept,)
    assert found.unique().numel() == kept
    assert int(found.min()) >= 0 and int(found.max()) < numel


def test_they_depend_on_nothing_but_their_names() -> None:
    found = kept_coordinates(1000, 300, 7, 2, 5)
    torch.manual_seed(123)
    assert torch.equal(found, kept_coordinates(1000, 300, 7, 2, 5))
    for other in ((8, 2, 5), (7, 3, 5), (7, 2, 6)):
        assert not torch.equal(found, kept_coordinates(1000, 300, *other))


@pytest.mark.parametrize(("numel", "kept"), [(40, 10), (40, 28), (41, 13), (10, 9)])
def test_all_coordinates_are_equally_likely(numel: int, kept: int) -> None:
    draws = 3000
    counts = torch.zeros(numel)
    for reset in range(draws):
        counts[kept_coordinates(numel, kept, 0, 0, reset)] += 1
    share = kept / numel
    deviation = (counts / draws - share) / (share * (1 - share) / draws) ** 0.5
    assert deviation.abs().max() < 4.5  # standard deviations of a fair draw, 40 coordinates


def test_two_draws_share_no_more_than_chance() -> None:
    numel, kept = 20000, 5000
    first, second = (torch.zeros(numel).index_fill_(0, kept_coordinates(numel, kept, 0, 0, e), 1.0) for e in (1, 2))
    assert float((first * second).sum()) == pytest.approx(kept * kept / numel, abs=150)  # 5 standard deviations


def test_large_tensors_are_chosen_in_blocks_without_a_seam() -> None:
    numel, kept = 200_003, 50_001
    found = kept_coordinates(numel, kept, 1, "x")
    assert found.unique().numel() == kept
    gaps = found.sort().values.diff()
    assert int(gaps.max()) <= 2 * 4  # one from each stretch of 3 or 4


def test_the_number_kept() -> None:
    assert [kept_count(n, d) for n, d in ((100, 0.29), (3, 0.01), (1, 0.5), (7, 1.0))] == [29, 1, 1, 7]
