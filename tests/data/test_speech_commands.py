from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.data.raw_sloclas import write_wav
from tests.data.raw_speech_commands import SPEAKERS, command, write_speech_commands

from spikeworks.core.errors import DataError
from spikeworks.data.speech_commands import TEN, WORDS, find_commands, read_command

FEW = ("yes", "no", "bed")


def test_the_set_has_35_words():
    assert len(WORDS) == len(set(WORDS)) == 35 and WORDS[:10] == TEN


def test_the_tree(tmp_path):
    folder = write_speech_commands(tmp_path, FEW, samples=800)
    found = find_commands(tmp_path)
    assert {name: len(part) for name, part in found.splits.items()} == {"validation": 6, "test": 6, "train": 18}
    for split, part in found.splits.items():
        assert {one.speaker for one in part} == set(SPEAKERS[split])
        assert all(one.name == f"{one.word}/{one.path.name}" for one in part)
    assert [path.name for path in found.noises] == ["pink_noise.wav", "running_tap.wav"]
    expected = np.round(command("no", "b0000001", 1, 800)[:, 0] * 32_767) / 2**15
    wave = read_command(folder / "no" / "b0000001_nohash_1.wav")
    assert torch.allclose(wave, torch.from_numpy(expected).float(), atol=1e-7)


def test_damage(tmp_path):
    folder = write_speech_commands(tmp_path, FEW, samples=800)
    lists = folder / "testing_list.txt", folder / "validation_list.txt"
    good = [path.read_text() for path in lists]

    def refused(message):
        with pytest.raises(DataError, match=message):
            find_commands(tmp_path)
        for path, text in zip(lists, good, strict=True):
            path.write_text(text)

    lists[0].write_text(good[0] + "yes/d_nohash_0.wav\n")
    refused(r"testing_list.txt: 1 of the 7 files that it names are not there, the others are: yes/d_nohash_0.wav")
    lists[0].write_text(good[0] + good[1].splitlines()[0])
    refused(r"1 file\(s\) are in both lists: yes/b0000001_nohash_0.wav")
    lists[0].write_text("\n")
    refused("testing_list.txt names no file")
    lists[0].write_bytes(b"\xff\xfe")
    refused("testing_list.txt is no text file")
    write_wav(folder / "hello" / "a_nohash_0.wav", command("yes", "a", 0, 800))
    refused("'hello' is none of the 35 words")
    lists[1].unlink()
    with pytest.raises(DataError, match="files are missing: validation_list.txt"):
        find_commands(tmp_path)


def test_recordings_are_mono_at_16_khz(tmp_path):
    path = tmp_path / "a.wav"
    write_wav(path, np.zeros((100, 2)))
    with pytest.raises(DataError, match=r"expected one channel, got 2"):
        read_command(path)
    write_wav(path, np.zeros((100, 1)), rate=8000)
    with pytest.raises(DataError, match="expected a rate of 16000 Hz, got 8000"):
        read_command(path)
