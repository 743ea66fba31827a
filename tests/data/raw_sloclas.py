"""Writes a tiny tree in the raw layout of SLoClas, and its published windows in MATLAB's v7.3 layout."""

from __future__ import annotations

import math
import wave
from pathlib import Path

import h5py
import numpy as np

RATE = 16_000


def plane_wave(angle: float, seconds: float, seed: int, microphones: int = 4) -> np.ndarray:
    """Bursts of sixty sinusoids from ``angle`` degrees, evaluated at each microphone's own time, ``[samples, M]``."""
    draw = np.random.default_rng(seed)
    frequencies = draw.uniform(300, 3800, 60)
    phases = draw.uniform(0, 2 * math.pi, 60)
    at = 2 * math.pi * np.arange(microphones) / microphones
    late = -0.032 * np.cos(math.radians(angle) - at) / 343
    time = np.arange(int(seconds * RATE))[:, None] / RATE - late
    sound = sum(np.sin(2 * math.pi * f * time + p) for f, p in zip(frequencies, phases, strict=True))
    return sound * (0.02 + 0.01 * np.sin(2 * math.pi * 7 * time))


def write_wav(path: Path, samples: np.ndarray, rate: int = RATE) -> np.ndarray:
    """16-bit PCM; returns the integers that were written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.round(np.clip(samples, -1, 1) * 32_767).astype("<i2")
    with wave.open(str(path), "wb") as handle:
        handle.setnchannels(stored.shape[1])
        handle.setsampwidth(2)
        handle.setframerate(rate)
        handle.writeframes(stored.tobytes())
    return stored


def write_sloclas(root: Path, numbers: range = range(72), seconds: float = 1.0) -> dict[str, np.ndarray]:
    """The recordings of some azimuths (in steps of 5 degrees) and the four noises; their integers by file name."""
    folder, stored = root / "sloclas", {}
    for number in numbers:
        name = f"Seq1_azimuth_{number:02d}.wav"
        stored[name] = write_wav(folder / "Unsegmented_Sound" / name, plane_wave(5 * number, seconds, seed=number))
    for i, angle in enumerate(("00", "90", "180", "270")):
        noise = np.random.default_rng(1000 + i).normal(0, 0.05, (4 * RATE, 4))
        write_wav(folder / "Unsegmented_Noise" / f"{angle}_Deg.wav", noise)
    return stored


def write_mirror(root: Path, windows: np.ndarray, angles: np.ndarray, part: str) -> Path:
    """``windows [N, 500, 4]`` and ``angles [N]`` in degrees as MATLAB saves the rows ``window(:)'``."""
    path = root / "sloclas" / f"{part}_raw_noise.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = windows.transpose(0, 2, 1).reshape(len(windows), -1)
    with h5py.File(path, "w", userblock_size=512) as handle:
        handle["X"] = rows.T.astype(np.float32)  # MATLAB's columns are HDF5's rows
        handle["Y"] = angles[None].astype(np.float32)
        handle["Z"] = np.zeros((360, len(windows)), np.float32)
    return path
