from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from tests.data.raw_sloclas import write_wav

from spikeworks.core.errors import DataError
from spikeworks.data.audio import read_audio

TONES = np.sin(np.arange(300)[:, None] * [0.1, 0.2, 0.3, 0.4]) / 2


@pytest.mark.parametrize(
    "format, subtype", [("WAV", "PCM_16"), ("WAVEX", "PCM_16"), ("WAVEX", "FLOAT"), ("FLAC", "PCM_16")]
)
def test_formats(tmp_path, format, subtype):
    path = tmp_path / "a"
    soundfile.write(path, TONES, 16_000, format=format, subtype=subtype)
    wave = read_audio(path, 16_000, 4)
    assert wave.dtype == torch.float32
    torch.testing.assert_close(wave.double(), torch.from_numpy(TONES), rtol=0, atol=2**-15)


def test_integers_are_scaled_exactly(tmp_path):
    stored = write_wav(tmp_path / "a.wav", TONES)
    assert torch.equal(read_audio(tmp_path / "a.wav", 16_000, 4), torch.from_numpy(stored.astype(np.float32) / 2**15))


@pytest.mark.parametrize("format", ["WAV", "WAVEX", "FLAC"])
def test_cut_off(tmp_path, format):
    path = tmp_path / "a"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, (9000, 4)), 16_000, format=format, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(DataError, match="is damaged"):
        read_audio(path, 16_000, 4)


def test_wrong_kind(tmp_path):
    path = tmp_path / "a.wav"
    with pytest.raises(DataError, match="Cannot read .*no such file"):
        read_audio(path, 16_000, 4)
    path.write_bytes(b"no sound at all, only words")
    with pytest.raises(DataError, match="damaged or no sound file"):
        read_audio(path, 16_000, 4)
    write_wav(path, TONES)
    with pytest.raises(DataError, match="expected a rate of 8000 Hz, got 16000 Hz"):
        read_audio(path, 8000, 4)
    with pytest.raises(DataError, match=r"expected 1 channel\(s\), got 4"):
        read_audio(path, 16_000, 1)
    write_wav(path, TONES[:0])
    with pytest.raises(DataError, match="holds no samples"):
        read_audio(path, 16_000, 4)


def test_not_finite(tmp_path):
    broken = TONES.copy()
    broken[7, 2] = np.nan
    soundfile.write(tmp_path / "a.wav", broken, 16_000, format="WAVEX", subtype="FLOAT")
    with pytest.raises(DataError, match=r"sample 7 of channel 2 is nan \(1 of 1200 are not finite\)"):
        read_audio(tmp_path / "a.wav", 16_000, 4)
