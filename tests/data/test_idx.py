from __future__ import annotations

import gzip
import struct

import pytest
import torch

from spikeworks.core.errors import DataError
from spikeworks.data import read_idx


def idx(shape, values, kind=0x08):
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + values


IMAGES = idx((2, 2, 3), bytes(range(12)))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_reads_images(tmp_path, pack):
    path = tmp_path / "images"
    path.write_bytes(pack(IMAGES))
    found = read_idx(path, dimensions=3, count=2)
    assert found.dtype == torch.uint8
    assert torch.equal(found, torch.arange(12, dtype=torch.uint8).view(2, 2, 3))


@pytest.mark.parametrize(
    ("kind", "form", "dtype"),
    [(0x09, "b", torch.int8), (0x0B, "h", torch.int16), (0x0C, "i", torch.int32), (0x0D, "f", torch.float32)],
)
def test_big_endian_types(tmp_path, kind, form, dtype):
    path = tmp_path / "values"
    path.write_bytes(idx((3,), struct.pack(f">3{form}", 1, -2, 100), kind))
    assert torch.equal(read_idx(path), torch.tensor([1, -2, 100], dtype=dtype))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no IDX file"),
        (b"PNG image", "expected the magic bytes 00 00 type dimensions, got 50 4e 47 20"),
        (IMAGES[:10], "the header should have 16 bytes, the file has 10"),
        (IMAGES[:-1], r"is damaged: shape \[2, 2, 3\] needs 28 bytes, the file has 27"),
        (IMAGES + b"x", "needs 28 bytes, the file has 29"),
        (gzip.compress(IMAGES, mtime=0)[:-9], "is damaged: its gzip stream cannot be read"),
        (gzip.compress(IMAGES, mtime=0)[:12] + b"\xff" * 20, "is damaged: its gzip stream cannot be read"),
        (idx((2,), b"ab"), "expected an IDX array of 3 axes, got 1"),
        (idx((1, 2, 3), bytes(6)), "expected 2 items, got 1"),
    ],
)
def test_damage_is_named(tmp_path, content, message):
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path, dimensions=3, count=2)
    assert str(path) in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="Cannot read .*nothing: No such file"):
        read_idx(tmp_path / "nothing")
