"""Masks and filters over frames against their definition, number by number, whole and in chunks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from spikeworks.core.errors import ConfigError
from spikeworks.data.deep_filter import Mask


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spectrum(steps: int = 7, bins: int = 5) -> torch.Tensor:
    return torch.randn(steps, 2, bins, dtype=torch.complex128, generator=generator())


@pytest.mark.parametrize("taps", [1, 2, 5])
def test_a_filter_is_the_sum_over_the_present_frame_and_those_before(taps):
    x, mask = spectrum(), Mask("complex", taps)
    answer = torch.randn(7, 2, mask.outputs(5), dtype=torch.float64, generator=generator(1))
    found, _ = mask(x, answer)
    numbers = answer.reshape(7, 2, 2, 5, taps)
    for t in range(7):
        for f in range(5):
            expected = torch.zeros(2, dtype=torch.complex128)
            for n in range(taps):
                h = torch.complex(numbers[t, :, 0, f, n], numbers[t, :, 1, f, n]) + (n == taps - 1)
                if t - taps + 1 + n >= 0:
                    expected += h * x[t - taps + 1 + n, :, f]
            assert_close(found[t, :, f], expected)


def test_the_magnitude_mask_keeps_the_phase_and_is_never_negative():
    x, mask = spectrum(), Mask()
    answer = 3 * torch.randn(7, 2, 5, dtype=torch.float64, generator=generator(1))
    found, before = mask(x, answer)
    assert_close(found.angle(), x.angle())
    assert_close(found.abs(), x.abs() * torch.log1p((answer + torch.tensor(torch.e - 1).double().log()).exp()))
    assert len(before) == 0


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 4))
def test_chunks_equal_the_whole(lengths, taps):
    steps, mask = sum(lengths), Mask("complex", taps)
    x = spectrum(steps)
    answer = torch.randn(steps, 2, mask.outputs(5), dtype=torch.float64, generator=generator(1))
    whole, _ = mask(x, answer)
    before, found = None, []
    for part, said in zip(x.split(lengths), answer.split(lengths), strict=True):
        shaped, before = mask(part, said, before)
        found.append(shaped)
    assert_close(torch.cat(found), whole, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("kind", "taps"), [("phase", 1), ("complex", 0), ("magnitude", 2)])
def test_masks_that_do_not_exist_are_refused(kind, taps):
    with pytest.raises(ConfigError, match="mask"):
        Mask(kind, taps)
