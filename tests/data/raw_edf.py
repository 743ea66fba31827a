"""Writes EDF+ recordings in the layout of EEGMMIDB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

MICROVOLTS = 8192.0  # physical range of the 16 bits
TEXT_BYTES = 64  # of a record, for annotations


def write_edf(
    path: Path, signal: np.ndarray, events: Sequence[tuple[float, float, str]], rate: int = 160
) -> np.ndarray:
    """Write ``[L, C]`` microvolts, L a multiple of the rate; the values as they come back are returned.

    Args:
        path: the file.
        signal: of the channels.
        events: onset and duration in seconds, text.
        rate: samples of a record of 1 s.
    """
    length, channels = signal.shape
    records, signals = length // rate, channels + 1
    digital = np.clip(np.round(signal / MICROVOLTS * 32767), -32767, 32767).astype("<i2")
    samples = [rate] * channels + [TEXT_BYTES // 2]
    is_text = [False] * channels + [True]

    def column(width: int, values: list[object]) -> str:
        return "".join(str(value).ljust(width) for value in values)

    header = (
        "0".ljust(8)
        + "X X X X".ljust(80)
        + "Startdate 12-AUG-2009 X X X".ljust(80)
        + "12.08.0916.15.00"
        + str(256 * (1 + signals)).ljust(8)
        + "EDF+C".ljust(44)
        + str(records).ljust(8)
        + "1".ljust(8)
        + str(signals).ljust(4)
        + column(16, [f"C{i}.." for i in range(channels)] + ["EDF Annotations"])
        + column(80, [""] * signals)
        + column(8, ["" if text else "uV" for text in is_text])
        + column(8, [-1 if text else -MICROVOLTS for text in is_text])
        + column(8, [1 if text else MICROVOLTS for text in is_text])
        + column(8, [-32768 if text else -32767 for text in is_text])
        + column(8, [32767] * signals)
        + column(80, [""] * signals)
        + column(8, samples)
        + column(32, [""] * signals)
    )
    body = bytearray()
    for record in range(records):
        body += digital[record * rate : (record + 1) * rate].T.tobytes()
        text = f"+{record}\x14\x14\x00"
        for onset, duration, what in events:
            if record <= onset < record + 1:
                text += f"+{onset:g}\x15{duration:g}\x14{what}\x14\x00"
        body += text.encode().ljust(TEXT_BYTES, b"\x00")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.encode("ascii") + bytes(body))
    return digital / 32767 * MICROVOLTS


def write_run(path: Path, seed: int, trials: int = 4, channels: int = 64, rate: int = 160) -> np.ndarray:
    """A run with a trial of 4 s every 8 s, left and right in turn, from 2 s on."""
    draw = np.random.default_rng(seed)
    signal = 30 * draw.normal(size=(rate * (8 * trials + 4), channels))
    events = []
    for trial in range(trials):
        events += [(2.5 + 8 * trial, 4.0, f"T{1 + (trial + seed) % 2}"), (6.5 + 8 * trial, 4.0, "T0")]
    return write_edf(path, signal, events, rate)
