"""Writes a tiny tree in the raw layout of DVS-Lip: two lips that open in a way of each word's own."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

EVENT = np.dtype([("t", "<i4"), ("x", "u1"), ("y", "u1"), ("p", "u1")])


def lips(word: int, seed: int, milliseconds: int = 1100) -> np.ndarray:
    """Events where the logarithm of the light changes by more than 0.2, a frame every 20 ms."""
    draw = np.random.default_rng(seed)
    middle = 64 + draw.uniform(-3, 3)
    row, column = np.mgrid[:128, :128]
    seen, found = None, []
    for t in range(0, milliseconds, 20):
        turn = 2 * math.pi * t / milliseconds
        opening = 9 + 7 * math.sin((1 + word) * turn + draw.normal(0, 0.05))
        width = 14 + 4 * math.cos((1 + word // 2) * turn)
        light = 0.3 + sum(
            np.exp(-(((row - middle - side * opening) / 4) ** 2) - ((column - middle) / width) ** 2) for side in (-1, 1)
        )
        bright = np.log(light)
        if seen is None:
            seen = bright
            continue
        changed = np.abs(bright - seen) > 0.2
        y, x = changed.nonzero()
        events = np.zeros(len(y), EVENT)
        events["t"] = np.sort(1000 * t - draw.integers(0, 20_000, len(y)))
        events["x"], events["y"], events["p"] = x, y, (bright > seen)[changed]
        found.append(events)
        seen = np.where(changed, bright, seen)
    return np.concatenate(found)


def write_dvs_lip(root: Path, words: tuple[str, ...], clips: int = 3) -> None:
    for k, part in enumerate(("train", "test")):
        for i, word in enumerate(words):
            folder = root / "dvs_lip" / part / word
            folder.mkdir(parents=True, exist_ok=True)
            for n in range(clips):
                np.save(folder / f"{n}.npy", lips(i, seed=1000 * k + 10 * i + n))
