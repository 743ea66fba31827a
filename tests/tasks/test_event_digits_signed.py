from __future__ import annotations

import pytest
import torch

from spikeworks.core.errors import ConfigError
from spikeworks.data.nmnist import read_nmnist
from spikeworks.tasks.event_digits_signed import EventDigitsSignedConfig


@pytest.fixture(scope="module")
def task(data_set, data_root):
    data_set("nmnist_small")
    return EventDigitsSignedConfig(flatten=False).build(data_root)


def test_frames_hold_the_events_of_the_file(task, data_root):
    data = task.data("test")
    path = next((data_root / "nmnist_small" / "Test").glob("*/00001.bin"))
    events = read_nmnist(path)
    expected = torch.zeros(50, 2, 30, 30)
    for x, y, p, t in zip(*(f.tolist() for f in (events.x, events.y, events.polarity, events.time)), strict=True):
        step = round(t / 6000)
        if step < 50 and 2 <= x < 32 and 2 <= y < 32:
            expected[step, 1 - p, y - 2, x - 2] += 1 if p else -1
    batch = data.batch(data.plan(2)[0])
    assert torch.equal(batch.x[:, 0], expected) and int(batch.target[0]) == int(path.parent.name) == 7


def test_training_clips_are_drawn_anew_every_epoch(task):
    data = task.data("train")
    one, other = data.plan(4, torch.Generator().manual_seed(0))[0], data.plan(4)[0]
    assert one.seed is not None and other.seed is None
    index = one.index
    again = type(one)(index, one.seed + 1)
    assert torch.equal(data.batch(one).x, data.batch(one).x) and not torch.equal(data.batch(one).x, data.batch(again).x)
    assert task.data("validation").view.augment is False


def test_refusals():
    with pytest.raises(ConfigError, match="event-digits-signed: a clip has at least one step"):
        EventDigitsSignedConfig(steps=0)
