"""EDF and EDF+ recordings, read by MNE, which is installed with ``spikeworks[eeg]``."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import ConfigError, DataError

_FIXED_HEADER = 256  # bytes, and as many again for every signal


@dataclasses.dataclass(frozen=True)
class EdfRecording:
    """One file.

    Attributes:
        signal: ``[L, C]`` in volts, float64.
        rate: in hertz.
        channels: names as the file gives them.
        events: (onset in seconds, text) of every annotation, in order.
    """

    signal: np.ndarray
    rate: float
    channels: tuple[str, ...]
    events: tuple[tuple[float, str], ...]


def require_mne() -> Any:
    """The package ``mne``.

    Raises:
        ConfigError: it is not installed; the message says how to get it.
    """
    try:
        return importlib.import_module("mne")
    except ImportError:
        raise ConfigError(
            "Reading EDF recordings needs the package 'mne', which is not installed.", "pip install 'spikeworks[eeg]'"
        ) from None


def read_edf(path: str | Path, rate: float | None = None, channels: int | None = None) -> EdfRecording:
    """Read a file whole.

    Args:
        path: the file.
        rate: the rate that is expected, in hertz; ``None`` takes any.
        channels: the number of signals that is expected, annotations aside; ``None`` takes any.

    Raises:
        ConfigError: MNE is not installed.
        DataError: no EDF file, cut off (the message says how many of its data records are fine),
            another rate or another number of channels.
    """
    path = Path(path)
    check_edf_length(path)
    mne = require_mne()
    try:
        raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
    except Exception as error:  # whatever a reader of a binary format meets in a damaged file
        raise DataError(f"{path} cannot be read as EDF: {error}", "get the file again") from error
    found = float(raw.info["sfreq"])
    if rate is not None and found != rate:
        raise DataError(f"{path}: expected a rate of {rate:g} Hz, got {found:g} Hz.", f"resample it to {rate:g} Hz")
    if channels is not None and len(raw.ch_names) != channels:
        raise DataError(
            f"{path}: expected {channels} channels, got {len(raw.ch_names)}: {', '.join(raw.ch_names[:5])} ..."
        )
    events = zip(raw.annotations.onset, raw.annotations.description, strict=True)
    return EdfRecording(
        signal=np.ascontiguousarray(raw.get_data().T),
        rate=found,
        channels=tuple(raw.ch_names),
        events=tuple((float(onset), str(text)) for onset, text in events),
    )


def check_edf_length(path: Path) -> None:
    """Raise DataError unless a file is EDF and exactly as long as its header says."""
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            fixed = handle.read(_FIXED_HEADER)
            signals = _number(fixed[252:256])
            table = b"" if signals is None else handle.read(_FIXED_HEADER * signals)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    header, records = _number(fixed[184:192]), _number(fixed[236:244])
    if (
        not fixed.startswith(b"0 ")
        or not signals
        or not records
        or header is None
        or header != _FIXED_HEADER * (1 + signals)
    ):
        raise DataError(f"{path} is no EDF file: its first {_FIXED_HEADER} bytes are not those of one.")
    counts = [_number(table[216 * signals + 8 * i :][:8]) for i in range(signals)]
    each = [count for count in counts if count is not None]
    if len(each) < signals:
        raise DataError(f"{path} is damaged: the file ends inside its header.", "get the file again")
    record, data = 2 * sum(each), size - header
    if data != records * record:
        fine = data // record
        what = f"only {fine} are whole" if fine < records else f"{data - records * record} more bytes follow"
        raise DataError(f"{path} is damaged: its header says {records} data records, {what}.", "get the file again")


def _number(text: bytes) -> int | None:
    text = text.strip()
    return int(text) if text.isdigit() else None
