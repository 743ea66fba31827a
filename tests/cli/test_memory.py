"""``--predict-memory`` prints what the meter finds, without training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from spikeworks.arena.resolve import describe_run
from spikeworks.arena.run import Run
from spikeworks.cli.main import main
from spikeworks.core import quantities
from spikeworks.measure import memory


@pytest.mark.parametrize("mode", ["full", "packed"])
def test_the_table_holds_what_the_meter_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str) -> None:
    words = ["run", "--task", "seq-digits", "--neuron", "tc-lif", "--hidden", "32", "16", "--batch-size", "24"]
    assert main([*words, "--model.memory", mode, "--predict-memory", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"# {tmp_path}/seq-digits/tc-lif-s0-") and list(tmp_path.iterdir()) == []
    assert lines[1].startswith("kept for the gradient over all 64 steps of 24 sequences")
    assert lines[2].split() == ["part", "full", "packed"] and lines[-1].endswith(f"--model.memory {mode}")

    config = describe_run("seq-digits", "tc-lif", hidden=(32, 16), memory=mode)
    task = config.task.build()
    data = task.data("train")
    batch = data.batch(torch.arange(24))
    found = memory(Run(config).network(task), batch.x, loss=lambda output: task.loss(output, batch))
    column = {"full": 0, "packed": 1}[mode]
    table = {words[0]: words[1:] for words in map(str.split, lines[3:-1])}
    shown = {name: f"{values[2 * column]} {values[2 * column + 1]}" for name, values in table.items()}
    expected = {**found.parts, "total": found.saved_bytes, "parameters": found.parameter_bytes}
    assert shown == {name: quantities.size(size).replace("\xa0", " ") for name, size in expected.items()}


def test_a_comparison_has_a_table_for_each_neuron(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "--task", "seq-digits", "--neurons", "lif,plif", "--seeds", "2", "--hidden", "8"]
    assert main([*words, "--predict-memory", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("/")[-1].split("-")[0] for line in lines if line.startswith("#")] == ["lif", "plif"]
