"""Runs: what they leave behind, and that a cut one ends with the numbers of an unbroken one."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from spikeworks.arena.checkpoint import load_checkpoint
from spikeworks.arena.config import Budget, RunConfig
from spikeworks.arena.evaluate import evaluate
from spikeworks.arena.lock import locked
from spikeworks.arena.loop import Interrupted
from spikeworks.arena.progress import Progress
from spikeworks.arena.resolve import describe_run
from spikeworks.arena.run import Run
from spikeworks.core.errors import ConfigError, DataError, RunError, TrainingDiverged
from spikeworks.learning import METHODS
from spikeworks.tasks import task_for

SMALL = {"steps": 12, "marks": 3, "train_size": 64, "validation_size": 32, "test_size": 32}


def small(neuron: str = "lif", **changes: Any) -> RunConfig:
    """A run of four batches an epoch in which everything random takes part."""
    config = describe_run(task_for("binary-adding", **SMALL), neuron, hidden=(8, 6), dropout=0.3, norm="batch")
    budget = Budget(epochs=3, batch_size=16)
    return dataclasses.replace(config, **{"budget": budget, **changes})


def exploding() -> RunConfig:
    """A run whose second loss is no finite number."""
    config = small()
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, norm="none"),
        optimizer=dataclasses.replace(config.optimizer, learning_rate=1e37, clip=None),
    )


def stripped(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what the clock says, and the digest that holds it."""
    return {k: v for k, v in result.items() if k not in ("speed", "seconds", "digest")}


