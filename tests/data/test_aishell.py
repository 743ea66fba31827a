"""AISHELL-1's tree: what was written comes back, and each way in which it can be wrong is named."""

from __future__ import annotations

import re

import numpy as np
import pytest

from spikeworks.core.errors import DataError
from spikeworks.data.aishell import find_utterances, read_transcripts

from .raw_speech import write_aishell, write_wave


def test_what_was_written_comes_back(tmp_path):
    write_aishell(tmp_path)
    found, skipped = find_utterances(tmp_path)
    assert skipped == {"train": 1, "validation": 1, "test": 1}
    assert [u.path.stem for u in found["train"]] == ["BAC009S0000W0000", "BAC009S0000W0001"]
    first = found["train"][0]
    assert (first.speaker, first.samples, first.text) == ("S0000", 9600, "而对楼市成交")
    assert found["test"][1].text == "对而远"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a 一\nb\n\nc 二\n",
            "line 2: expected an id and words parted by blanks, got 'b'; 1 lines are wrong and the other 2",
        ),
        (
            "a 一\nb 二\na 三\n",
            "line 3: a has a transcript already; 1 lines are wrong and the other 2 transcripts fine",
        ),
    ],
)
def test_wrong_lines(tmp_path, text, message):
    path = tmp_path / "t.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_transcripts(path)


def test_another_encoding(tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes("a 而对".encode("gb18030"))
    with pytest.raises(DataError, match="is no UTF-8 text: .* at byte 2"):
        read_transcripts(path)


def test_bad_recordings_are_counted(tmp_path):
    base = write_aishell(tmp_path)
    write_wave(base / "wav" / "dev" / "S0001" / "BAC009S0001W0001.wav", np.zeros(100) + 0.1, rate=44_100)
    wanted = re.escape("1 of 2 AISHELL-1 dev recordings cannot be used, the other 1 are fine. The first: ")
    with pytest.raises(DataError, match=wanted + ".*BAC009S0001W0001.wav: expected a rate of 16000 Hz, got 44100 Hz"):
        find_utterances(tmp_path)


def test_a_split_without_transcripts(tmp_path):
    base = write_aishell(tmp_path)
    path = base / "transcript" / "aishell_transcript_v0.8.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(line for line in lines if "S0002" not in line), encoding="utf-8")
    with pytest.raises(DataError, match="none of the 3 recordings of wav/test has a transcript"):
        find_utterances(tmp_path)


def test_a_speaker_on_two_sides(tmp_path):
    base = write_aishell(tmp_path)
    (base / "wav" / "test" / "S0002").rename(base / "wav" / "test" / "S0000")
    with pytest.raises(DataError, match=r"the splits train and test share 1 speaker\(s\): S0000"):
        find_utterances(tmp_path)
