"""Tasks whose answer is a sequence go through everything that asks for a task: runs, methods, memory, probe, report."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import pytest
import torch

from spikeworks import kernels
from spikeworks.arena.config import Budget
from spikeworks.arena.memories import random_batch, study_memory, update_memory
from spikeworks.arena.probe_run import probe
from spikeworks.arena.report import render
from spikeworks.arena.resolve import describe_run
from spikeworks.arena.run import Run
from spikeworks.arena.store import load_runs
from spikeworks.cli.main import main
from spikeworks.core.batch import Batch
from spikeworks.core.errors import ConfigError
from spikeworks.data.deep_filter import Mask
from spikeworks.data.drawn import DrawnDataset, join_transcribed
from spikeworks.data.stft import Stft
from spikeworks.layers import ReadoutConfig
from spikeworks.learning import METHODS, BPTTConfig, Plan
from spikeworks.learning.forecast import forecast
from spikeworks.models import StackConfig
from spikeworks.optim import SGDConfig
from spikeworks.tasks import SPLITS, Signature, task_for
from spikeworks.tasks.denoising import DenoisingTask, Front
from spikeworks.tasks.transcription import TranscriptTask

HOP = 4
STEPWISE = ("online", "sltt", "ottt", "eprop", "ostl", "tbptt", "local", "stdl")
WHOLE = ("bptt", "sdbp", "notd", "auglocal")
HEARING = ("adversarial",)


def pair(position: int, draw: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(100 * position + draw % 97)
    clean = torch.sin(torch.arange(80 + HOP * position) / 3.0)
    return torch.stack([clean, clean + 0.5 * torch.randn(len(clean), generator=generator)])


def spoken(position: int, draw: int) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.randint(1, 4, (2 + position % 2,), generator=torch.Generator().manual_seed(position))
    frames = torch.nn.functional.one_hot(labels, 4).float().repeat_interleave(3, 0)
    return frames, labels


class Waves(DenoisingTask):
    """Sines in noise, of unequal lengths."""

    def _load(self, split):
        return {name: DrawnDataset(6, lambda i, d, k=k: pair(10 * k + i, d), self.front.join) for k, name in _SPLITS}


class Words(TranscriptTask):
    """Blocks of one-hot frames, of unequal lengths."""

    def _load(self, split):
        return {name: DrawnDataset(6, lambda i, d, k=k: spoken(10 * k + i, d), join_transcribed) for k, name in _SPLITS}


_SPLITS = list(enumerate(SPLITS))
KINDS = ("signal", "transcript")


def task_of(kind: str):
    config = task_for("ndns") if kind == "signal" else task_for("aishell")
    if kind == "signal":
        return Waves(config, Front(Stft(window=16, hop=HOP), "raw"), Mask("magnitude"), 0.001, rate=100, steps=None)
    return Words(config, Signature(steps=None, inputs=4, outputs=4, kind="transcript"))


@pytest.fixture(autouse=True)
def _without_a_compiler():
    with kernels.use("torch"):
        yield


def network_of(task):
    stack = StackConfig(hidden=(8, 6, 5), readout=ReadoutConfig(kind="every"))
    return stack.build(task.signature.inputs, task.signature.outputs, torch.Generator().manual_seed(0))


def a_batch(task, size: int = 4) -> Batch:
    data = task.data("train")
    return data.batch(data.plan(size)[0])


# -- learning methods ----------------------------------------------------------------------------


def test_the_lists_hold_every_method():
    assert {*STEPWISE, *WHOLE, *HEARING} == set(METHODS.names())


@pytest.mark.parametrize("name", STEPWISE)
@pytest.mark.parametrize("kind", KINDS)
def test_methods_that_learn_from_every_step_say_why_not(kind, name):
    task = task_of(kind)
    plan = Plan.of_one(a_batch(task), SGDConfig(learning_rate=0.1))
    with pytest.raises(ConfigError) as caught:
        METHODS.get(name)().build(network_of(task), task, plan)
    text = str(caught.value)
    assert text.startswith(f"Method {name} learns from a loss at every step, and {task.whole_loss}.") and "bptt" in text


@pytest.mark.parametrize(("kind", "name"), [*itertools.product(KINDS, WHOLE), ("signal", "adversarial")])
def test_methods_with_the_loss_of_the_sequence_learn(kind, name):
    if name in HEARING:
        pytest.importorskip("pystoi")
    task, method = task_of(kind), METHODS.get(name)()
    batch, network = a_batch(task), network_of(task)
    method.prepare(network)
    learner = method.build(network, task, Plan.of_one(batch, SGDConfig(learning_rate=0.05)))
    losses = [learner.update(batch)["loss"] for _ in range(12)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["local", "tbptt"])
def test_asking_for_the_loss_of_the_sequence_is_enough(kind, name):
    task = task_of(kind)
    method = METHODS.get(name)(loss="sequence", chunk=None)  # type: ignore[call-arg]
    learner = method.build(network_of(task), task, Plan.of_one(a_batch(task), SGDConfig(learning_rate=0.05)))
    assert learner.update(a_batch(task))["count"] == 4


@pytest.mark.parametrize("kind", KINDS)
def test_counts_are_sequences_so_that_shares_weigh_what_they_hold(kind):
    batch = a_batch(task_of(kind), 5)
    assert batch.count == 5 and batch.rows(slice(0, 2)).count == 2
    task, network = task_of(kind), network_of(task_of(kind))
    with torch.no_grad():
        whole, first, rest = (
            task.loss(network(b.x, None, b.mask)[0], b).item()
            for b in (batch, batch.rows(slice(0, 2)), batch.rows(slice(2, 5)))
        )
    assert whole == pytest.approx((2 * first + 3 * rest) / 5, rel=1e-5)


# -- memory, probe -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_random_batches_can_be_learnt_from(kind):
    task = task_of(kind)
    for steps in (5, 40):
        batch = random_batch(task, steps, 3)
        assert batch.size == 3 and batch.length == steps
        assert torch.isfinite(task.loss(network_of(task)(batch.x)[0], batch))


def test_the_memory_of_an_update_is_foretold_for_waves():
    task = task_of("signal")
    batch = random_batch(task, 40, 3)
    found = update_memory(network_of(task), BPTTConfig(), task, batch, SGDConfig(learning_rate=0.1))
    told = forecast(network_of(task), BPTTConfig(), task, batch.x.shape)
    assert told is not None and told.saved == pytest.approx(found.saved_peak, rel=0.02)


def test_what_ctc_takes_depends_on_the_numbers_and_is_not_foretold():
    task = task_of("transcript")
    assert forecast(network_of(task), BPTTConfig(), task, (40, 3, 4)) is None
    with pytest.raises(ConfigError, match="(?s)cannot be known from shapes: .*ctc_loss.*use bptt or auglocal"):
        method = METHODS.get("stdl")(loss="sequence")  # type: ignore[call-arg]
        method.build(network_of(task), task, Plan.of_one(a_batch(task), SGDConfig(learning_rate=0.1)))


def test_stdl_plans_for_waves():
    task = task_of("signal")
    method = METHODS.get("stdl")(loss="sequence")  # type: ignore[call-arg]
    learner = method.build(network_of(task), task, Plan.of_one(a_batch(task), SGDConfig(learning_rate=0.1)))
    assert learner.update(a_batch(task))["count"] == 4


@pytest.fixture(scope="module")
def brief(data_set, data_root):
    data_set("fsdd"), data_set("esc10")
    small = {"train_size": 6, "validation_size": 4, "test_size": 4}
    return data_root, {
        "signal": task_for("denoise-digits", train_seconds=0.5, test_seconds=0.5, **small),
        "transcript": task_for("digit-strings", longest=2, stack=4, **small),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_memory_study_refuses_by_name_and_measures_the_rest(brief, kind):
    root, tasks = brief
    config = describe_run(tasks[kind], "lif", hidden=(6, 6))
    methods = {name: METHODS.get(name)() for name in ("bptt", "sltt")}
    study = study_memory(config, methods, steps=(8, 16), depths=(2,), batch_size=2, data_root=str(root), run=True)
    assert set(study.refused) == {"sltt"} and "learns from a loss at every step" in study.refused["sltt"]
    assert [point.method for point in study.by_steps] == ["bptt", "bptt"]
    assert all(point.saved and point.live for point in study.by_steps)


@pytest.mark.parametrize("kind", KINDS)
def test_a_probe_says_why_not(brief, tmp_path, kind):
    root, tasks = brief
    with pytest.raises(ConfigError, match=f"(?s)class or the next token, and task .* asks for a {kind}.*--method notd"):
        probe(tasks[kind], "lif", seeds=1, root=tmp_path, data_root=root)
    assert not list(tmp_path.iterdir())


# -- runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_from_description_to_report(brief, tmp_path, kind):
    root, tasks = brief
    config = describe_run(tasks[kind], "lif", hidden=(6,))
    config = dataclasses.replace(config, budget=Budget(epochs=2, batch_size=4))
    result = Run(config, tmp_path, root).execute()
    metric = {"signal": "si_snr", "transcript": "cer"}[kind]
    assert result["status"] == "finished" and result["metric"]["name"] == metric
    assert result["score"]["test"] == result["test"][metric] and result["confusion"] is None
    if kind == "signal":
        figures = result["test"]
        assert figures["si_snr_improvement"] == pytest.approx(figures["si_snr"] - figures["noisy_si_snr"])
    lines = (Run(config, tmp_path, root).directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    (record,) = load_runs(tmp_path)
    sample = record.sample()
    assert sample is not None and sample.target is None and sample.predicted is None and len(sample.spikes) == 1
    page = render([record])
    assert metric in page and ("dB" in page if kind == "signal" else "lower is better" in page)
    assert "answered" not in page


def test_the_command_line_foretells_memory_and_compares(brief, tmp_path: Path, capsys):
    root, _ = brief
    words = ["--hidden", "6", "--batch-size", "4", "--out", str(tmp_path), "--data", str(root)]
    brief_task = ["--task.train_seconds", "0.5", "--task.test_seconds", "0.5", "--task.test_size", "4"]
    brief_task += ["--task.train_size", "6", "--task.validation_size", "4"]
    denoise = ["run", "--task", "denoise-digits", "--neuron", "lif", *words, *brief_task]
    assert main([*denoise, "--predict-memory"]) == 0
    assert "loss" in capsys.readouterr().out
    assert main(["run", "--task", "digit-strings", "--neuron", "lif", *words, "--predict-memory"]) != 0
    assert "its code, or the loss, reads values (aten._ctc_loss" in capsys.readouterr().err
    assert main([*denoise, "--method", "eprop", "--epochs", "1"]) != 0
    assert "Method eprop learns from a loss at every step" in capsys.readouterr().err
    compare = [
        "compare",
        "--task",
        "denoise-digits",
        "--neurons",
        "lif,plif",
        "--seeds",
        "1",
        "--epochs",
        "1",
        *words,
        *brief_task,
    ]
    assert main(compare) == 0
    assert "si_snr" in capsys.readouterr().out
