from __future__ import annotations

import struct
import wave

import pytest
import torch

from spikeworks.core.errors import DataError
from spikeworks.data import read_wav


def write(path, raw, width=2, channels=1, rate=8000):
    with wave.open(str(path), "wb") as handle:
        handle.setnchannels(channels)
        handle.setsampwidth(width)
        handle.setframerate(rate)
        handle.writeframes(raw)
    return path


@pytest.mark.parametrize(
    ("width", "raw"),
    [
        (1, bytes([128, 0, 192])),
        (2, struct.pack("<3h", 0, -(2**15), 2**14)),
        (3, bytes([0, 0, 0, 0, 0, 0x80, 0, 0, 0x40])),
        (4, struct.pack("<3i", 0, -(2**31), 2**30)),
    ],
)
def test_every_width_is_scaled_to_one(tmp_path, width, raw):
    signal, rate = read_wav(write(tmp_path / "a.wav", raw, width))
    assert rate == 8000
    assert signal.tolist() == [[0.0], [-1.0], [0.5]]


def test_channels_are_apart(tmp_path):
    path = write(tmp_path / "a.wav", struct.pack("<4h", 16384, -16384, 8192, -8192), channels=2)
    assert torch.equal(read_wav(path)[0], torch.tensor([[0.5, -0.5], [0.25, -0.25]]))


def test_errors_name_the_file(tmp_path):
    path = write(tmp_path / "a.wav", struct.pack("<100h", *range(100)))
    whole = path.read_bytes()
    with pytest.raises(DataError, match=r"a\.wav: expected a rate of 16000 Hz, got 8000 Hz"):
        read_wav(path, rate=16000)
    path.write_bytes(whole[:-21])
    with pytest.raises(DataError, match=r"a\.wav is damaged: its header says 100 samples, 89 are there"):
        read_wav(path)
    path.write_bytes(whole[:20])
    with pytest.raises(DataError, match="ends inside its header"):
        read_wav(path)
    path.write_bytes(b"RIFFnonsense that is no audio")
    with pytest.raises(DataError, match="is no WAV file of linear PCM"):
        read_wav(path)
    path.write_bytes(whole[:20] + b"\x03\x00" + whole[22:])  # format 3: IEEE float
    with pytest.raises(DataError, match="no WAV file of linear PCM: unknown format: 3"):
        read_wav(path)
    with pytest.raises(DataError, match="holds no samples"):
        read_wav(write(tmp_path / "empty.wav", b""))
    with pytest.raises(DataError, match="Cannot read .*absent"):
        read_wav(tmp_path / "absent.wav")
