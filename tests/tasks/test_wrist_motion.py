from __future__ import annotations

import pytest
import torch
from tests.tasks.learn import learn

from spikeworks.core.errors import ConfigError
from spikeworks.data.hmp import ACTIVITIES, read_hmp
from spikeworks.tasks import SPLITS
from spikeworks.tasks.wrist_motion import COMMON, WristMotionConfig


@pytest.fixture(scope="module")
def task(request):
    request.getfixturevalue("data_set")("hmp_wrist_accel")
    task = WristMotionConfig(activities="common").build(request.getfixturevalue("data_root"))
    task.data("train")
    return task


def test_windows_are_stretches_of_their_recording(task, data_root):
    for name in SPLITS:
        part = task.windows[name]
        for i in (0, len(part) // 2, len(part) - 1):
            recording, start, stop = part.spans[i]
            (path,) = (data_root / "hmp_wrist_accel").glob(f"*/{recording}")
            read = read_hmp(path)
            rows = (read.rows[start:stop] - task.scale.mean) / task.scale.deviation
            assert torch.allclose(task.data(name).inputs[i], rows.float(), atol=1e-5)
            assert part.groups[i] == read.volunteer and stop - start == 128
            assert task.signature.classes[task.data(name).targets[i]] == ACTIVITIES[read.activity]


def test_no_volunteer_stands_on_two_sides(task):
    groups = {name: set(part.groups) for name, part in task.windows.items()}
    assert sorted(map(len, groups.values())) == [4, 4, 8] and len(set().union(*groups.values())) == 16


def test_every_common_activity_is_in_every_split(task):
    assert len(COMMON) == 8
    for name in SPLITS:
        assert torch.bincount(task.data(name).targets, minlength=8).min() > 0


def test_training_windows_alone_scale(task):
    train = task.data("train").inputs.double().flatten(0, 1)
    assert train.mean(0).abs().max() < 1e-6 and (train.std(0, correction=0) - 1).abs().max() < 1e-6
    assert task.data("test").inputs.mean((0, 1)).abs().max() > 0.05


def test_options_are_checked():
    with pytest.raises(ConfigError, match="steps=128, stride=0"):
        WristMotionConfig(stride=0)


def test_learning_works(task):
    targets = task.data("test").targets
    majority = torch.bincount(targets).max().item() / len(targets)
    assert learn(task, updates=40, batch_size=64) > majority + 0.05
