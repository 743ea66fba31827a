"""Sound files in the SPHERE format of NIST with linear PCM of 16 bits: what TIMIT comes in, under the name WAV.

A text header, 1024 bytes or as long as its second line says, with a field a line as ``name -type value``; then samples.

Example: ``wave, rate = read_sphere(folder / "SX139.WAV")`` gives ``[samples]``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..core.errors import DataError

_MAGIC = b"NIST_1A\n"
_ORDERS = {"01": "<i2", "10": ">i2"}


def read_sphere(path: str | Path, rate: int | None = None) -> tuple[Tensor, int]:
    """The samples of a mono file, scaled to [-1, 1), and its rate in hertz.

    Args:
        path: the file.
        rate: the rate that is expected, in hertz; ``None`` takes any.

    Returns:
        A float32 tensor ``[samples]`` and the rate.

    Raises:
        DataError: no SPHERE file, a header that is cut off or lacks a field, compressed samples, samples of another
            width, more than one channel, samples that are missing, none at all, or another rate.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    fields, body = _header(path, raw)
    coding = fields.get("sample_coding", "pcm")
    if coding != "pcm":
        raise DataError(f"{path}: samples are coded as {coding}; expected pcm.", "decode them, as with sph2pipe -p")
    found, count, channels, width = (
        _whole(path, fields, name) for name in ("sample_rate", "sample_count", "channel_count", "sample_n_bytes")
    )
    order = _ORDERS.get(fields.get("sample_byte_format", "01"))
    if width != 2 or order is None:
        raise DataError(
            f"{path}: expected samples of 2 bytes in the order 01 or 10, got {width} in the order "
            f"{fields.get('sample_byte_format')}."
        )
    if channels != 1:
        raise DataError(f"{path}: expected one channel, got {channels}.")
    if count == 0:
        raise DataError(f"{path} holds no samples: a sequence of zero length.")
    if len(body) < 2 * count:
        raise DataError(
            f"{path} is damaged: its header says {count} samples, {len(body) // 2} are there.", "get the file again"
        )
    if rate is not None and found != rate:
        raise DataError(f"{path}: expected a rate of {rate} Hz, got {found} Hz.", f"resample it to {rate} Hz")
    samples = np.frombuffer(body, dtype=order, count=count).astype(np.float32) / 2**15
    return torch.from_numpy(samples), found


def _header(path: Path, raw: bytes) -> tuple[dict[str, str], bytes]:
    """Fields by name, and what stands behind the header."""
    if not raw.startswith(_MAGIC):
        kind = "a RIFF file" if raw.startswith(b"RIFF") else "another format"
        raise DataError(f"{path} is no SPHERE file: it begins as {kind}.", "take the files of the original discs")
    size = raw[len(_MAGIC) : 16].strip()
    if not size.isdigit() or len(raw) < int(size):
        raise DataError(f"{path} is damaged: the file ends inside its header.", "get the file again")
    lines = raw[: int(size)].decode("latin-1").split("\n")[2:]
    if "end_head" not in (line.strip() for line in lines):
        raise DataError(f"{path} is damaged: its header has no end_head.", "get the file again")
    fields: dict[str, str] = {}
    for line in lines:
        if line.strip() == "end_head":
            break
        name, _, value = line.strip().split(" ", 2) if line.count(" ") >= 2 else ("", "", "")
        fields[name] = value.strip()
    return fields, raw[int(size) :]


def _whole(path: Path, fields: dict[str, str], name: str) -> int:
    value = fields.get(name, "1" if name == "channel_count" else "")
    if not value.isdecimal():
        raise DataError(f"{path}: expected a whole number for {name} in the header, got {value or 'nothing'!r}.")
    return int(value)
