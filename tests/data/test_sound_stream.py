"""Sound files block by block, and what is said of those that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from spikeworks.core.errors import DataError, RunError
from spikeworks.data.sound_stream import SoundFile, WavWriter

WAVE = np.random.default_rng(0).uniform(-0.9, 0.9, (1000, 2))


def written(path: Path, wave: np.ndarray = WAVE, **options: str) -> Path:
    soundfile.write(path, wave, 8000, **options)
    return path


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_there_and_back(tmp_path, subtype):
    with SoundFile(written(tmp_path / "a.wav", subtype=subtype)) as sound:
        assert (sound.rate, sound.channels, sound.samples, sound.subtype) == (8000, 2, 1000, subtype)
        blocks = list(sound.blocks(300))
    assert [b.shape for b in blocks] == [(2, 300)] * 3 + [(2, 100)]
    with WavWriter(tmp_path / "part", 8000, 2, subtype) as out:
        for block in blocks:
            out.write(block)
    again, _ = soundfile.read(tmp_path / "part", dtype="float32")
    np.testing.assert_array_equal(again.T, np.concatenate(blocks, 1))


def test_what_wav_does_not_know_becomes_pcm(tmp_path):
    flac = SoundFile(written(tmp_path / "a.flac", subtype="PCM_16"))
    ulaw = SoundFile(written(tmp_path / "b.wav", subtype="ULAW"))
    assert (flac.subtype, ulaw.subtype) == ("PCM_16", "PCM_16")


def test_samples_that_are_no_numbers_are_the_readers_business(tmp_path):
    wave = WAVE.copy()
    wave[3, 1] = np.nan
    with SoundFile(written(tmp_path / "a.wav", wave, subtype="FLOAT")) as sound:
        assert np.isnan(next(sound.blocks(10))[1, 3])


def test_what_is_no_sound_file(tmp_path):
    whole = written(tmp_path / "a.wav").read_bytes()
    cases = {
        "cut.wav": (whole[:2000], "header says 1000 samples, 489 are there"),
        "header.wav": (whole[:20], "is damaged or no sound file"),
        "text.wav": (b"not a sound" * 50, "is damaged or no sound file"),
        "empty.wav": (b"", "is damaged or no sound file"),
        "bare.raw": (whole, "is damaged or no sound file"),
        "none.wav": (written(tmp_path / "b.wav", WAVE[:0]).read_bytes(), "holds no samples"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            SoundFile(tmp_path / name)
    with pytest.raises(DataError, match="no such file"):
        SoundFile(tmp_path / "absent.wav")
    with pytest.raises(DataError, match="it is a folder"):
        SoundFile(tmp_path)


def test_a_damaged_flac_ends_in_a_message(tmp_path):
    path = written(tmp_path / "a.flac", np.tile(WAVE, (20, 1)))
    path.write_bytes(path.read_bytes()[:30_000])
    with SoundFile(path) as sound, pytest.raises(DataError, match="is damaged"):
        list(sound.blocks(1000))


def test_no_file_for_so_many_channels(tmp_path):
    with pytest.raises(RunError, match="Cannot write a WAV file"):
        WavWriter(tmp_path / "a", 8000, 5000)
