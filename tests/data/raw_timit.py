"""Writes a tiny tree in the raw layout of TIMIT: SPHERE files and notes of their phones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikeworks.data.timit import PHONES

RATE = 16_000


def sphere(samples: np.ndarray, order: str = "01", **changed: object) -> bytes:
    """A SPHERE file of integers ``[samples]``; ``changed`` replaces fields of the header, ``None`` leaves one out."""
    fields = {
        "channel_count": 1, "sample_count": len(samples), "sample_rate": RATE, "sample_min": -20000,
        "sample_max": 20000, "sample_n_bytes": 2, "sample_byte_format": order, "sample_sig_bits": 16,
        "database_id": "TIMIT", "sample_coding": None,
    } | changed  # fmt: skip
    kinds = {str: lambda v: f"-s{len(v)} {v}", int: lambda v: f"-i {v}"}
    lines = [f"{name} {kinds[type(v)](v)}" for name, v in fields.items() if v is not None]
    head = "\n".join(["NIST_1A", "   1024", *lines, "end_head", ""]).encode()
    return head.ljust(1024) + samples.astype({"01": "<i2", "10": ">i2"}.get(order, "<i2")).tobytes()


def sentence(speaker: str, number: int, phones: int = 6) -> tuple[np.ndarray, list[str]]:
    """Tones, one a phone, between silences; samples and lines of notes."""
    draw = np.random.default_rng([*speaker.encode(), number])
    chosen = [PHONES.index("h#"), *draw.integers(0, len(PHONES), phones).tolist(), PHONES.index("h#")]
    parts, lines, at = [], [], 0
    for phone in chosen:
        size = int(draw.integers(900, 2500))
        time = np.arange(size) / RATE
        loud = 0 if PHONES[phone] == "h#" else 6000
        parts.append(loud * np.sin(2 * np.pi * (150 + 90 * phone) * time) + draw.normal(0, 30, size))
        lines.append(f"{at} {at + size} {PHONES[phone]}")
        at += size
    return np.concatenate(parts).round().astype(np.int16), lines


def write_sentence(folder: Path, name: str, samples: np.ndarray, lines: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.WAV").write_bytes(sphere(samples))
    (folder / f"{name}.PHN").write_text("\n".join(lines) + "\n")


def write_timit(root: Path, speakers: int = 10) -> Path:
    """Two regions; ``speakers`` of each in TRAIN and two in TEST, with an SA, an SI and an SX sentence."""
    for part, count in (("TRAIN", speakers), ("TEST", 2)):
        for region in (1, 2):
            for k in range(count):
                who = f"{'FM'[k % 2]}{part[:2]}{region}{k}"
                for number, name in enumerate(("SA1", f"SI{600 + k}", f"SX{30 + k}")):
                    write_sentence(root / "timit" / part / f"DR{region}" / who, name, *sentence(who, number))
    return root / "timit"
