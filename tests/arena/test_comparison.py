"""Comparisons: equal conditions, nothing done twice, one bad run does not stop the rest."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from spikeworks.arena.budgets import TOLERANCE, parameters_of
from spikeworks.arena.comparison import Comparison, compare, run_all
from spikeworks.arena.config import Budget, RunConfig
from spikeworks.arena.loop import Interrupted
from spikeworks.arena.progress import Progress
from spikeworks.arena.resolve import describe_run
from spikeworks.core.errors import ConfigError, SpikeworksError, UnknownName
from spikeworks.learning import SLTTConfig
from spikeworks.neurons import LIF, Neuron, Option, Parameter
from spikeworks.tasks import task_for

TASK = task_for("binary-adding", steps=12, marks=3, train_size=64, validation_size=32, test_size=32)


def brief(config: RunConfig) -> RunConfig:
    model = dataclasses.replace(config.model, hidden=(8, 6))  # type: ignore[type-var]
    return dataclasses.replace(config, model=model, budget=Budget(epochs=2, batch_size=32))


class Count(Progress):
    def __init__(self) -> None:
        self.begun_, self.failed_, self.batches = [], [], 0

    def begun(self, config: RunConfig, directory: Path, resumed: str | None) -> None:
        self.begun_.append((config.shown, config.seed, resumed))

    def trained(self, epoch: int, batch: int, batches: int, metrics: dict[str, float]) -> None:
        self.batches += 1

    def failed(self, config: RunConfig, error: SpikeworksError) -> None:
        self.failed_.append(config.shown)


def test_every_neuron_gets_every_seed_and_nothing_is_done_twice(tmp_path: Path) -> None:
    first = compare(TASK, ["lif", "tc-lif"], 2, root=tmp_path, change=brief)
    assert [(o.config.shown, o.config.seed) for o in first] == [("lif", 0), ("tc-lif", 0), ("lif", 1), ("tc-lif", 1)]
    assert all(o.result is not None and o.result["status"] == "finished" for o in first)
    count = Count()
    again = compare(TASK, ["lif", "tc-lif", "alif"], [1], root=tmp_path, change=brief, progress=count)
    assert count.begun_ == [("alif", 1, None)]
    assert [o.result for o in again[:2]] == [o.result for o in first[2:]]


def test_what_was_cut_goes_on(tmp_path: Path) -> None:
    class Cut(Progress):
        def trained(self, epoch: int, batch: int, batches: int, metrics: dict[str, float]) -> None:
            if (epoch, batch) == (2, 1):
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        compare(TASK, ["lif", "tc-lif"], 1, root=tmp_path, change=brief, progress=Cut())
    count = Count()
    compare(TASK, ["lif", "tc-lif"], 1, root=tmp_path, change=brief, progress=count)
    assert count.begun_ == [("lif", 0, "epoch 2, batch 1"), ("tc-lif", 0, None)] and count.batches == 1 + 4


def test_a_run_that_diverges_is_recorded_and_the_rest_goes_on(tmp_path: Path) -> None:
    good = brief(describe_run(TASK, "lif"))
    bad = dataclasses.replace(good, optimizer=dataclasses.replace(good.optimizer, learning_rate=1e37, clip=None))
    count = Count()
    outcomes = run_all([dataclasses.replace(bad, label="bad"), good], tmp_path, progress=count)
    assert outcomes[0].result is None and "learning rate 1e+37" in str(outcomes[0].error)
    assert json.loads((outcomes[0].directory / "result.json").read_text())["status"] == "diverged"
    assert outcomes[1].result is not None and count.failed_ == ["bad"]


def test_every_neuron_learns_by_every_method_of_a_comparison() -> None:
    comparison = Comparison(TASK, ["lif", "alif"], (4, 7), methods=["bptt", SLTTConfig(steps=3)], change=brief)
    configs = comparison.plan()
    assert [(config.model_name, config.method.name, config.seed) for config in configs] == [
        (neuron, method, seed) for seed in (4, 7) for neuron in ("lif", "alif") for method in ("bptt", "sltt")
    ]
    assert configs[1].method == SLTTConfig(steps=3) and all(config.budget.epochs == 2 for config in configs)
    assert comparison == dataclasses.replace(comparison) and comparison.plan() == configs


def test_budget_params_gives_equal_counts() -> None:
    def wide(config: RunConfig) -> RunConfig:
        return dataclasses.replace(config, model=dataclasses.replace(config.model, hidden=(40, 30)))  # type: ignore[type-var]

    task = TASK.build()
    plain = Comparison(TASK, ["lif", "pmsn", "sliding-psn"], 1, change=wide).plan()
    configs = Comparison(TASK, ["lif", "pmsn", "sliding-psn"], 1, change=wide, budget="params").plan()
    counts = [parameters_of(config, task) for config in configs]
    assert configs[0] == plain[0]
    assert all(abs(count - counts[0]) <= TOLERANCE * counts[0] for count in counts)
    assert any(parameters_of(p, task) != counts[0] for p in plain)


@pytest.mark.parametrize("change", [{"recurrent": (True, True)}, {"hidden": (200,)}], ids=str)
def test_budget_params_follows_other_shapes(change: dict[str, Any]) -> None:
    def shape(config: RunConfig) -> RunConfig:
        return dataclasses.replace(config, model=dataclasses.replace(config.model, **change))  # type: ignore[type-var]

    configs = Comparison(TASK, ["lif", "pmsn"], 1, change=shape, budget="params").plan()
    counts = [parameters_of(config, TASK.build()) for config in configs]
    assert abs(counts[1] - counts[0]) <= TOLERANCE * counts[0]


def test_widths_too_small_to_match_are_told() -> None:
    class Heavy(Neuron):
        states = ("voltage",)
        weight = Parameter(0.5, per="channel", inner="taps")
        taps = Option(50)

    def narrow(config: RunConfig) -> RunConfig:
        return dataclasses.replace(config, model=dataclasses.replace(config.model, hidden=(1,)))  # type: ignore[type-var]

    with pytest.raises(ConfigError, match=r"No widths like \(1,\) give Heavy the \d+ parameters"):
        Comparison(TASK, [LIF, Heavy], 1, change=narrow, budget="params").plan()


def test_budget_time_gives_one_limit_and_stays_the_same_comparison(tmp_path: Path) -> None:
    names = ["lif", "tc-lif"]
    configs = Comparison(TASK, names, 1, change=brief, budget="time").plan(tmp_path)
    (limit,) = {config.budget.max_seconds for config in configs}
    assert limit is not None and limit > 0 and all(config.budget.epochs >= 1 for config in configs)
    assert Comparison(TASK, names, 1, change=brief, budget="time").plan(tmp_path) == configs

    def limited(config: RunConfig) -> RunConfig:
        config = brief(config)
        return dataclasses.replace(config, budget=dataclasses.replace(config.budget, max_seconds=7.5))

    asked = Comparison(TASK, names, 1, change=limited, budget="time").plan(tmp_path)
    assert [config.budget.max_seconds for config in asked] == [7.5, 7.5]


def test_empty_comparisons_and_unknown_budgets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="budget 'param' is not registered. Did you mean 'params'"):
        Comparison(TASK, ["lif"], 1, budget="param")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="A comparison needs neurons and seeds, got 0 and 1"):
        Comparison(TASK, [], 1)
    with pytest.raises(UnknownName, match="Did you mean 'tc-lif'"):
        compare(TASK, ["lif", "tclif"], 1, root=tmp_path)
    assert list(tmp_path.iterdir()) == []
