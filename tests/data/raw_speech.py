"""Writers of tiny trees in the layouts of the N-DNS challenge and of AISHELL-1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
FOLDERS = ("training_set", "validation_set", "test_set_1")


def write_wave(path: Path, wave: np.ndarray, rate: int = RATE) -> None:
    """16-bit PCM, values rounded to what the file can hold."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.round(wave * 2**15).astype(np.int16), rate, subtype="PCM_16")


def write_clip(folder: Path, number: int, sources: str, seconds: float = 1.0, snr: int = 5, level: int = -20) -> dict:
    """One clip of the challenge; returns its three waves, exact."""
    rng = np.random.default_rng(number)
    samples = int(seconds * RATE)
    clean = 0.2 * np.sin(2 * np.pi * (200 + 30 * number) * np.arange(samples) / RATE)
    noise = 0.05 * rng.standard_normal(samples)
    clean, noise = (np.round(wave * 2**15) / 2**15 for wave in (clean, noise))
    write_wave(folder / "noisy" / f"{sources}_snr{snr}_tl{level}_fileid_{number}.wav", clean + noise)
    write_wave(folder / "clean" / f"clean_fileid_{number}.wav", clean)
    write_wave(folder / "noise" / f"noise_fileid_{number}.wav", noise)
    return {"clean": clean, "noise": noise, "noisy": clean + noise}


def write_ndns(root: Path, each: int = 3) -> dict[str, list[dict]]:
    """``ndns/`` with a few clips of one second in each of its three sets; no sources are shared."""
    written: dict[str, list[dict]] = {}
    for part, folder in enumerate(FOLDERS):
        numbers = range(10 * part, 10 * part + each)
        written[folder] = [write_clip(root / "ndns" / folder, n, f"book_{n}_snr_street_{n}") for n in numbers]
    return written


SAID = {"train": "而 对 楼市 成交", "dev": "楼市 成交", "test": "对 而 远"}


def write_aishell(root: Path, each: int = 3, seconds: float = 0.6) -> Path:
    """``data_aishell/`` with a few utterances of one speaker in each split; the last of each has no transcript."""
    base = root / "data_aishell"
    lines = []
    for part, (split, said) in enumerate(SAID.items()):
        for number in range(each):
            name = f"BAC009S{part:04d}W{number:04d}"
            wave = 0.1 * np.random.default_rng(10 * part + number).standard_normal(int(seconds * RATE))
            write_wave(base / "wav" / split / f"S{part:04d}" / f"{name}.wav", wave)
            if number < each - 1:
                lines.append(f"{name} {said}")
    transcripts = base / "transcript" / "aishell_transcript_v0.8.txt"
    transcripts.parent.mkdir(parents=True)
    transcripts.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return base
