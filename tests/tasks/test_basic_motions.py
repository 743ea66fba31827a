from __future__ import annotations

import pytest
import torch
from tests.tasks.learn import learn

from spikeworks.data.basic_motions import load_basic_motions
from spikeworks.tasks.basic_motions import BasicMotionsConfig


@pytest.fixture(scope="module")
def task(request):
    request.getfixturevalue("data_set")("ucr_uea")
    return BasicMotionsConfig().build(request.getfixturevalue("data_root"))


def test_the_official_test_cases_in_their_order(task, data_root):
    given = load_basic_motions(data_root)["test"]
    data = task.data("test")
    rows = data.inputs.double().flatten(0, 1) * task.scale.deviation + task.scale.mean
    assert torch.allclose(rows, given.rows, atol=1e-4) and torch.equal(data.targets, given.targets)


def test_every_class_in_every_split(task):
    for name, each in (("train", 8), ("validation", 2), ("test", 10)):
        assert torch.bincount(task.data(name).targets).tolist() == [each] * 4
    train = task.data("train").inputs.double().flatten(0, 1)
    assert train.mean(0).abs().max() < 1e-6


def test_learning_works(task):
    assert learn(task, updates=60, batch_size=16) > 0.6
