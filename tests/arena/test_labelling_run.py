"""A task with a class at every step goes through runs, reports, memory studies, the probe and the command line."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from spikeworks import kernels
from spikeworks.arena.config import Budget
from spikeworks.arena.memories import random_batch, study_memory, update_memory
from spikeworks.arena.probe_gain import values
from spikeworks.arena.probe_page import render as probe_page
from spikeworks.arena.probe_plan import plan_probe
from spikeworks.arena.probe_run import probe
from spikeworks.arena.report import render
from spikeworks.arena.resolve import describe_run
from spikeworks.arena.run import Run
from spikeworks.arena.store import load_runs
from spikeworks.arena.submit import check
from spikeworks.cli.main import main
from spikeworks.core.errors import UnknownName
from spikeworks.learning import METHODS, BPTTConfig
from spikeworks.optim import SGDConfig
from spikeworks.tasks import task_for

TASK = task_for("qtdb-ecg", steps=20)


@pytest.fixture(autouse=True)
def _root(data_set):
    data_set("qtdb_ecg")
    with kernels.use("torch"):
        yield


def brief(config):
    model = dataclasses.replace(config.model, hidden=(6,))
    return dataclasses.replace(config, model=model, budget=Budget(epochs=2, batch_size=256))


def test_a_run_from_description_to_report(tmp_path, data_root):
    config = brief(describe_run(TASK, "lif"))
    run = Run(config, tmp_path, data_root)
    result = run.execute()
    targets = run.config.task.build(data_root).data("test").targets
    confusion = torch.tensor(result["confusion"])
    assert result["metric"]["name"] == "accuracy" and int(confusion.sum()) == int((targets >= 0).sum())
    assert result["score"]["test"] == int(confusion.diagonal().sum()) / int(confusion.sum())
    lines = [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2] and lines[1]["train_loss"] < lines[0]["train_loss"]
    (record,) = load_runs(tmp_path)
    page = render([record])
    assert "qtdb-ecg" in page and "wave 3" in page and "answered wave" not in page
    assert check(run.directory).problems == ()


def test_values_are_shares_of_the_labelled_steps(data_root, tmp_path):
    config = brief(describe_run(TASK, "lif"))
    task = TASK.build(data_root)
    network = Run(config, tmp_path, data_root).network(task)
    data, found = task.data("validation"), values(network, task, 16, "validation")
    batch = data.batch(torch.arange(len(data)))
    with torch.no_grad():
        answers = network(batch.x)[0].argmax(2).t()
    expected = []
    for answer, target in zip(answers.tolist(), batch.target.tolist(), strict=True):
        right = [a == t for a, t in zip(answer, target, strict=True) if t >= 0]
        expected += [sum(right) / len(right)] if right else []
    assert found.tolist() == pytest.approx(expected)


def test_the_probe_reads_every_step(data_root, tmp_path):
    found = probe(TASK, "lif", seeds=1, horizons="none", root=tmp_path, data_root=data_root, change=brief)
    assert [score.readout for score in found.scores] == ["every"] * 3 and len(found.outcomes) == 3
    targets = TASK.build(data_root).data("test").targets
    labels = targets[targets >= 0].long()
    assert found.chance == pytest.approx(torch.bincount(labels).max().item() / len(labels))
    assert "every step" in probe_page(found)
    with pytest.raises(UnknownName, match="readout for task qtdb-ecg 'mean'"):
        plan_probe(TASK, "lif", readouts=["mean"], data_root=data_root, change=brief)
    planned = plan_probe(TASK, "lif", seeds=[0], horizons="short", data_root=data_root, change=brief)
    assert [(t.mode, t.reach, t.window) for t in planned if t.reach] == [
        (mode, reach, reach) for reach in (4, 16) for mode in ("credit", "memory")
    ]


def test_memory_of_an_update(data_root):
    task = TASK.build(data_root)
    network = Run(brief(describe_run(TASK, "lif")), data_root=data_root).network(task)
    batch = random_batch(task, 40, 3)
    assert batch.labelled and batch.target.shape == (3, 40) and batch.count == 120
    assert update_memory(network, BPTTConfig(), task, batch, SGDConfig(learning_rate=0.1)).saved_peak > 0
    methods = {name: METHODS.get(name)() for name in ("bptt", "sltt")}
    config = brief(describe_run(TASK, "lif"))
    study = study_memory(config, methods, steps=(8, 16), depths=(2,), batch_size=2, data_root=str(data_root), run=True)
    assert not study.refused and len(study.by_steps) == 4


def test_the_command_line(data_root, tmp_path, capsys):
    words = ["run", "--task", "qtdb-ecg", "--task.steps", "20", "--hidden", "6", "--batch-size", "128"]
    words += ["--neuron", "lif", "--out", str(tmp_path), "--data", str(data_root)]
    assert main([*words, "--predict-memory"]) == 0
    assert "loss" in capsys.readouterr().out
    assert main([*words, "--epochs", "1", "--method", "sltt", "--quiet"]) == 0
    assert "accuracy" in capsys.readouterr().out
