from __future__ import annotations

import pytest
import torch

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data import LogMel, fsdd, read_wav
from spikeworks.tasks import SpokenDigitsConfig


@pytest.fixture(scope="module")
def task(request):
    request.getfixturevalue("data_set")("fsdd")
    return SpokenDigitsConfig().build(request.getfixturevalue("data_root"))


def test_lengths(task):
    lengths = torch.cat([task.data(split).lengths for split in ("train", "validation", "test")])
    assert (lengths.min(), lengths.max()) == (12, 226) and task.signature.steps is None


def test_splits_follow_the_takes(task):
    sizes = {split: len(task.data(split)) for split in ("train", "validation", "test")}
    assert sizes == {"train": 2400, "validation": 300, "test": 300}
    for split, size in sizes.items():
        assert torch.bincount(task.data(split).targets).tolist() == [size // 10] * 10


def test_a_sample_is_its_recording(task, data_root):
    wave, _ = read_wav(data_root / "fsdd/recordings/0_george_1.wav")
    frames = (LogMel()(wave[:, 0]).double() - task_scale(task).mean) / task_scale(task).deviation
    batch = task.data("test").batch(torch.tensor([1, 40]))
    mask = batch.mask[:, 0]
    assert int(mask.sum()) == len(frames)
    assert torch.allclose(batch.x[mask, 0], frames.float(), atol=1e-5)
    assert not batch.x[~batch.mask].any()


def task_scale(task):
    task.data("train")
    return task.scale


def test_bands_are_standardised_by_training_frames_only(task):
    rows = {split: task.data(split).rows.double() for split in ("train", "test")}
    assert rows["train"].mean(0).abs().max() < 1e-4
    assert (rows["train"].std(0) - 1).abs().max() < 1e-3
    assert rows["test"].mean(0).abs().max() > 1e-3


def test_fixed_length_is_cut_and_masked(task, data_root):
    fixed = SpokenDigitsConfig(steps=30).build(data_root)
    batch = fixed.data("test").batch(torch.arange(50))
    assert batch.x.shape == (30, 50, 40) and fixed.signature.steps == 30
    whole = task.data("test").lengths[:50]
    assert batch.mask.sum(0).tolist() == whole.clamp(max=30).tolist()


def test_errors(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="at least one step"):
        SpokenDigitsConfig(steps=0)
    with pytest.raises(ConfigError, match="positive bands"):
        SpokenDigitsConfig(bands=0)
    with pytest.raises(DataError, match="3000 of 3000 files are missing: recordings/0_george_0.wav, .* and 2992 more"):
        SpokenDigitsConfig().build(tmp_path).data("train")
    import wave

    path = tmp_path / "0_george_0.wav"
    with wave.open(str(path), "wb") as handle:
        handle.setparams((2, 2, 8000, 4, "NONE", ""))
        handle.writeframes(bytes(16))
    monkeypatch.setattr(fsdd, "locate", lambda *_: {"a": path})
    with pytest.raises(DataError, match="expected one channel, got 2"):
        fsdd.load_fsdd(tmp_path)
