"""``spikeworks export``: from a finished run to a file that is its network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from spikeworks.arena.config import Budget, RunConfig
from spikeworks.arena.run import Run
from spikeworks.cli.main import main
from spikeworks.models import StackConfig
from spikeworks.neurons import LIF, Reset
from spikeworks.tasks import task_for

nir = pytest.importorskip("nir", reason="needs the package nir: pip install 'spikeworks[nir]'")


def finished(root: Path, reset: Reset) -> Run:
    task = task_for("binary-adding", steps=12, marks=3, train_size=32, validation_size=16, test_size=16)
    model = StackConfig(hidden=(6,), neuron=LIF.Config(reset=reset))
    run = Run(RunConfig(task=task, model=model, budget=Budget(epochs=1, batch_size=16)), root)
    run.execute()
    return run


def test_a_run_becomes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from spikeworks.deploy import import_nir

    run = finished(tmp_path / "runs", Reset(kind="hard"))
    moved = run.directory.rename(tmp_path / "elsewhere")
    assert main(["export", str(moved), "--output", str(tmp_path), "--dt", "0.001"]) == 0
    target = tmp_path / "elsewhere.nir"
    assert capsys.readouterr().out.strip() == str(target)
    run.directory = moved
    x = torch.rand(12, 4, 2)
    network = run.trained().eval()
    torch.testing.assert_close(import_nir(target)(x)[0], network(x)[0], rtol=1e-4, atol=1e-5)


def test_what_cannot_be_exported_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = finished(tmp_path, Reset())
    assert main(["export", str(run.directory), "--output", str(tmp_path / "net.nir")]) == 2
    assert "blocks.0.neuron (LIF)" in capsys.readouterr().err
    assert not (tmp_path / "net.nir").exists()
    (run.directory / "result.json").unlink()
    assert main(["export", str(run.directory)]) == 2
    assert "cannot be exported: no result.json" in capsys.readouterr().err
