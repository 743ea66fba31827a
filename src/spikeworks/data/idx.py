"""The IDX format of MNIST and its relatives, plain or gzip.

Four bytes ``0, 0, type, dimensions``, then one big-endian uint32 for each dimension, then the
values in row-major, big-endian order.

Example: ``read_idx(folder / "train-images-idx3-ubyte.gz")`` is a uint8 tensor ``[60000, 28, 28]``.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..core.errors import DataError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path, dimensions: int | None = None, count: int | None = None) -> Tensor:
    """The array of an IDX file.

    Args:
        path: the file; gzip is recognised by its first bytes, not by its name.
        dimensions: how many axes are expected (3 for images, 1 for labels).
        count: how many items (first axis) are expected.

    Returns:
        A tensor of the stored dtype and shape.

    Raises:
        DataError: not an IDX file, cut off, longer than its header says, or not what was expected.
    """
    path = Path(path)
    raw = _read_bytes(path)
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _TYPES or raw[3] == 0:
        raise DataError(
            f"{path} is no IDX file: expected the magic bytes 00 00 type dimensions, got {raw[:4].hex(' ')}."
        )
    axes = raw[3]
    if dimensions is not None and axes != dimensions:
        raise DataError(
            f"{path}: expected an IDX array of {dimensions} axes, got {axes}.", "images and labels mixed up?"
        )
    start = 4 + 4 * axes
    if len(raw) < start:
        raise DataError(f"{path} is damaged: the header should have {start} bytes, the file has {len(raw)}.")
    shape = [int(n) for n in np.frombuffer(raw, dtype=">u4", count=axes, offset=4)]
    dtype = np.dtype(_TYPES[raw[2]])
    wanted = start + math.prod(shape) * dtype.itemsize
    if len(raw) != wanted:
        raise DataError(
            f"{path} is damaged: shape {shape} needs {wanted} bytes, the file has {len(raw)}.", "get the file again"
        )
    if count is not None and shape[0] != count:
        raise DataError(f"{path}: expected {count} items, got {shape[0]}.")
    values = np.frombuffer(raw, dtype=dtype, offset=start).reshape(shape)
    return torch.from_numpy(values.astype(dtype.newbyteorder("=")))


def _read_bytes(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path} is damaged: its gzip stream cannot be read ({error}).", "get the file again"
        ) from error
