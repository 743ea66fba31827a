"""The challenge's tree: what was written comes back, and each way in which it can be wrong is named."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
import torch

from spikeworks.core.errors import DataError
from spikeworks.data.ndns import CLIP, find_clips

from .raw_speech import write_clip, write_ndns, write_wave


def test_what_was_written_comes_back(tmp_path):
    written = write_ndns(tmp_path)
    found = find_clips(tmp_path)
    assert {split: [clip.number for clip in clips] for split, clips in found.items()} == {
        "train": [0, 1, 2],
        "validation": [10, 11, 12],
        "test": [20, 21, 22],
    }
    clip = found["validation"][1]
    assert clip.sources == "book_11_snr_street_11"
    assert (clip.snr, clip.level) == (5, -20)
    clean, noisy = clip.read()
    assert clean.shape == (CLIP,)
    for wave, name in ((clean, "clean"), (noisy, "noisy")):
        assert np.array_equal(wave[:16_000].numpy(), written["validation_set"][1][name].astype(np.float32))
        assert not wave[16_000:].any()
    torch.testing.assert_close(
        noisy - clean, torch.tensor(np.pad(written["validation_set"][1]["noise"], (0, CLIP - 16_000))).float()
    )


def test_long_clips_are_cut(tmp_path):
    write_ndns(tmp_path)
    write_clip(tmp_path / "ndns" / "test_set_1", 99, "a", seconds=30.5)
    assert find_clips(tmp_path)["test"][-1].read().shape == (2, CLIP)


def damaged(folder, how):
    noisy = sorted((folder / "noisy").glob("*.wav"))
    if how == "name":
        noisy[1].rename(noisy[1].with_name("street.wav"))
    elif how == "clean":
        (folder / "clean" / "clean_fileid_1.wav").unlink()
    elif how == "noise":
        (folder / "noise" / "noise_fileid_1.wav").unlink()
    elif how == "rate":
        write_wave(folder / "clean" / "clean_fileid_1.wav", np.zeros(800) + 0.1, rate=8000)
    elif how == "stereo":
        write_wave(folder / "clean" / "clean_fileid_1.wav", np.zeros((800, 2)) + 0.1)
    elif how == "cut":
        path = folder / "clean" / "clean_fileid_1.wav"
        path.write_bytes(path.read_bytes()[:-1000])
    elif how == "foreign":
        noisy[1].write_bytes(b"no sound at all")
    elif how == "length":
        write_wave(folder / "clean" / "clean_fileid_1.wav", np.zeros(800) + 0.1)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("name", r"street.wav: expected a name like SOURCES_snr5_tl-20_fileid_17.wav"),
        ("clean", r"Cannot read .*clean_fileid_1.wav: no such file"),
        ("noise", r"Cannot read .*noise_fileid_1.wav: no such file"),
        ("rate", r"clean_fileid_1.wav: expected a rate of 16000 Hz, got 8000 Hz"),
        ("stereo", r"clean_fileid_1.wav: expected one channel, got 2"),
        ("cut", r"clean_fileid_1.wav is damaged: its header says 16000 samples, 15500 are there"),
        ("foreign", r"is damaged or no sound file"),
        ("length", r"the parts of a clip differ in samples: .*16000, clean_fileid_1.wav 800"),
    ],
)
def test_one_bad_clip_is_named_and_the_others_counted(tmp_path, how, message):
    write_ndns(tmp_path)
    damaged(tmp_path / "ndns" / "training_set", how)
    counted = "1 of 3 training_set clips cannot be used, the other 2 are fine. The first: "
    with pytest.raises(DataError, match=re.escape(counted) + ".*" + message):
        find_clips(tmp_path)


def test_two_clips_with_one_id(tmp_path):
    write_ndns(tmp_path)
    write_clip(tmp_path / "ndns" / "training_set", 1, "other", snr=6)
    with pytest.raises(DataError, match=r"1 file id\(s\) occur twice, the first 1"):
        find_clips(tmp_path)


def test_a_set_that_is_missing(tmp_path):
    write_ndns(tmp_path)
    shutil.rmtree(tmp_path / "ndns" / "test_set_1")
    with pytest.raises(DataError, match=r"1 of 1 files are missing: test_set_1/noisy/\*.wav"):
        find_clips(tmp_path)


def test_a_set_without_the_folder_of_noises_will_do(tmp_path):
    write_ndns(tmp_path)
    shutil.rmtree(tmp_path / "ndns" / "test_set_1" / "noise")
    assert len(find_clips(tmp_path)["test"]) == 3
