from __future__ import annotations

import pytest
import torch
from tests.data.raw_timit import write_timit
from tests.tasks.learn import learn

from spikeworks.core.batch import UNLABELLED
from spikeworks.core.errors import ConfigError
from spikeworks.data.mfcc import Mfcc
from spikeworks.data.timit import PHONES, read_sentences, split_sentences
from spikeworks.tasks import SPLITS
from spikeworks.tasks.timit import TimitConfig


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("timit")
    write_timit(root)
    return root


@pytest.fixture(scope="module")
def task(root):
    task = TimitConfig(steps=20).build(root)
    task.data("train")
    return task


def test_chunks_are_the_sentences(task, root):
    front, data = Mfcc(), task.data("test")
    at = 0
    for one in read_sentences(split_sentences(root)["test"]):
        rows, labels = task.scale(front(one.wave)), one.labels(400, 160)
        for start in range(0, len(rows), 20):
            batch = data.batch(torch.tensor([at]))
            size = min(20, len(rows) - start)
            assert torch.equal(batch.x[:size, 0], rows[start : start + size]) and not batch.x[size:].any()
            assert torch.equal(batch.target[0, :size], labels[start : start + size])
            assert (batch.target[0, size:] == UNLABELLED).all() and batch.count == size
            assert (batch.mask is None) == (size == 20) and (batch.mask is None or int(batch.mask.sum()) == size)
            at += 1
    assert at == len(data)


def test_splits_keep_speakers_apart_and_sizes_follow_the_speakers(task):
    who = [set(task.speakers[split]) for split in SPLITS]
    assert [len(part) for part in who] == [18, 2, 4] and len(set().union(*who)) == 24
    assert task.signature.classes == PHONES and task.signature.outputs == 61 and task.signature.inputs == 39


def test_clean_scales_by_training_and_paper_by_each_split(task, root):
    valid = {}
    for protocol in ("clean", "paper"):
        built = TimitConfig(steps=20, protocol=protocol).build(root)
        for split in SPLITS:
            data = built.data(split)
            kept = torch.arange(20) < data.lengths[:, None]
            valid[protocol, split] = data.inputs[kept]
    train = valid["clean", "train"].double()
    assert train.mean(0).abs().max() < 1e-5 and (train.std(0, correction=0) - 1).abs().max() < 1e-5
    assert valid["clean", "test"].mean(0).abs().max() > 0.02
    for split in SPLITS:
        rows = valid["paper", split]
        assert torch.equal(rows.amin(0), torch.zeros(39)) and torch.equal(rows.amax(0), torch.ones(39))


def test_options_are_checked():
    with pytest.raises(ConfigError, match="protocol is 'clean' or 'paper', got 'nsa'"):
        TimitConfig(protocol="nsa")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least one frame, got steps=0"):
        TimitConfig(steps=0)


def test_learning_works(task):
    data = task.data("test")
    labels = data.targets[data.targets != UNLABELLED].long()
    majority = torch.bincount(labels).max().item() / len(labels)
    assert learn(task, updates=60, batch_size=32) > majority + 0.1
