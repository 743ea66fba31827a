"""Writes a tiny tree in the raw layout of WISDM."""

from __future__ import annotations

import math
import random
from pathlib import Path

from spikeworks.data.wisdm import CODES, SUBJECTS

TICK = 50_354_004  # nanoseconds


def lines_of(subject: int, per_activity: int = 450, codes: str = CODES) -> list[str]:
    """One subject: activity k sways at 0.3 + 0.25 k Hz and twice that, with gain and phase of the subject."""
    draw = random.Random(subject)
    gain, phase = draw.uniform(0.7, 1.3), draw.uniform(0.0, 2 * math.pi)
    lines, clock = [], 90_426_708_196_641 + subject
    for k, code in enumerate(codes):
        for i in range(per_activity):
            angle = 2 * math.pi * (0.3 + 0.25 * k) * i / 20
            axes = [
                gain * (math.sin(angle + phase + axis) + 0.5 * math.sin(2 * angle + axis))
                + draw.gauss(0.2 * axis, 0.05)
                for axis in range(3)
            ]
            lines.append(f"{subject},{code},{clock},{axes[0]:.7g},{axes[1]:.7g},{axes[2]:.7g};")
            clock += TICK
    return lines


def path_of(root: Path, subject: int) -> Path:
    return root / f"wisdm-dataset/raw/watch/gyro/data_{subject}_gyro_watch.txt"


def write_wisdm(
    root: Path, subjects: tuple[int, ...] = SUBJECTS[:6], per_activity: int = 450, codes: str = CODES
) -> None:
    for subject in subjects:
        path = path_of(root, subject)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines_of(subject, per_activity, codes)))
