from __future__ import annotations

import pytest
import torch
from tests.data.raw_dvs_lip import write_dvs_lip

from spikeworks.core.errors import ConfigError
from spikeworks.data.dvs_lip import WORDS
from spikeworks.models import StackConfig
from spikeworks.neurons import LIF
from spikeworks.tasks import SPLITS
from spikeworks.tasks.dvs_lip import DvsLipConfig


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("lips")
    write_dvs_lip(root, WORDS[:4], clips=6)
    return root


def built(root, **options):
    return DvsLipConfig(**{"words": 4, "steps": 20, **options}).build(root)


def test_shapes(root):
    task = built(root)
    assert task.signature.inputs == 15_488 and task.signature.classes == WORDS[:4]
    assert [len(task.data(split)) for split in SPLITS] == [20, 4, 24]
    data = task.data("train")
    batch = data.batch(data.plan(3, torch.Generator().manual_seed(0))[0])
    assert batch.x.shape == (20, 3, 15_488) and batch.x.dtype == torch.float32
    frames = built(root, flatten=False)
    assert frames.signature.inputs == (2, 88, 88)
    assert frames.data("test").batch(frames.data("test").plan(2)[0]).x.shape == (20, 2, 2, 88, 88)


def test_flattened_frames_are_the_frames(root):
    flat, frames = (built(root, flatten=value).data("test") for value in (True, False))
    item = flat.plan(4)[1]
    assert torch.equal(flat.batch(item).x, frames.batch(item).x.flatten(2))
    x = frames.batch(item).x
    assert (x[:, :, 0] >= 0).all() and (x[:, :, 1] <= 0).all() and (x == x.round()).all() and x.abs().sum() > 0


def test_only_training_is_augmented_and_only_in_shuffled_plans(root):
    task, plain = built(root), built(root, augment=False)
    for split in SPLITS:
        data, same = task.data(split), plain.data(split)
        natural = data.plan(20)[0]
        assert torch.equal(data.batch(natural).x, same.batch(natural).x)
        shuffled = data.plan(20, torch.Generator().manual_seed(0))[0]
        assert torch.equal(data.batch(shuffled).x, same.batch(shuffled).x) == (split != "train")


def test_splits(root):
    clean = built(root)
    for split in SPLITS:
        clean.data(split)
    assert set(clean.clips["train"]) | set(clean.clips["validation"]) == {
        f"train/{word}/{n}" for word in WORDS[:4] for n in range(6)
    }
    assert not set(clean.clips["train"]) & set(clean.clips["validation"])
    assert [len({n for n in clean.clips["validation"] if word in n}) for word in ("/accused/", "/allow/")] == [1, 1]
    assert all(name.startswith("test/") for name in clean.clips["test"])


def test_no_protocol_chooses_by_the_test_split(root):
    paper, clean = built(root, protocol="paper"), built(root)
    assert [len(paper.data(split)) for split in SPLITS] == [20, 4, 24]
    for split in SPLITS:
        clean.data(split)
    assert paper.clips == clean.clips
    assert not set(paper.clips["validation"]) & set(paper.clips["test"])


def test_refusals():
    for wrong in ({"protocol": "nsa"}, {"steps": 0}, {"words": 1}, {"words": 101}):
        with pytest.raises(ConfigError, match="dvs-lip"):
            DvsLipConfig(**wrong)


def test_a_small_network_learns_the_words(tmp_path):
    write_dvs_lip(tmp_path, WORDS[:4], clips=8)
    task = built(tmp_path, augment=False)
    config = StackConfig(hidden=(64,), neuron=LIF.Config(decay=0.95, threshold=0.8), norm="batch")
    network = config.build(15_488, 4, torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    data = task.data("train")
    for epoch in range(8):
        for item in data.plan(7, torch.Generator().manual_seed(epoch)):
            batch = data.batch(item)
            optimizer.zero_grad()
            task.loss(network(batch.x)[0], batch).backward()
            optimizer.step()
    test = task.data("test")
    batch = test.batch(test.plan(32)[0])
    network.eval()
    with torch.no_grad():
        assert (network(batch.x)[0].argmax(1) == batch.target).float().mean() > 0.5  # chance 0.25
