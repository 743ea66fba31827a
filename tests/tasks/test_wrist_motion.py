from __future__ import annotations

import math

import pytest
import torch
from tests.tasks.learn import learn

from spikeworks.core.errors import ConfigError
from spikeworks.data.hmp import ACTIVITIES, load_hmp, read_hmp
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


def test_paper_shares_readings_and_volunteers_and_clean_nothing(task, data_root):
    paper = WristMotionConfig(activities="common", protocol="paper").build(data_root)
    sizes = {name: len(paper.data(name)) for name in SPLITS}
    whole = sum(sizes.values())
    assert sizes["test"] == math.ceil(0.2 * whole) and sizes["validation"] == (whole - sizes["test"]) // 10
    others = paper.windows["train"].spans + paper.windows["validation"].spans
    stops = {stop for _, _, stop in others}
    starts = {start for _, start, _ in others}
    sharing = sum(start + 64 in stops or stop - 64 in starts for _, start, stop in paper.windows["test"].spans)
    assert paper.leaking == sharing / sizes["test"] and 0.94 < paper.leaking < 0.98  # 1 - 0.2 ** 2
    assert task.leaking == 0.0
    groups = {name: set(paper.windows[name].groups) for name in SPLITS}
    assert len(groups["test"] & groups["train"]) == 16


def test_some_windows_of_paper_begin_in_one_recording_and_end_in_the_next(data_root, data_set):
    data_set("hmp_wrist_accel")
    paper = WristMotionConfig(protocol="paper").build(data_root)
    paper.data("train")
    recordings = load_hmp(data_root)
    owner = torch.repeat_interleave(torch.arange(len(recordings)), torch.tensor([len(one.rows) for one in recordings]))
    spans = [span for part in paper.windows.values() for span in part.spans]
    firsts, lasts = (owner[torch.tensor([span[side] - (side == 2) for span in spans])] for side in (1, 2))
    straddling = (firsts != lasts).double().mean().item()
    assert 0.1 < straddling < 0.5
    for i in (0, len(spans) // 2):
        assert recordings[int(firsts[i])].activity == recordings[int(lasts[i])].activity


def test_options_are_checked():
    with pytest.raises(ConfigError, match="steps=128, stride=0"):
        WristMotionConfig(stride=0)
    with pytest.raises(ConfigError, match="protocol is 'clean' or 'paper', got 'nsa'"):
        WristMotionConfig(protocol="nsa")  # type: ignore[arg-type]


def test_learning_works(task):
    targets = task.data("test").targets
    majority = torch.bincount(targets).max().item() / len(targets)
    assert learn(task, updates=40, batch_size=64) > majority + 0.05
