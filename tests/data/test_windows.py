from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data import TextWindows


@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 40))
def test_windows_follow_each_other_in_every_column(columns, steps, extra):
    tokens = torch.arange(columns * (steps + 1) + extra, dtype=torch.int32)
    text = TextWindows(tokens, steps)
    batches = [text.batch(window) for window in text.plan(columns)]
    length = len(tokens) // columns
    x = torch.cat([batch.x for batch in batches], dim=1)
    target = torch.cat([batch.target for batch in batches], dim=1)
    assert len(batches) == (length - 1) // steps
    assert torch.equal(target, x + 1)  # the text counts up, so the next token is one more
    for column in range(columns):
        assert x[column].tolist() == list(range(column * length, column * length + x.shape[1]))
    assert [batch.fresh for batch in batches] == [True] + [False] * (len(batches) - 1)
    assert batches[0].x.dtype == batches[0].target.dtype == torch.int64 and batches[0].tokens


def test_fixed_columns_ignore_the_batch_size_and_order_is_never_shuffled():
    text = TextWindows(torch.arange(100), steps=5, columns=2)
    plan = text.plan(50, torch.Generator().manual_seed(0))
    assert [window.index for window in plan] == list(range(9))
    assert text.batch(plan[0]).x.shape == (2, 5)


def test_too_short():
    with pytest.raises(DataError, match="A text of 10 tokens is too short for 4 columns .* 12 are needed"):
        TextWindows(torch.arange(10), steps=2).plan(4)
    with pytest.raises(ConfigError, match="batch_size=0"):
        TextWindows(torch.arange(10), steps=2).plan(0)
    with pytest.raises(ConfigError, match="steps=0"):
        TextWindows(torch.arange(10), steps=0)
