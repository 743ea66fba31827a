"""Suites: data that resolves, runs that resume, tasks that are left out by name, estimates that are kept."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path

import pytest
import torch

from spikeworks import recipes  # noqa: F401 - registers the suites
from spikeworks.arena.budgets import parameters_of
from spikeworks.arena.config import Budget, RunConfig
from spikeworks.arena.estimate import estimate_run
from spikeworks.arena.lock import locked
from spikeworks.arena.loop import Interrupted
from spikeworks.arena.progress import Progress
from spikeworks.arena.suites import SUITES, Entrant, Part, Suite, missing_data, run_suite, suite_for
from spikeworks.core.batch import Batch
from spikeworks.core.config import to_dict
from spikeworks.core.errors import ConfigError, RunError, UnknownName
from spikeworks.core.seeds import stream
from spikeworks.learning import METHODS, Plan
from spikeworks.models import StackConfig
from spikeworks.neurons import config_for
from spikeworks.tasks import TASKS, task_for

ADDING = task_for("binary-adding", steps=10, marks=3, train_size=48, validation_size=16, test_size=16)


def tiny(seeds: int = 2, **change: object) -> Suite:
    entrants = tuple(Entrant(model=StackConfig(hidden=(6,), neuron=config_for(n))) for n in ("lif", "alif"))
    part = Part(task=ADDING, entrants=entrants, budget=Budget(epochs=1, batch_size=16))
    return Suite(name="tiny", size="small", about="for tests", parts=(part,), seeds=seeds, **change)  # type: ignore[arg-type]


class Count(Progress):
    def __init__(self) -> None:
        self.begun_: list[tuple[str, int]] = []
        self.failed_: list[str] = []

    def begun(self, config: RunConfig, directory: Path, resumed: str | None) -> None:
        self.begun_.append((config.shown, config.seed))

    def failed(self, config: RunConfig, error: Exception) -> None:
        self.failed_.append(f"{config.shown}: {error}")


@pytest.mark.parametrize("size", ["small", "full"])
@pytest.mark.parametrize("name", SUITES.names())
def test_every_suite_resolves_without_data(name: str, size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPIKEWORKS_DATA", raising=False)
    suite = suite_for(name, size)
    configs = suite.plan()
    assert suite == suite_for(name, size) and suite.seeds == 3 and set(suite.tasks) <= set(TASKS)
    assert len({config.id for config in configs}) == len(configs)
    assert [config.seed for config in configs] == sorted(config.seed for config in configs)
    for part in suite.parts:
        shown = [(config.shown, config.method) for config in part.runs(0)]
        assert len(shown) == len(set(shown)), "two models of a task must not share a name"
    for config in configs[: len(configs) // suite.seeds]:
        assert RunConfig.from_dict(json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize(
    ("task", "target"),
    [("ps-mnist", 85_130), ("ps-mnist", 155_082), ("binary-adding", 18_186), ("binary-adding", 34_698)],
)
def test_all_neurons_of_the_temporal_suite_have_the_parameters_of_lif(task: str, target: int) -> None:
    parts = [part for part in suite_for("temporal-suite", "full").parts if part.task_name == task]
    built = parts[0].task.build()
    counts = [{c.shown: parameters_of(c, built) for c in part.runs(0)} for part in parts]
    (own,) = [found for found in counts if target in found.values()]
    assert all(abs(count - target) <= 0.02 * target for count in own.values()), own
    assert own.get("lif", own.get("lif-rec")) == target and len(own) in (11, 13)


@pytest.mark.parametrize(("index", "target"), [(0, 90_000), (1, 40_000)])
def test_architectures_have_equal_parameters(index: int, target: int) -> None:
    part = suite_for("temporal-architectures", "full").parts[index]
    counts = {config.shown: parameters_of(config, part.task.build()) for config in part.runs(0)}
    assert len(counts) == 9 and all(abs(count - target) <= 0.05 * target for count in counts.values()), counts


@pytest.mark.parametrize("name", ["temporal-rules", "temporal-norms", "temporal-surrogates", "temporal-architectures"])
def test_one_thing_varies_and_everything_learns(name: str) -> None:
    """Every network of a small suite is built and makes an update by its method on one batch of its shape."""
    for config in (c for part in suite_for(name, "small").parts for c in part.runs(0)):
        task = config.task.build()
        if task.signature.kind == "tokens":
            x = torch.randint(40, (2, 6))
            batch = Batch(x=x, target=x)
            network = config.model.build(40, 40, stream(0, "weights"), tokens=True)
            objective = Words()
        else:
            batch = Batch(x=torch.rand(6, 2, *task.signature.shape), target=torch.tensor([0, 1]))
            network = config.model.build(task.signature.inputs, task.signature.outputs, stream(0, "weights"))
            objective = task
        config.method.prepare(network)
        learner = config.method.build(network, objective, Plan.of_one(batch, config.optimizer))
        assert learner.update(batch)["loss"] > 0, config.shown


class Words:
    """Cross-entropy of forty words."""

    def loss(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(output.flatten(0, 1), batch.target.t().flatten())


def test_the_arena_s_networks_have_the_published_parameters() -> None:
    part = suite_for("nsa", "full").parts[0]
    counts = [parameters_of(config, part.task.build()) for config in part.runs(0)]
    published = {
        "lif": 99_842, "ce-lif": 104_482, "ltc": 115_906, "lif-rec": 102_386, "gated": 99_554,
        "spiking-tcn-lif": 101_630, "binary-s4d-lif": 100_610, "gsu-ssm": 87_858,
    }  # fmt: skip
    found = dict(zip((config.shown for config in part.runs(0)), counts, strict=True))
    assert {name: found[name] for name in published} == published and len(found) == 12


def test_methods_multiply_models_and_parts_can_be_chosen() -> None:
    suite = tiny(seeds=1)
    both = dataclasses.replace(suite.parts[0], methods=(METHODS.get("bptt")(), METHODS.get("sltt")()))
    shown = [config.shown for config in dataclasses.replace(suite, parts=(both,)).plan()]
    assert shown == ["lif", "lif sltt", "alif", "alif sltt"]
    assert suite.only(["binary-adding"]) == suite
    with pytest.raises(UnknownName, match="task of suite tiny 'binary-adds'.*Did you mean 'binary-adding'"):
        suite.only(["binary-adds"])


def test_a_suite_can_be_cut_to_some_models_of_some_tasks() -> None:
    suite = suite_for("temporal-suite", "full")
    assert {"lif", "lif-rec", "ltc", "ce-lif"} <= set(suite.models)
    some = suite.only(["ptb", "binary-adding"], ["lif", "lif-rec"])
    assert [(part.task_name, [entrant.name for entrant in part.entrants]) for part in some.parts] == [
        ("binary-adding", ["lif"]), ("binary-adding", ["lif-rec"]), ("ptb", ["lif"]), ("ptb", ["lif-rec"]),
    ]  # fmt: skip
    assert suite.only() == suite
    with pytest.raises(UnknownName, match="model of suite temporal-suite"):
        suite.only(["ptb"], ["ce-lif"])  # a table of steps cannot run through a text
    with pytest.raises(ConfigError, match="at least one seed, got 0"):
        tiny(seeds=0)
    with pytest.raises(UnknownName, match="budget of a suite 'medium'"):
        suite_for("nsa", "medium")
    with pytest.raises(UnknownName, match="suite 'nas'.*Did you mean 'nsa'"):
        suite_for("nas")


def test_what_is_done_is_read_and_what_was_cut_goes_on(tmp_path: Path) -> None:
    class Cut(Count):
        def begun(self, config: RunConfig, directory: Path, resumed: str | None) -> None:
            super().begun(config, directory, resumed)
            if len(self.begun_) == 3:
                signal.raise_signal(signal.SIGINT)

    first = Cut()
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        run_suite(tiny().plan(), tmp_path, progress=first)
    assert first.begun_ == [("lif", 0), ("alif", 0), ("lif", 1)]
    second = Count()
    found = run_suite(tiny().plan(), tmp_path, progress=second)
    assert second.begun_ == [("lif", 1), ("alif", 1)]
    assert len(found.outcomes) == 4 and all(o.result is not None for o in found.outcomes) and not found.skipped


def test_a_task_without_data_is_left_out_and_the_rest_goes_on(tmp_path: Path) -> None:
    part = dataclasses.replace(tiny().parts[0], task=task_for("wisdm"))
    suite = dataclasses.replace(tiny(seeds=1), parts=(part, *tiny().parts))
    heard: list[str] = []
    found = run_suite(suite.plan(), tmp_path / "runs", tmp_path, skip=lambda task, why: heard.append(task))
    assert heard == ["wisdm"] and list(found.skipped) == ["wisdm"] and "wisdm" in found.skipped["wisdm"].lower()
    assert [o.config.task_name for o in found.outcomes] == ["binary-adding"] * 2
    assert missing_data(part, tmp_path) is not None and missing_data(suite.parts[1], tmp_path) is None


def test_a_run_that_another_process_writes_is_passed_by_and_one_that_is_refused_is_told(tmp_path: Path) -> None:
    wrong = Entrant(model=StackConfig(hidden=(6,), neuron=config_for("ce-lif", steps=3)))
    suite = tiny(seeds=1)
    part = dataclasses.replace(suite.parts[0], entrants=(*suite.parts[0].entrants, wrong))
    configs = dataclasses.replace(suite, parts=(part,)).plan()
    count = Count()
    with locked(configs[0].directory(tmp_path)):
        found = run_suite(configs, tmp_path, progress=count)
    assert [(o.config.shown, o.result is not None) for o in found.outcomes] == [("alif", True), ("ce-lif", False)]
    assert "is being written by another process" in count.failed_[0]
    assert "sequences of up to 3 steps" in count.failed_[1]


def test_an_estimate_is_kept_and_counts_every_epoch(tmp_path: Path) -> None:
    config = tiny().plan()[0]
    task = config.task.build()
    longer = dataclasses.replace(config, budget=Budget(epochs=50, batch_size=16))
    one, many = estimate_run(config, task, tmp_path), estimate_run(longer, task, tmp_path)
    assert one.parameters == parameters_of(config, task) and 0 < one.seconds < many.seconds
    assert one.live_bytes == many.live_bytes and (one.live_bytes or 0) > 0
    (path, _) = sorted(tmp_path.rglob(".estimate-*.json"))
    kept = {**json.loads(path.read_text()), "seconds": 77.0}
    path.write_text(json.dumps(kept))
    other_seed = dataclasses.replace(config, seed=5), dataclasses.replace(longer, seed=5)
    assert 77.0 in {estimate_run(each, task, tmp_path).seconds for each in other_seed}
    limited = dataclasses.replace(longer, budget=dataclasses.replace(longer.budget, max_seconds=1e-6))
    assert estimate_run(limited, task, tmp_path).seconds < many.seconds
    path.write_text("{}")
    with pytest.raises(RunError, match="is damaged"):
        for each in (config, longer):
            estimate_run(each, task, tmp_path)
