"""Sweeps: chosen on validation alone, resumed from the journal, every trial an ordinary run."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from spikeworks.arena.config import Budget, RunConfig
from spikeworks.arena.loop import Interrupted
from spikeworks.arena.progress import Progress
from spikeworks.arena.resolve import describe_run
from spikeworks.arena.run import Run
from spikeworks.arena.store import load_runs
from spikeworks.arena.sweep import Range, Sweep, sweep
from spikeworks.cli.main import main
from spikeworks.core.errors import ConfigError, RunError, UnknownName
from spikeworks.tasks import task_for

pytest.importorskip("optuna")
TASK = task_for("binary-adding", steps=8, marks=3, train_size=48, validation_size=24, test_size=24)
RATES = Range.read("learning_rate=1e-3..1e-1:log")


def config(epochs: int = 1) -> RunConfig:
    return dataclasses.replace(describe_run(TASK, "lif", hidden=(4,)), budget=Budget(epochs=epochs, batch_size=16))


def fake(monkeypatch: pytest.MonkeyPatch, scores: Any) -> list[RunConfig]:
    """Runs that end at once with the scores that a function gives for a description."""
    carried: list[RunConfig] = []

    def execute(self: Run, progress: Progress, **_: object) -> dict[str, Any]:
        carried.append(self.config)
        for epoch in range(1, self.config.budget.epochs + 1):
            validation, test = scores(self.config, epoch)
            progress.evaluated({"epoch": epoch, "validation_score": validation})
        return {"score": {"validation": validation, "test": test}}

    monkeypatch.setattr(Run, "execute", execute)
    return carried


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learning_rate=1e-4..1e-1:log", Range(path="optimizer.learning_rate", low=1e-4, high=0.1, log=True)),
        ("model.neuron.decay=0.5..0.99", Range(path="model.neuron.decay", low=0.5, high=0.99)),
        ("batch-size=16..128", Range(path="budget.batch_size", low=16, high=128, whole=True)),
        ("optimizer.clip=None,0.25,1", Range(path="optimizer.clip", choices=(None, 0.25, 1))),
        ("hidden=64x64,128", Range(path="model.hidden", choices=([64, 64], 128))),
        ("model.norm=batch,layer", Range(path="model.norm", choices=("batch", "layer"))),
    ],
)
def test_ranges_are_read(text: str, expected: Range) -> None:
    assert Range.read(text) == expected


@pytest.mark.parametrize(
    "text", ["learning_rate", "=1..2", "a=", "a=1..b", "a=1..2:exp", "a=2..1", "a=0..1:log", "a=1..inf", "a=1..1"]
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Range.read(text)


def test_what_cannot_be_varied_is_told_before_anything_is_written(tmp_path: Path) -> None:
    for ranges, message in (
        ((), "at least one setting"),
        ((RATES, RATES), "each once"),
        ((Range.read("optimizer.learning_rat=0..1"),), "learning_rat"),
        ((Range.read("model.norm=bach"),), "bach"),
        ((Range.read("epochs=0..3"),), "budget.epochs must be at least 1"),
        ((Range.read("batch_size=1.5..2.5"),), "expected int"),
    ):
        with pytest.raises((ConfigError, UnknownName), match=message):
            Sweep(config=config(), ranges=ranges)
    with pytest.raises(ConfigError, match="at least one trial"):
        sweep(Sweep(config=config(), ranges=(RATES,)), tmp_path / "s.journal", 0)
    assert not list(tmp_path.iterdir())


def test_every_trial_is_an_ordinary_run_and_the_study_goes_on(tmp_path: Path) -> None:
    ranges = (RATES, Range.read("hidden=4,5x3"), Range.read("model.neuron.decay=0.5..0.9"))
    plan = Sweep(config=config(), ranges=ranges, root=tmp_path / "runs", sampler_seed=1)
    heard: list[str] = []
    first = sweep(plan, tmp_path / "s.journal", 2, heard=heard.append)
    records = load_runs(tmp_path / "runs")
    assert len(records) == 2 == len(heard) and all(record.finished for record in records)
    assert first.validation == max(record.result["score"]["validation"] for record in records)
    assert json.loads((first.directory / "result.json").read_text())["score"]["validation"] == first.validation
    assert first.config == plan.described(first.values) and first.config.model.hidden in ((4,), (5, 3))  # type: ignore[attr-defined]
    heard.clear()
    second = sweep(plan, tmp_path / "s.journal", 3, heard=heard.append)
    assert len(heard) == 1 and heard[0].startswith("trial 2: ") and second.trials == {"complete": 3}
    assert second.validation >= first.validation
    heard.clear()
    assert sweep(plan, tmp_path / "s.journal", 3, heard=heard.append) == second and heard == []


def test_validation_alone_chooses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scores(config: RunConfig, epoch: int) -> tuple[float, float]:
        rate = config.optimizer.learning_rate
        return 1 - rate, rate  # the test score would choose the other end

    fake(monkeypatch, scores)
    plan = Sweep(config=config(), ranges=(Range.read("learning_rate=0.1,0.2,0.9"),), root=tmp_path, sampler_seed=0)
    best = sweep(plan, tmp_path / "s.journal", 12)
    assert best.values == {"optimizer.learning_rate": 0.1} and best.validation == pytest.approx(0.9)


def test_a_low_score_wins_where_low_is_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, lambda config, epoch: (100 * config.optimizer.learning_rate, 0.0))
    words = describe_run("ptb", "lif")
    best = sweep(Sweep(config=words, ranges=(Range.read("learning_rate=0.1,0.9"),), root=tmp_path), tmp_path / "j", 8)
    assert best.values == {"optimizer.learning_rate": 0.1}


def test_what_falls_behind_is_pruned_unless_it_shall_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scores(config: RunConfig, epoch: int) -> tuple[float, float]:
        return epoch / 10 * (0.01 if config.optimizer.learning_rate > 0.5 else 1.0), 0.0

    fake(monkeypatch, scores)
    ranges = (Range.read("learning_rate=0.1..0.4"), Range.read("optimizer.weight_decay=0..0.1"))
    plan = Sweep(config=config(epochs=6), ranges=ranges, root=tmp_path, sampler_seed=0)
    sweep(plan, tmp_path / "s.journal", 5)
    wide = dataclasses.replace(plan, ranges=(Range.read("learning_rate=0.1,0.2,0.9"), ranges[1]))
    assert sweep(wide, tmp_path / "s.journal", 30).trials.get("pruned", 0) > 0
    kept = dataclasses.replace(wide, prune=False)
    assert set(sweep(kept, tmp_path / "other.journal", 30).trials) == {"complete"}


def test_a_cut_trial_goes_on_and_a_failed_one_is_counted(tmp_path: Path) -> None:
    class Cut(Progress):
        def trained(self, epoch: int, batch: int, batches: int, metrics: dict[str, float]) -> None:
            signal.raise_signal(signal.SIGINT)

    class Seen(Progress):
        resumed: str | None = None

        def begun(self, config: RunConfig, directory: Path, resumed: str | None) -> None:
            self.resumed = self.resumed or resumed

    plan = Sweep(config=config(), ranges=(RATES,), root=tmp_path / "runs")
    with pytest.raises(Interrupted):
        sweep(plan, tmp_path / "s.journal", 1, progress=Cut())
    seen = Seen()
    best = sweep(plan, tmp_path / "s.journal", 1, progress=seen)
    assert seen.resumed == "epoch 1, batch 1" and best.number == 0 and best.trials == {"complete": 1}
    assert len(load_runs(tmp_path / "runs")) == 1
    wild = Sweep(
        config=dataclasses.replace(describe_run(TASK, "lif", hidden=(8, 6)), budget=Budget(epochs=2, batch_size=16)),
        ranges=(Range.read("learning_rate=1e37"), Range.read("optimizer.clip=None")),
        root=tmp_path / "runs",
    )
    with pytest.raises(RunError, match=r"No trial of the sweep has a score \(1 fail\)"):
        sweep(wild, tmp_path / "s.journal", 1)


def test_a_file_that_is_no_journal_and_a_missing_library_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Sweep(config=config(), ranges=(RATES,), root=tmp_path / "runs")
    (tmp_path / "s.journal").write_text('{"op_code": 99}\n[1, 2]\n')
    with pytest.raises(RunError, match="is no journal of a sweep"):
        sweep(plan, tmp_path / "s.journal", 1)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"needs Optuna.\n.*spikeworks\[arena\]"):
        sweep(plan, tmp_path / "t.journal", 1)


def test_the_command_prints_what_trains_the_best_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [
        "sweep", "--task", "binary-adding", "--neuron", "lif", "--task.steps", "8", "--task.marks", "3",
        "--task.train_size", "48", "--task.validation_size", "24", "--task.test_size", "24", "--hidden", "4",
        "--epochs", "1", "--trials", "1", "--param", "learning_rate=1e-3..1e-1:log", "--study=s.journal", "--quiet",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["spikeworks", *words])
    assert main(words) == 0
    said = capsys.readouterr().out
    again = re.search(r"^  spikeworks (run .*)$", said, re.MULTILINE)
    assert "Best: trial 0, validation accuracy" in said and again is not None
    assert "--trials" not in again[1] and "--study" not in again[1]
    assert main(again[1].split()) == 0
    assert len(load_runs("runs")) == 1, "the printed command means the run that is there"
    assert main([*words[:-4], "--study", "s.journal"][: words.index("--param")]) == 2
    assert "What is varied?" in capsys.readouterr().err
