"""Phases of resets and re-warm-up are functions of the update's number alone."""

from __future__ import annotations

import pytest
from tests.optim.spam_definition import published_scale

from spikeworks.optim.spam_phase import Phase, phase_at


def test_the_scale_of_the_paper() -> None:
    values = {499: 1.0, 500: 0.01, 575: 0.4999, 649: 0.9996, 650: 1.0, 999: 1.0, 1000: 0.01}
    assert {k: round(phase_at(k, 500, 150).scale, 4) for k in values} == values


@pytest.mark.parametrize(("every", "rise"), [(500, 150), (7, 7), (7, 0), (3, 1)])
def test_the_scale_follows_its_equation(every: int, rise: int) -> None:
    for k in range(1, 4 * every):
        assert phase_at(k, every, rise).scale == pytest.approx(published_scale(k, every, rise), abs=1e-15)


def test_updates_since_the_reset_count_from_one() -> None:
    found = [phase_at(k, 4) for k in range(1, 10)]
    assert [p.since_reset for p in found] == [1, 2, 3, 1, 2, 3, 4, 1, 2]
    assert [p.resets for p in found] == [0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert [p.resets_now for p in found] == [False, False, False, True, False, False, False, True, False]


def test_without_resets_there_is_one_period() -> None:
    assert phase_at(12345, 0, 150) == Phase(12345, 12345, 0, 1.0)
    assert phase_at(0, 500, 150) == Phase(0, 0, 0, 1.0)


def test_clipping_waits_behind_the_start_and_every_reset() -> None:
    # k >= h and (k mod reset_every) >= h
    clipped = [k for k in range(1, 31) if phase_at(k, 10).clips(4)]
    assert clipped == [k for k in range(1, 31) if k >= 4 and k % 10 >= 4]
    assert [k for k in range(1, 31) if phase_at(k, 0).clips(4)] == list(range(4, 31))
