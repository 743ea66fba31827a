"""Schedules are pure functions of the update's number."""

from __future__ import annotations

import pytest
import torch

from spikeworks.core.errors import ConfigError
from spikeworks.optim import SCHEDULES, ConstantConfig, CosineConfig, ScheduleConfig, StepConfig


def test_cosine_equals_torch() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    for step in range(20):
        assert CosineConfig().factor(step, 5, 4) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        theirs.step()
    assert CosineConfig().factor(20, 5, 4) == pytest.approx(0.0, abs=1e-15)
    assert CosineConfig().factor(99, 5, 4) == pytest.approx(0.0, abs=1e-15)


def test_step_multiplies_every_few_epochs() -> None:
    config = StepConfig(gamma=0.5, every=2)
    assert [config.factor(epoch * 10, 10, 6) for epoch in range(6)] == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    assert config.factor(19, 10, 6) == 1.0


def test_warmup_rises_linearly_and_cosine_starts_behind_it() -> None:
    assert [ConstantConfig(warmup=4).factor(s, 10, 1) for s in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    config = CosineConfig(warmup=5)
    assert config.factor(5, 10, 1) == 1.0 and config.factor(10, 10, 1) == pytest.approx(0.0)
    assert config.factor(4, 3, 1) == 1.0  # warm-up longer than the run: never a negative length


def test_every_registered_schedule_is_finite_and_at_most_one() -> None:
    for name in SCHEDULES:
        config = SCHEDULES.get(name)(warmup=2)
        assert all(0.0 <= config.factor(step, 3, 4) <= 1.0 for step in range(15)), name


def test_bad_values_are_named() -> None:
    with pytest.raises(ConfigError, match="schedule.warmup counts updates"):
        ConstantConfig(warmup=-1)
    with pytest.raises(ConfigError, match="expected every >= 1 and gamma > 0, got 0"):
        StepConfig(every=0)
    with pytest.raises(ConfigError, match="describes no schedule"):
        ScheduleConfig().factor(0, 1, 1)
