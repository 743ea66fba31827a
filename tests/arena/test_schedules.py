"""Modules whose behaviour changes with the progress of training hear of it before every update."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from spikeworks.arena.config import Budget, RunConfig
from spikeworks.arena.loop import Interrupted
from spikeworks.arena.progress import Progress
from spikeworks.arena.resolve import describe_run
from spikeworks.arena.run import Run
from spikeworks.layers import Readout
from spikeworks.tasks import task_for


def two_epochs_of_four_batches() -> RunConfig:
    sizes = {"steps": 12, "marks": 3, "train_size": 64, "validation_size": 32, "test_size": 32}
    config = describe_run(task_for("binary-adding", **sizes), "lif", hidden=(4,))
    return dataclasses.replace(config, budget=Budget(epochs=2, batch_size=16))


class CutAfter(Progress):
    """Ctrl-C after some batches of the second epoch."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def trained(self, epoch: int, batch: int, batches: int, metrics: dict[str, float]) -> None:
        if (epoch, batch) == (2, self.batch):
            raise Interrupted


def test_progress_is_told_before_every_update_and_again_after_a_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[float] = []
    monkeypatch.setattr(Readout, "set_progress", lambda self, progress: heard.append(progress), raising=False)
    whole = [k / 8 for k in range(8)]
    Run(two_epochs_of_four_batches(), tmp_path / "whole").execute()
    assert heard == whole
    heard.clear()
    run = Run(two_epochs_of_four_batches(), tmp_path / "cut")
    with pytest.raises(Interrupted):
        run.execute(CutAfter(2), checkpoint_seconds=0.0)
    assert heard == whole[:6]
    heard.clear()
    run.execute()
    assert heard and heard == whole[-len(heard) :]
