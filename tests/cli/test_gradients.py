"""``spikeworks gradients`` and ``spikeworks memory``: tables, pages, and mistakes in words."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch

from spikeworks import kernels
from spikeworks.arena.gradients import study_gradients
from spikeworks.arena.memories import deeper, longer, random_batch, study_memory, update_memory
from spikeworks.arena.memory_page import deviation, growth
from spikeworks.arena.resolve import describe_run
from spikeworks.arena.run import Run
from spikeworks.cli.main import main
from spikeworks.core import quantities
from spikeworks.core.credit import Credit, set_credit
from spikeworks.core.errors import ConfigError
from spikeworks.core.seeds import stream
from spikeworks.learning import METHODS, BPTTConfig, OTTTConfig, SDBPConfig, SLTTConfig, TruncatedConfig
from spikeworks.learning.forecast import Forecast
from spikeworks.learning.observatory import agreements
from spikeworks.models import StackConfig
from spikeworks.models.resnet import ResNet18Config
from spikeworks.models.vgg import ConvNetConfig
from spikeworks.neurons import LIF, config_for
from spikeworks.tasks import task_for

SIZES = {"steps": 12, "marks": 2, "train_size": 66, "validation_size": 18, "test_size": 18}
SMALL = ["--task", "binary-adding", *(w for k, v in SIZES.items() for w in (f"--task.{k}", str(v))), "--quiet"]
SUBJECT = [*SMALL, "--neuron", "lif", "--hidden", "9", "7", "--batch-size", "8"]


def words(line: str) -> list[str]:
    return line.split()


def test_the_table_and_the_page_hold_what_the_observatory_finds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gradients", *SUBJECT, "--methods", "bptt,sltt,stdl", "--output", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    page = (tmp_path / "gradients.html").read_text()
    assert out.splitlines()[0] == "untrained, seed 0: one batch of 8 training sequences, up to 12 steps"
    assert out.rstrip().endswith(f"Page: {tmp_path / 'gradients.html'}")
    rows = {words(line)[0]: words(line) for line in out.splitlines() if words(line)[:1]}
    assert rows["bptt"][2:] == ["1.00", "×", "1.00"] * 4  # two blocks, the readout, all
    assert rows["sltt"][1:3] == ["each", "step"] and rows["stdl"][1:3] == ["each", "step"]
    assert (
        page.count("<svg") == 2
        and "blue: the same direction" in page
        and "http://" not in page.replace("http://www.w3.org", "")
    )
    for cosine in rows["sltt"][3::3]:
        assert cosine in page

    config = describe_run("binary-adding", "lif", hidden=(9, 7))
    config = dataclasses.replace(config, task=task_for("binary-adding", **SIZES))
    task = config.task.build()
    network = Run(config).network(task)
    study = study_gradients(network, task, {"sltt": SLTTConfig()}, batches=1, batch_size=8)
    shown = [f"{study.rows['sltt', layer].cosine:.2f}" for layer in study.layers]
    assert shown == [f"{float(cosine):.2f}" for cosine in rows["sltt"][3::3]]


def test_means_over_batches_and_refused_methods() -> None:
    config = describe_run("seq-digits", LIF.Config(decay=0.8), hidden=(6, 5), norm="batch")
    task = config.task.build()
    network = Run(config).network(task)
    before = {name: p.clone() for name, p in network.state_dict().items()}
    methods = {"bptt": BPTTConfig(), "ottt": OTTTConfig(), "tbptt": TruncatedConfig(window=8, chunk=None)}
    heard: list[str] = []
    study = study_gradients(network, task, methods, batches=2, batch_size=4, seed=3, heard=heard.append)
    assert heard == ["bptt", "ottt", "tbptt"] and study.methods == ("bptt", "tbptt")
    assert "normalises over all steps" in study.refused["ottt"]
    assert (study.batches, study.size, study.steps) == (2, 4, 64) and study.layers[-1] == "all"
    assert all(torch.equal(before[name], p) for name, p in network.state_dict().items())
    data = task.data("train")
    singles = [
        next(
            row.cosine
            for row in agreements(network, task, data.batch(item), {"tbptt": methods["tbptt"]}, seed=3)
            if row.layer == "all"
        )
        for item in data.plan(4, stream(3, "gradients"))[:2]
    ]
    assert study.rows["tbptt", "all"].cosine == pytest.approx(sum(singles) / 2, rel=1e-6)
    with pytest.raises(ConfigError, match="None of ottt can learn this network"):
        study_gradients(network, task, {"ottt": OTTTConfig()}, batch_size=4)


def test_a_network_trained_with_less_credit_is_compared_with_all_of_it() -> None:
    config = describe_run("seq-digits", "lif", hidden=(6,))
    task = config.task.build()
    network = Run(dataclasses.replace(config, method=SDBPConfig())).network(task)
    assert next(m for _, m in network.neurons()).credit == Credit(window=1)
    study = study_gradients(network, task, {"sdbp": SDBPConfig()}, batch_size=4)
    assert study.rows["sdbp", "block 0"].cosine < 0.9999
    set_credit(network, Credit())
    whole = study_gradients(network, task, {"sdbp": SDBPConfig()}, batch_size=4)
    assert whole.rows == study.rows


def test_a_run_before_and_after_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--out", str(tmp_path / "runs")]
    run = ["run", *SMALL, "--neuron", "lif", "--hidden", "6"]
    assert main([*run, "--epochs", "1", *place]) == 0
    (folder,) = (tmp_path / "runs" / "binary-adding").iterdir()
    capsys.readouterr()
    asked = ["gradients", "--trained", folder.name, "--methods", "bptt,sdbp", "--quiet", *place]
    assert main([*asked, "--output", str(tmp_path / "page.html")]) == 0
    out = capsys.readouterr().out
    assert "untrained, seed 0: one batch of 32" in out and f"trained: {folder.name}: one batch" in out
    lines = [words(line) for line in out.splitlines() if words(line)[:1] == ["sdbp"]]
    assert len(lines) == 2 and lines[0] != lines[1]
    assert (tmp_path / "page.html").read_text().count("<svg") == 4
    assert main([*asked, "--neuron", "lif"]) == 2
    assert "--trained brings its own task and network; leave out --neuron" in capsys.readouterr().err


def test_memory_is_measured_and_foretold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--methods", "bptt,tbptt,local", "--steps", "20,40", "--depths", "1,3", "--output", str(tmp_path)]
    assert main(["memory", *SUBJECT, *options]) == 0
    out = capsys.readouterr().out
    page = (tmp_path / "memory.html").read_text()
    assert [line for line in out.splitlines() if line.startswith("Bytes")] == [
        "Bytes kept for backward, by steps of a sequence; 8 sequences",
        "Bytes alive at once, by steps of a sequence; 8 sequences",
        "Bytes kept for backward, by blocks; 8 sequences",
        "Bytes alive at once, by blocks; 8 sequences",
    ]
    bptt = [line for line in out.splitlines() if words(line)[:1] == ["bptt"]]
    factor, asked = re.findall(r"× ([\d.]+) for × ([\d.]+)", bptt[0])[0]
    assert (float(factor), float(asked)) == (pytest.approx(2.0, abs=0.1), 2.0)
    assert page.count("<svg") == 4 and "Lines: measured" in page

    config = describe_run("binary-adding", "lif", hidden=(9, 7))
    task = task_for("binary-adding", **SIZES).build()
    network = Run(config).network(task)
    seen = update_memory(network, BPTTConfig(), task, random_batch(task, 40, 8), config.optimizer)
    assert quantities.size(seen.saved_peak).replace("\xa0", " ") in " ".join(words(bptt[0]))


def test_only_foretold_runs_nothing_and_says_the_same(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = ["--methods", "bptt", "--steps", "30", "--depths", "2", "--output", str(tmp_path)]
    tables = []
    for more in ([], ["--foretold"]):
        assert main(["memory", *SUBJECT, *options, *more]) == 0
        tables.append([words(line) for line in capsys.readouterr().out.splitlines() if words(line)[:1] == ["bptt"]])
    measured, foretold = tables
    assert measured[0][:3] == foretold[0][:3] and foretold[0][-1] == "–"


def test_points_know_their_growth_and_their_error() -> None:
    config = describe_run("seq-digits", "lif", hidden=(8,))
    with kernels.use("loop"):
        study = study_memory(
            config, {"sltt": SLTTConfig(chunk=4), "bptt": BPTTConfig()}, steps=(8, 32), depths=(1, 2), batch_size=4
        )
    by = {name: [p for p in study.by_steps if p.method == name] for name in ("sltt", "bptt")}
    assert growth(by["sltt"], "steps", "saved") == "× 1.00 for × 4"
    assert 3.0 < (by["bptt"][1].saved or 0) / (by["bptt"][0].saved or 1) < 4.1
    assert abs(float(deviation(by["bptt"], "saved").removesuffix(" %"))) < 1
    off = dataclasses.replace(by["bptt"][0], saved=1000, foretold=Forecast(saved=950, live=1))
    assert deviation([off, by["bptt"][1]], "saved") == "-5.0 %" and deviation([], "saved") == "–"
    assert {p.depth for p in study.by_depth} == {1, 2} and study.size == 4


def test_depth_and_length_of_descriptions() -> None:
    model = StackConfig(hidden=(5, 4, 3), recurrent=(True, False, False), neuron=config_for("psn", steps=16))
    deep = deeper(dataclasses.replace(model, neuron=LIF.Config()), 2)
    assert isinstance(deep, StackConfig) and deep.hidden == (5, 5) and deep.recurrent == (True, True)
    longest = longer(dataclasses.replace(model, recurrent=()), 40)
    assert isinstance(longest, StackConfig) and longest.neuron.steps == 40  # type: ignore[attr-defined]
    conv = deeper(ConvNetConfig(channels=(4, 8), strides=(2, 2)), 3)
    assert isinstance(conv, ConvNetConfig) and (conv.channels, conv.strides) == ((4, 4, 4), (1, 1, 1))
    assert deeper(ResNet18Config(), 4) is None


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["gradients", *SUBJECT, "--methods", "bptt,otto"], "Did you mean 'ottt'"),
        (["gradients", *SUBJECT, "--methods", ","], "--methods names none"),
        (["gradients", *SUBJECT, "--methods", "bptt", "--batches", "0"], "at least 1 batch, got 0"),
        (["gradients", *SUBJECT, "--optimizer.clip", "1"], "--optimizer.clip changes how a run is trained"),
        (["gradients", *SMALL], "Which neuron?"),
        (["gradients", *SUBJECT[:-1], "none"], "--batch-size is a number of sequences from 1 on, got none"),
        (["memory", *SUBJECT, "--steps", "10,x"], "--steps is a list of whole numbers from 1 on"),
        (["memory", *SUBJECT, "--depths", "0"], "--depths is a list of whole numbers from 1 on"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_are_named(command: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    assert said in capsys.readouterr().err


def test_every_method_is_looked_at_by_default(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["gradients", *SUBJECT, "--output", str(tmp_path)]) == 0
    shown = {words(line)[0] for line in capsys.readouterr().out.splitlines() if words(line)[:1]}
    assert set(METHODS.names()) <= shown