def metrics(run: Run) -> list[dict[str, Any]]:
    lines = (run.directory / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def assert_equal_runs(one: Run, other: Run) -> None:
    read = [json.loads((run.directory / "result.json").read_text()) for run in (one, other)]
    assert stripped(read[0]) == stripped(read[1])
    assert metrics(one) == metrics(other)
    weights = [load_file(run.directory / "best.safetensors") for run in (one, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


class Stop(Progress):
    """Does something when a batch or an epoch has ended."""

    def __init__(self, action: Any, epoch: int, batch: int | None = None) -> None:
        self.action, self.epoch, self.batch = action, epoch, batch

    def trained(self, epoch: int, batch: int, batches: int, metrics: dict[str, float]) -> None:
        if (epoch, batch) == (self.epoch, self.batch):
            self.action()

    def evaluated(self, line: dict[str, Any]) -> None:
        if self.batch is None and line["epoch"] == self.epoch:
            self.action()


def test_a_run_leaves_its_whole_story(tmp_path: Path) -> None:
    config = small("tc-lif")
    run = Run(config, tmp_path)
    result = run.execute()
    assert run.directory == tmp_path / "binary-adding" / f"tc-lif-s0-{config.id}"
    names = {path.name for path in run.directory.iterdir()} - {".lock"}
    assert names == {
        "config.json", "environment.json", "metrics.jsonl", "checkpoint.safetensors",
        "best.safetensors", "sample.safetensors", "result.json",
    }  # fmt: skip
    assert RunConfig.from_dict(json.loads((run.directory / "config.json").read_text())) == config
    assert result["status"] == "finished" and result["schema"] == 1 and result["id"] == config.id
    assert (result["task"], result["model"], result["label"], result["seed"]) == (
        "binary-adding",
        "tc-lif",
        "tc-lif",
        0,
    )
    assert result["metric"] == {"name": "accuracy", "unit": "fraction", "higher_is_better": True}
    assert result["test"]["accuracy"] == result["score"]["test"]
    lines = [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3] and [line["step"] for line in lines] == [4, 8, 12]
    best = lines[result["score"]["chosen_epoch"] - 1]["validation_score"]
    assert best == result["score"]["validation"] == max(line["validation_score"] for line in lines)
    assert lines[0].keys() == {
        "epoch", "step", "train_loss", "train_score", "validation_loss", "validation_score",
        "learning_rate", "seconds", "spike_rates",
    }  # fmt: skip
    assert len(result["spike_rates"]) == 2 and all(0 <= rate <= 1 for rate in result["spike_rates"])
    assert result["energy"]["convention_nj"] > 0 and result["energy"]["memory_aware_nj"] > 0
    assert result["memory"]["saved_bytes"] > 0 and result["speed"]["train_samples_per_second"] > 0
    assert torch.tensor(result["confusion"]).sum() == SMALL["test_size"]
    assert result["parameters"] == sum(p.numel() for p in run.trained().parameters())
    assert set(result["kernels"]) == {"blocks.0.neuron", "blocks.1.neuron"}
    assert all(kernel["backend"] and kernel["reason"] for kernel in result["kernels"].values())
    sample = load_file(run.directory / "sample.safetensors")
    assert (
        sample["input"].shape == (12, 2) and sample["spikes.0"].shape == (12, 8) and sample["spikes.1"].shape == (12, 6)
    )
    assert sample["spikes.0"].dtype == torch.uint8 and sample["target"].dtype == torch.int64
    assert sample["target"].shape == sample["predicted"].shape == ()


def test_a_method_that_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    run = Run(small(method=METHODS.get("adversarial")()), tmp_path)
    with pytest.raises(ConfigError, match="binary-adding has no sounds to measure"):
        run.execute()
    assert not list(tmp_path.rglob("*"))


def test_the_chosen_weights_give_the_recorded_scores(tmp_path: Path) -> None:
    run = Run(small(), tmp_path)
    result = run.execute()
    task = run.config.task.build(None)
    for split in ("validation", "test"):
        seen = evaluate(run.trained(task), task, split, 16, torch.device("cpu"))
        assert seen.values["accuracy"] == result["score"][split]


def test_a_finished_run_is_read_not_repeated(tmp_path: Path) -> None:
    run = Run(small(), tmp_path)
    result = run.execute()
    before = {path: path.stat().st_mtime_ns for path in run.directory.iterdir()}
    assert Run(small(), tmp_path).execute() == result
    assert {path: path.stat().st_mtime_ns for path in run.directory.iterdir()} == before


def test_the_seed_decides_the_numbers(tmp_path: Path) -> None:
    one, same, other = Run(small(), tmp_path / "a"), Run(small(), tmp_path / "b"), Run(small(seed=1), tmp_path)
    for run in (one, same, other):
        run.execute()
    assert_equal_runs(one, same)
    assert metrics(one) != metrics(other)


SCRIPT = """
    import sys
    sys.path.insert(0, {folder!r})
    from test_run import Progress, Run, small

    class Tell(Progress):
        def trained(self, epoch, batch, batches, metrics):
            print(epoch, batch, flush=True)

    Run(small(), sys.argv[1]).execute(Tell(), checkpoint_seconds=float(sys.argv[2]))
"""


@pytest.mark.parametrize("checkpoint_seconds", [0.0, 60.0], ids=["after every batch", "after every epoch"])
def test_a_killed_run_ends_with_the_numbers_of_an_unbroken_one(tmp_path: Path, checkpoint_seconds: float) -> None:
    script = textwrap.dedent(SCRIPT.format(folder=str(Path(__file__).parent)))
    command = [sys.executable, "-c", script, str(tmp_path / "killed"), str(checkpoint_seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.split() == ["2", "3"]:  # the middle of the second epoch
            os.kill(process.pid, signal.SIGKILL)
            break
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    killed, whole = Run(small(), tmp_path / "killed"), Run(small(), tmp_path / "whole")
    assert not (killed.directory / "result.json").exists()
    _, position = load_checkpoint(killed.directory / "checkpoint.safetensors")
    assert position.epoch == 2 and (position.batch > 0) == (checkpoint_seconds == 0.0)
    killed.execute()
    whole.execute()
    assert_equal_runs(killed, whole)
    assert len(json.loads((killed.directory / "environment.json").read_text())["resumed"]) == 1


def test_lines_written_after_the_checkpoint_are_written_again(tmp_path: Path) -> None:
    cut, whole = Run(small(), tmp_path / "cut"), Run(small(), tmp_path / "whole")
    with pytest.raises(Interrupted):
        cut.execute(Stop(lambda: signal.raise_signal(signal.SIGINT), 2, 1))
    with (cut.directory / "metrics.jsonl").open("a") as handle:
        handle.write('{"epoch": 2, "train_lo')  # killed within a line
    cut.execute()
    whole.execute()
    assert_equal_runs(cut, whole)


def test_ctrl_c_keeps_everything_even_between_checkpoints(tmp_path: Path) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    cut, whole = Run(small(), tmp_path / "cut"), Run(small(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        cut.execute(Stop(lambda: signal.raise_signal(signal.SIGINT), 2, 3))
    _, position = load_checkpoint(cut.directory / "checkpoint.safetensors")
    assert (position.epoch, position.batch) == (2, 3)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    cut.execute()
    whole.execute()
    assert_equal_runs(cut, whole)


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    full, whole = Run(small(), tmp_path / "full"), Run(small(), tmp_path / "whole")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:  # a file may not grow beyond 64 bytes any more
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))

    try:
        with pytest.raises(RunError, match=r"Cannot write .*checkpoint.safetensors: File too large"):
            full.execute(Stop(fill, 2), checkpoint_seconds=60)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert load_checkpoint(full.directory / "checkpoint.safetensors")[1].epoch == 2
    full.execute()
    whole.execute()
    assert_equal_runs(full, whole)


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RunError, match=r"Cannot write .*file/binary-adding.*: Not a directory"):
        Run(small(), tmp_path / "file").execute()


def test_missing_data_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train-images"):
        Run(describe_run("s-mnist", "lif"), tmp_path / "runs", tmp_path).execute()
    assert not (tmp_path / "runs").exists()


def test_two_processes_never_write_one_run(tmp_path: Path) -> None:
    run = Run(small(), tmp_path)
    with locked(run.directory), pytest.raises(RunError, match=rf"written by another process \(number {os.getpid()}\)"):
        run.execute()
    assert run.execute()["status"] == "finished"


def test_a_loss_that_is_not_finite_ends_the_run_and_is_recorded(tmp_path: Path) -> None:
    run = Run(exploding(), tmp_path)
    expected = r"in update \d+ at learning rate 1e\+37[\s\S]*Last good checkpoint: .*checkpoint.safetensors"
    with pytest.raises(TrainingDiverged, match=expected):
        run.execute(checkpoint_seconds=0.0)
    recorded = json.loads((run.directory / "result.json").read_text())
    assert recorded["status"] == "diverged" and "learning rate 1e+37" in recorded["error"] and "score" not in recorded
    with pytest.raises(TrainingDiverged, match="learning rate 1e"):
        run.execute()


def test_the_last_good_checkpoint_may_be_none(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="Last good checkpoint: none"):
        Run(exploding(), tmp_path).execute()


def test_patience_ends_training_and_the_best_epoch_is_chosen(tmp_path: Path) -> None:
    budget = Budget(epochs=50, batch_size=16, patience=2)
    optimizer = dataclasses.replace(small().optimizer, learning_rate=1e-9)
    result = Run(small(budget=budget, optimizer=optimizer), tmp_path).execute()
    assert result["epochs"] == result["score"]["chosen_epoch"] + 2 < 50


def test_time_ends_training_within_an_epoch(tmp_path: Path) -> None:
    result = Run(small(budget=Budget(epochs=50, batch_size=16, max_seconds=1e-6)), tmp_path).execute()
    assert result["epochs"] == 1 and result["status"] == "finished"
    (line,) = metrics(Run(small(budget=Budget(epochs=50, batch_size=16, max_seconds=1e-6)), tmp_path))
    assert line["step"] == 1


def test_the_test_split_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def spy(network: Any, task: Any, split: str, *rest: Any) -> Any:
        seen.append(split)
        return evaluate(network, task, split, *rest)

    monkeypatch.setattr("spikeworks.arena.loop.evaluate", spy)
    monkeypatch.setattr("spikeworks.arena.finish.evaluate", spy)
    Run(small(), tmp_path).execute()
    assert seen == ["validation"] * 3 + ["test"]


def test_damage_is_named(tmp_path: Path) -> None:
    run = Run(small(), tmp_path)
    with pytest.raises(Interrupted):
        run.execute(Stop(lambda: signal.raise_signal(signal.SIGINT), 2, 1))
    path = run.directory / "config.json"
    kept = path.read_text()
    path.write_text(kept.replace('"seed": 0', '"seed": 7'))
    with pytest.raises(RunError, match=r"config.json describes another run"):
        run.execute()
    path.write_text(kept)
    (run.directory / "checkpoint.safetensors").write_bytes(b"half")
    with pytest.raises(RunError, match=r"checkpoint.safetensors cannot be read as a checkpoint"):
        run.execute()
    (run.directory / "result.json").write_text("{")
    with pytest.raises(RunError, match=r"result.json is damaged"):
        run.execute()
