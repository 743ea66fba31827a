from __future__ import annotations

import dataclasses
import hashlib

import pytest
import torch

from spikeworks.arena.resolve import describe_run
from spikeworks.arena.run import Run
from spikeworks.core.errors import ConfigError
from spikeworks.tasks import DelayedCueConfig
from spikeworks.tasks.delayed_cue import CHANNELS, CUE, QUERY, SILENT, expand_channels

SMALL = {"lag": 40, "train_size": 200, "validation_size": 40, "test_size": 40}


@pytest.fixture(scope="module")
def task():
    return DelayedCueConfig(**SMALL).build()


@pytest.mark.parametrize(("split", "size"), [("train", 200), ("validation", 40), ("test", 40)])
def test_a_sequence_is_silence_cue_lag_and_query(task, split, size):
    data = task.data(split)
    batch = data.batch(torch.arange(len(data)))
    assert batch.x.shape == (SILENT + CUE + 40 + QUERY, size, CHANNELS)
    cues, distractors, query = batch.x[..., :2], batch.x[..., 2:-1], batch.x[..., -1]
    shown = slice(SILENT, SILENT + CUE)
    expected = torch.nn.functional.one_hot(batch.target, 2).float()
    assert torch.equal(cues[shown], expected.expand(CUE, size, 2))
    assert torch.equal(cues.sum(0), CUE * expected)
    assert query[-QUERY:].all() and query.sum() == QUERY * size
    lag = distractors[SILENT + CUE : -QUERY]
    assert lag.sum() == distractors.sum() and abs(lag.mean().item() - 0.2) < 0.02
    assert torch.bincount(batch.target).tolist() == [size // 2, size // 2]


def test_distractors_do_not_tell_the_cue(task):
    data = task.data("train")
    batch = data.batch(torch.arange(len(data)))
    rates = [batch.x[:, batch.target == k, 2:-1].mean(1) for k in (0, 1)]
    assert (rates[0] - rates[1]).abs().max() < 0.35  # of 100 sequences each: 6 standard deviations


def test_the_size_of_the_issue_and_its_seed():
    full = DelayedCueConfig()
    assert full.steps == full.build().signature.steps == 515 and full.defaults().readout == "last"
    digests = [
        hashlib.sha256(DelayedCueConfig(**SMALL, seed=seed).build().data("train").inputs.numpy()).hexdigest()
        for seed in (0, 0, 1)
    ]
    assert digests[0] == digests[1] != digests[2]
    assert digests[0] == GOLDEN


GOLDEN = "d4760e82e5590061f6de0c5b204b4be3c557ff0d623142634ffd0e04c43dd0eb"


def test_bits_and_channels():
    stored = torch.tensor([[0b10000001, 0b01000110]], dtype=torch.uint8)
    expected = [[[1, 0, 0, 0, 0, 0, 0, 1]], [[0, 1, 1, 0, 0, 0, 1, 0]]]
    assert expand_channels(stored).tolist() == expected


def test_errors():
    with pytest.raises(ConfigError, match="expected a lag of at least 1 step, got 0"):
        DelayedCueConfig(lag=0)
    with pytest.raises(ConfigError, match=r"expected a distraction in \(0, 1\), got 1.0"):
        DelayedCueConfig(distraction=1.0)
    with pytest.raises(ConfigError, match="train_size must be a positive multiple of 2.*got 11"):
        DelayedCueConfig(train_size=11)


def trained(neuron: str, folder, seed: int = 0, *, task=None, model=None, **budget) -> float:
    """Accuracy on the test split after the task's own recipe, or a smaller one."""
    config = describe_run(DelayedCueConfig(**(task or {})), neuron, seed=seed, **(model or {}))
    config = dataclasses.replace(config, budget=dataclasses.replace(config.budget, **budget))
    return Run(config, folder).execute()["test"]["accuracy"]


def test_a_short_lag_is_remembered_by_pmsn_alone(tmp_path):
    task = {"lag": 100, "train_size": 400, "validation_size": 40, "test_size": 200}
    small = {"task": task, "model": {"hidden": (32,)}, "epochs": 8, "batch_size": 20}
    assert trained("pmsn", tmp_path / "pmsn", **small) >= 0.95
    assert trained("lif", tmp_path / "lif", **small) <= 0.6


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_lag_of_500_is_remembered_by_pmsn_alone(tmp_path, seed):
    """The bar of the neuron's sheet: PMSN from 95 %, LIF up to 60 %, with one recipe."""
    torch.set_num_threads(2)
    assert trained("pmsn", tmp_path / "pmsn", seed) >= 0.95
    assert trained("lif", tmp_path / "lif", seed, epochs=4) <= 0.6
