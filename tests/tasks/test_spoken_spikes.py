from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.data.raw_heidelberg import spoken, write_shd, write_spikes, write_ssc
from tests.tasks.learn import learn

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data.disjoint import check_disjoint
from spikeworks.tasks import SPLITS
from spikeworks.tasks.shd import ShdConfig
from spikeworks.tasks.ssc import SscConfig


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("spikes")
    write_shd(root)
    write_ssc(root)
    return root


def loaded(config, tree):
    task = config.build(tree)
    task.data("train")
    return task


def sizes(task):
    return [len(task.data(split)) for split in SPLITS]


def test_clean_digits_keep_speakers_apart_and_lose_no_spike(tree):
    task = loaded(ShdConfig(), tree)
    assert sizes(task) == [8 * 20 * 2, 2 * 20 * 2, 2 * 20]
    assert task.speakers["test"] == [4, 5] and len(task.speakers["validation"]) == 2
    check_disjoint(task.speakers, what="speaker")
    assert task.lost == 0.0 and task.repeated == 0
    for split in SPLITS:
        batch = task.data(split).batch(torch.arange(10))
        assert batch.x.shape == (250, 10, 700) and batch.mask is None
        assert torch.equal(batch.x.sum((0, 2)), torch.full((10,), 60.0))
    assert task.signature.classes[0] == "zero" and task.signature.classes[-1] == "neun"


def test_clean_digits_on_the_whole_test_file(tree):
    task = loaded(ShdConfig(test_speakers="all", validation_speakers=1), tree)
    assert sizes(task) == [9 * 40, 40, 80] and task.speakers["test"] == [0, 1, 4, 5]


def test_paper_digits_lose_what_is_late_and_test_on_heard_speakers(tree):
    task = loaded(ShdConfig(protocol="paper"), tree)
    assert sizes(task) == [360, 40, 80] and torch.bincount(task.data("validation").targets).tolist() == [2] * 20
    assert 0 < task.lost < 0.2
    with pytest.raises(DataError, match="share 2 speaker"):
        check_disjoint({name: task.speakers[name] for name in ("train", "test")}, what="speaker")
    x = task.data("train").batch(torch.arange(20)).x
    assert set(x.unique().tolist()) == {0.0, 1.0} and not x[:, :, 0].any()


def test_steps_and_window_are_the_users(tree):
    task = loaded(ShdConfig(steps=20, window=0.7), tree)
    times = np.concatenate([spoken(k, who, 9)[0] for k in range(20) for who in (4, 5)])
    test = task.data("test")
    assert test.batch(torch.arange(40)).x.sum().item() == (times < 0.7).sum()
    assert 0 < task.lost < 0.5


def test_commands_use_the_three_files(tree):
    for protocol in ("clean", "paper"):
        task = loaded(SscConfig(protocol=protocol), tree)
        assert sizes(task) == [70, 35, 35] and task.signature.outputs == 35


def test_clean_leaves_out_recordings_that_are_tested(tmp_path):
    twice = [spoken(k, 0, 0) for k in range(35)]
    write_spikes(tmp_path / "ssc/ssc_train.h5", [*twice, *[spoken(k, 0, 1) for k in range(35)]], speakers=False)
    write_spikes(tmp_path / "ssc/ssc_valid.h5", [twice[3], *[spoken(k, 0, 2) for k in range(35)]], speakers=False)
    write_spikes(tmp_path / "ssc/ssc_test.h5", twice[3:5], speakers=False)
    clean = loaded(SscConfig(), tmp_path)
    assert sizes(clean) == [68, 35, 2] and clean.repeated == 3
    paper = loaded(SscConfig(protocol="paper"), tmp_path)
    assert sizes(paper) == [70, 36, 2] and paper.repeated == 3


def test_refusals(tree, tmp_path):
    for wrong in ({"steps": 0}, {"window": 0.0}, {"protocol": "nsa"}):
        with pytest.raises(ConfigError, match="Expected protocol 'clean' or 'paper'"):
            SscConfig(**wrong)
    with pytest.raises(ConfigError, match="has a window of 1 s"):
        SscConfig(protocol="paper", window=1.0)
    with pytest.raises(ConfigError, match="at least one speaker is held out"):
        ShdConfig(validation_speakers=0)
    with pytest.raises(DataError, match=r"10 of 10 speaker\(s\) of the training file cannot be held out"):
        ShdConfig(validation_speakers=10).build(tree).data("test")
    write_spikes(tmp_path / "shd/shd_train.h5", [spoken(k, who, 0) for k in range(20) for who in (0, 1)])
    write_spikes(tmp_path / "shd/shd_test.h5", [spoken(k, 0, 1) for k in range(20)])
    with pytest.raises(DataError, match="shd: no recording is left for the split test"):
        ShdConfig(validation_speakers=1).build(tmp_path).data("test")


def test_digits_are_learnt(tree):
    assert learn(loaded(ShdConfig(steps=25), tree), updates=30, batch_size=32) > 0.5
