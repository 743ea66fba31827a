"""``spikeworks data ndns --clean DIR --noise DIR``: clips from folders, and what is said where there are none."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from spikeworks.cli.main import main
from spikeworks.tasks import task_for

RATE = 16_000


@pytest.fixture
def words(tmp_path):
    draw = np.random.default_rng(0)
    for folder in ("speech", "sounds"):
        (tmp_path / folder).mkdir()
        for k in range(4):
            wave = 0.3 * np.sin(np.arange(RATE) * (0.05 + 0.01 * k)) + 0.02 * draw.standard_normal(RATE)
            soundfile.write(tmp_path / folder / f"{folder}{k}.wav", wave, RATE, subtype="PCM_16")
    folders = ["--clean", str(tmp_path / "speech"), "--noise", str(tmp_path / "sounds")]
    return ["data", "ndns", *folders, "--data", str(tmp_path / "root")]


def test_clips_are_made_and_the_task_reads_them(words, tmp_path, capsys):
    assert main([*words, "--clips", "3,1,2", "--seconds", "2"]) == 0
    said = capsys.readouterr().out
    assert "6 clips, 12.0\xa0s of sound" in said and "spikeworks run --task ndns" in said
    task = task_for("ndns").build(tmp_path / "root")
    assert [len(task.data(split)) for split in ("train", "validation", "test")] == [3, 1, 2]
    assert main(["data", "ndns", "--data", str(tmp_path / "root")]) == 0
    assert "files found and checked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--clips", "3,1"], "--clips takes three whole numbers from 1 on, for train, validation, test; got '3,1'."),
        (["--clips", "3,0,1"], "--clips takes three whole numbers"),
        (["--seconds", "99"], "Clips last from 1 to 30 seconds, got 99."),
        (["--noise", ""], "Clips need two folders"),
        (["--noise", "/nowhere"], "/nowhere holds 0 file(s) of noise"),
    ],
)
def test_what_cannot_be_made_is_said(words, tmp_path, capsys, change, message):
    assert main([*words, *change]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "root").exists()


def test_no_other_task_and_no_place_are_said(words, capsys, monkeypatch):
    assert main(["data", "seq-digits", *words[2:]]) == 2
    assert "Clips are made for the task ndns alone, not for seq-digits." in capsys.readouterr().err
    monkeypatch.delenv("SPIKEWORKS_DATA", raising=False)
    assert main(words[:-2]) == 2
    assert "Nobody said where the clips go." in capsys.readouterr().err
