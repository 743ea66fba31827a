from __future__ import annotations

import math

import pytest
import torch

from spikeworks.core.errors import ConfigError
from spikeworks.measure import bootstrap_interval, mean, paired, spread, summarize


def test_mean_and_sample_deviation():
    assert mean([1.0, 2.0, 6.0]) == 3.0
    assert spread([1.0, 2.0, 6.0]) == pytest.approx(math.sqrt((4 + 1 + 9) / 2))


def test_one_seed_has_no_spread():
    assert spread([0.5]) is None
    only = summarize([0.5])
    assert (only.n, only.mean, only.spread, only.low, only.high) == (1, 0.5, None, None, None)
    assert bootstrap_interval([0.5], torch.Generator()) is None
    single = paired({0: 0.9}, {0: 0.5})
    assert (single.p_value, single.resolved) == (None, None)


def test_student_interval_of_three_seeds():
    # t(0.975, 2 degrees) = 4.302653 from the tables
    three = summarize([0.90, 0.92, 0.94])
    half = 4.302653 * 0.02 / math.sqrt(3)
    assert three.low == pytest.approx(0.92 - half, abs=1e-6)
    assert three.high == pytest.approx(0.92 + half, abs=1e-6)
    narrow = summarize([0.90, 0.92, 0.94], level=0.5)
    assert narrow.high - narrow.low < three.high - three.low


def test_bootstrap_agrees_with_theory_and_is_repeatable():
    values = torch.rand(400, generator=torch.Generator().manual_seed(0)).tolist()

    def draw():
        return bootstrap_interval(values, torch.Generator().manual_seed(1), resamples=4000)

    found = draw()
    expected = summarize(values)
    assert found == draw()
    assert found == pytest.approx((expected.low, expected.high), abs=0.004)


def test_bootstrap_of_many_values_in_pieces():
    values = [0.0, 1.0] * 300_000
    low, high = bootstrap_interval(values, torch.Generator().manual_seed(0), resamples=3)
    assert 0.49 < low <= high < 0.51


def test_paired_difference_uses_shared_seeds_only():
    first = {0: 0.91, 1: 0.93, 2: 0.95, 7: 0.1}
    second = {0: 0.90, 1: 0.91, 2: 0.92, 5: 0.9}
    result = paired(first, second)
    assert result.seeds == (0, 1, 2)
    assert result.difference.mean == pytest.approx(0.02)
    assert result.difference.spread == pytest.approx(0.01)
    # t = 0.02 / (0.01 / sqrt 3) = 3.4641 with 2 degrees: p = 0.0742
    assert result.p_value == pytest.approx(0.0742, abs=1e-4)
    assert result.resolved is False
    assert paired({s: 0.9 + s / 1e4 for s in range(5)}, dict.fromkeys(range(5), 0.5)).resolved is True


def test_equal_and_constant_differences():
    same = paired({0: 0.5, 1: 0.6}, {0: 0.5, 1: 0.6})
    assert (same.p_value, same.resolved) == (1.0, False)
    shifted = paired({0: 1.0, 1: 2.0}, {0: 0.5, 1: 1.5})
    assert (shifted.p_value, shifted.resolved) == (0.0, True)


def test_errors_are_named():
    with pytest.raises(ConfigError, match="at least one value"):
        mean([])
    with pytest.raises(ConfigError, match="finite values"):
        summarize([0.5, float("nan")])
    with pytest.raises(ConfigError, match="level between 0 and 1"):
        summarize([0.5, 0.6], level=95)
    with pytest.raises(ConfigError, match=r"share no seed: \[0\] and \[1\]"):
        paired({0: 1.0}, {1: 1.0})
    with pytest.raises(ConfigError, match="resamples >= 1"):
        bootstrap_interval([0.5, 0.6], torch.Generator(), resamples=0)
