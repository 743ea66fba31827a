from __future__ import annotations

import pytest
import torch
from tests.tasks.learn import learn

from spikeworks.core.batch import UNLABELLED
from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.data.qtdb import load_qtdb
from spikeworks.tasks import SPLITS
from spikeworks.tasks.qtdb_ecg import QtdbEcgConfig


@pytest.fixture(scope="module")
def task(request):
    request.getfixturevalue("data_set")("qtdb_ecg")
    task = QtdbEcgConfig().build(request.getfixturevalue("data_root"))
    task.data("train")
    return task


def test_splits_are_stretches_of_the_published_files_with_gaps(task, data_root):
    files = load_qtdb(data_root)
    train, validation, test = (task.data(split) for split in SPLITS)
    firsts = (93, 299, 505)
    held = [i for first in firsts for i in range(first, first + 21)]
    left = [i for i in range(618) if all(i < first - 10 or i >= first + 21 + 10 for first in firsts)]
    for split, index in ((validation, held), (train, left)):
        assert torch.equal(split.inputs, files["train"].events[index])
        assert torch.equal(split.targets, files["train"].waves[index])
    assert torch.equal(test.inputs, files["test"].events) and torch.equal(test.targets, files["test"].waves)


def test_steps_without_a_wave_count_nowhere(task):
    data = task.data("test")
    batch = data.batch(torch.arange(4))
    assert batch.x.shape == (1301, 4, 4) and 0 < (batch.target == UNLABELLED).double().mean() < 0.5
    output = torch.randn(1301, 4, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = task.loss(output, batch)
    loss.backward()
    silent = (batch.target == UNLABELLED).t()
    assert output.grad is not None and not output.grad[silent].any() and output.grad[~silent].abs().sum(1).all()
    changed = output.detach() + 9.0 * silent[..., None] * torch.arange(6)
    assert task.loss(changed, batch).item() == loss.item()
    meters = [task.meter() for _ in range(2)]
    for meter, scores in zip(meters, (output, changed), strict=True):
        meter.update(scores, batch)
    assert meters[0].compute() == meters[1].compute() and meters[0].count == batch.count


def test_a_readout_that_joins_the_steps_is_refused(task):
    batch = task.data("test").batch(torch.arange(2))
    with pytest.raises(ShapeError, match="(?s)every step, .*got \\[2, 6\\].*the readout 'every'"):
        task.loss(torch.zeros(2, 6), batch)


def test_options_are_checked():
    for steps in (0, 1302):
        with pytest.raises(ConfigError, match=f"1 to 1301 steps, got steps={steps}"):
            QtdbEcgConfig(steps=steps)


def test_learning_works(data_root, task):
    """A second of training finds more than the largest class, which has a third of the steps."""
    short = QtdbEcgConfig(steps=300).build(data_root)
    targets = short.data("test").targets
    labels = targets[targets != UNLABELLED].long()
    majority = torch.bincount(labels).max().item() / len(labels)
    assert learn(short, updates=60, batch_size=32, neuron="sliding-psn") > majority + 0.1
