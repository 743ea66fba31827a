"""Writes a tiny tree in the raw layout of Speech Commands v2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.data.raw_sloclas import write_wav

from spikeworks.data.speech_commands import WORDS

RATE = 16_000
SPEAKERS = {"train": tuple(f"a{k:07x}" for k in range(6)), "validation": ("b0000001",), "test": ("c0000001",)}


def command(word: str, speaker: str, take: int, samples: int = RATE) -> np.ndarray:
    """Two tones of the word that swell in another order for every second word, ``[samples, 1]``."""
    k = WORDS.index(word)
    draw = np.random.default_rng([k, *speaker.encode(), take])
    time = np.arange(samples)[:, None] / RATE
    first, second = 300 * 1.09**k, 300 * 1.09 ** ((k + 12) % 35)
    late = 1 / (1 + np.exp(-20 * (time - 0.5 + draw.uniform(-0.1, 0.1))))
    early = (1 - late) if k % 2 else late
    sound = early * np.sin(2 * np.pi * first * time) + (1 - early) * np.sin(2 * np.pi * second * time)
    return 0.2 * sound + draw.normal(0, 0.01, (samples, 1))


def write_speech_commands(root: Path, words: tuple[str, ...] = WORDS, samples: int = RATE) -> Path:
    """Two takes of each word by each speaker, the two lists, and two noises of 12 s."""
    folder = root / "speech_commands"
    for split, speakers in SPEAKERS.items():
        names = [(w, s, t) for w in words for s in speakers for t in range(2 if split != "train" else 1)]
        for word, speaker, take in names:
            write_wav(folder / word / f"{speaker}_nohash_{take}.wav", command(word, speaker, take, samples))
        if split != "train":
            listed = "\n".join(f"{w}/{s}_nohash_{t}.wav" for w, s, t in names)
            (folder / {"validation": "validation_list.txt", "test": "testing_list.txt"}[split]).write_text(
                listed + "\n"
            )
    for seed, name in enumerate(("pink_noise", "running_tap")):
        noise = np.random.default_rng(seed).normal(0, 0.05, (12 * RATE, 1))
        write_wav(folder / "_background_noise_" / f"{name}.wav", noise)
    (folder / "README.md").write_text("not a word\n")
    return folder
