from __future__ import annotations

import pytest
import torch

from spikeworks.core.errors import DataError
from spikeworks.data import Standardizer


def test_channels_get_mean_zero_and_deviation_one():
    rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 9.0, 0.1]) + 4
    scaled = Standardizer.of(rows)(rows)
    assert scaled.dtype == torch.float32
    assert torch.allclose(scaled.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(scaled.std(0, correction=0), torch.ones(3), atol=1e-5)


def test_a_constant_channel_becomes_zero_and_is_not_blown_up():
    rows = torch.full((7, 1), 0.1)
    assert Standardizer.of(rows)(rows).tolist() == [[0.0]] * 7
    assert abs(Standardizer.of(rows)(rows + 1).mean().item() - 1) < 1e-6


def test_values_that_overflow_are_named():
    with pytest.raises(DataError, match="Channel 1 cannot be scaled: its values reach 1e\\+300"):
        Standardizer.of(torch.tensor([[1.0, 1e300], [2.0, -1e300]], dtype=torch.float64))
