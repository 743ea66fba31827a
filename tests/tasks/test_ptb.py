from __future__ import annotations

import pytest
import torch

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data import ptb as source
from spikeworks.tasks import PTBConfig


def test_counts_windows_and_vocabulary(data_set, data_root):
    data_set("ptb")
    task = PTBConfig().build(data_root)
    assert [len(task.data(split)) for split in ("train", "validation", "test")] == [929_589, 73_760, 82_430]
    assert len(task.data("train").plan(20)) == 663
    assert len(task.words) == len(set(task.words)) == 10_000
    assert task.words[:3] == ("aer", "banknote", "berlitz") and task.words[24] == "<eos>"
    assert [task.data(split).batch(task.data(split).plan(20)[0]).size for split in ("validation", "test")] == [10, 1]


def test_target_is_the_next_word_and_state_is_carried(data_set, data_root):
    data_set("ptb")
    data = PTBConfig().build(data_root).data("train")
    first, second = (data.batch(window) for window in data.plan(20)[:2])
    assert first.fresh and not second.fresh
    text = data.tokens[: 46479 * 20].view(20, 46479).long()
    assert torch.equal(first.x, text[:, :70]) and torch.equal(first.target, text[:, 1:71])
    assert torch.equal(second.x, text[:, 70:140]) and torch.equal(second.target, text[:, 71:141])


def test_a_part_of_the_text(data_set, data_root):
    data_set("ptb")
    task = PTBConfig(steps=35, train_tokens=92_958).build(data_root)
    assert len(task.data("train")) == 92_958 and len(task.data("test")) == 82_430
    assert task.signature.steps == 35


def test_errors(tmp_path):
    with pytest.raises(ConfigError, match="at least one word, got steps=0"):
        PTBConfig(steps=0)
    with pytest.raises(ConfigError, match="train_tokens must be more than a window"):
        PTBConfig(train_tokens=50)
    folder = tmp_path / "ptb"
    folder.mkdir()
    for part in ("train", "valid", "test"):
        (folder / f"ptb.{part}.txt").write_text("a short text\n")
    with pytest.raises(DataError, match=r"ptb\.train\.txt is damaged or another version"):
        PTBConfig().build(tmp_path).data("train")


def test_counts_are_checked_behind_the_checksums(tmp_path, monkeypatch):
    for part in ("train", "valid", "test"):
        (tmp_path / f"ptb.{part}.txt").write_text("a short text\n")
    monkeypatch.setattr(
        source, "locate", lambda *_: {f"ptb.{p}.txt": tmp_path / f"ptb.{p}.txt" for p in ("train", "valid", "test")}
    )
    with pytest.raises(DataError, match="expected .*929589.* got .*'train': 4"):
        source.load_ptb(tmp_path)
