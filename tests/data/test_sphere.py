from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from tests.data.raw_timit import sphere

from spikeworks.core.errors import DataError
from spikeworks.data.sphere import read_sphere

SAMPLES = np.array([0, 1, -1, 32767, -32768, 1234], np.int16)


@pytest.mark.parametrize("order", ["01", "10"])
def test_both_orders_of_bytes(tmp_path, order):
    path = tmp_path / "a.WAV"
    path.write_bytes(sphere(SAMPLES, order))
    wave, rate = read_sphere(path)
    assert rate == 16_000 and torch.equal(wave, torch.from_numpy(SAMPLES.astype(np.float32) / 2**15))


def test_files_of_another_program(tmp_path):
    path, draw = tmp_path / "a.wav", np.random.default_rng(0).integers(-30_000, 30_000, 500).astype(np.int16)
    soundfile.write(path, draw, 8000, format="NIST", subtype="PCM_16")
    wave, rate = read_sphere(path, rate=8000)
    assert rate == 8000 and torch.equal(wave, torch.from_numpy(draw.astype(np.float32) / 2**15))


@pytest.mark.parametrize(
    "content, message",
    [
        (b"RIFF" + bytes(90), "is no SPHERE file: it begins as a RIFF file"),
        (b"", "is no SPHERE file: it begins as another format"),
        (sphere(SAMPLES)[:300], "the file ends inside its header"),
        (sphere(SAMPLES).replace(b"end_head", b"the_head"), "its header has no end_head"),
        (sphere(SAMPLES)[:-4], "its header says 6 samples, 4 are there"),
        (sphere(SAMPLES, sample_coding="pcm,embedded-shorten-v2.00"), "coded as pcm,embedded-shorten-v2.00.*\n.*sph2p"),
        (sphere(SAMPLES, sample_n_bytes=1), "expected samples of 2 bytes in the order 01 or 10, got 1 in the order 01"),
        (sphere(SAMPLES, channel_count=2), r"expected one channel, got 2"),
        (sphere(SAMPLES, sample_rate=None), "a whole number for sample_rate in the header, got 'nothing'"),
        (sphere(SAMPLES[:0]), "holds no samples"),
        (sphere(SAMPLES, sample_rate=8000), "expected a rate of 16000 Hz, got 8000 Hz"),
    ],
    ids=["riff", "empty", "head", "endless", "cut", "shorten", "width", "channels", "field", "none", "rate"],
)
def test_damage(tmp_path, content, message):
    path = tmp_path / "a.WAV"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_sphere(path, rate=16_000)


def test_missing(tmp_path):
    with pytest.raises(DataError, match="Cannot read .*No such file"):
        read_sphere(tmp_path / "a.WAV")
