"""Intel Neuromorphic DNS challenge: noisy speech at 16 kHz, its clean part and its noise, in clips of 30 s.

``noisyspeech_synthesizer.py`` of the challenge writes ``training_set/`` and ``validation_set/``; ``test_set_1/`` is
downloaded. In each stand ``noisy/{sources}_snr{snr}_tl{level}_fileid_{id}.wav``, ``clean/clean_fileid_{id}.wav`` and
``noise/noise_fileid_{id}.wav``. arXiv 2303.09503.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import DataError
from .audio import read_audio
from .files import FileSet, WantedFile
from .records import read_records
from .sound_length import sound_length
from .trees import locate_tree

RATE = 16_000
CLIP = 30 * RATE
"""Samples of a clip; longer ones are cut, shorter ones padded with zeros, as the challenge's reader does."""
FOLDERS = {"train": "training_set", "validation": "validation_set", "test": "test_set_1"}

NDNS = FileSet(
    name="ndns",
    title="Intel N-DNS challenge",
    files=tuple(WantedFile(f"{folder}/noisy/*.wav") for folder in FOLDERS.values()),
    layout="training_set/, validation_set/ and test_set_1/, each with noisy/, clean/ and noise/ of 16 kHz WAV",
    folders=("MicrosoftDNS_4_ICASSP", "IntelNeuromorphicDNSChallenge"),
    advice="make them with the challenge's program (github.com/IntelLabs/IntelNeuromorphicDNSChallenge), or by its "
    "recipe: spikeworks data ndns --clean SPEECH --noise NOISES",
)


@dataclasses.dataclass(frozen=True)
class NoisyClip:
    """One clip on disk.

    Attributes:
        noisy, clean: files.
        number: its file id.
        snr: of the name, in dB, which is not quite the true one, see :mod:`~spikeworks.data.mixing`.
        level: of the noisy wave in dBFS.
        samples: of the files, at most ``CLIP`` of which are read.
        sources: names of the recordings that it was mixed from, joined and shortened by the challenge's program.
    """

    noisy: Path
    clean: Path
    number: int
    snr: int
    level: int
    samples: int
    sources: str

    def read(self) -> Tensor:
        """Clean and noisy wave, ``[2, CLIP]``.

        Raises:
            DataError: a file that is damaged or not finite.
        """
        return torch.stack([_whole(read_audio(path, RATE, channels=1)[:, 0]) for path in (self.clean, self.noisy)])


def find_clips(root: str | Path | None) -> dict[str, list[NoisyClip]]:
    """All clips of each split, by file id; files are checked by their headers.

    Raises:
        DataError: no clips, or some of them with a name of another form, without a partner, cut off, of another rate or
            number of channels, or with parts of different length: how many are fine, and what is wrong with the first.
    """
    _, found = locate_tree(NDNS, root)
    clips = {}
    for split, folder in FOLDERS.items():
        what = f"{folder} clip"
        read = list(read_records(found[f"{folder}/noisy/*.wav"], _clip, what))
        numbers = [clip.number for clip in read]
        twice = sorted({number for number in numbers if numbers.count(number) > 1}) if _repeats(numbers) else []
        if twice:
            raise DataError(f"{what}: {len(twice)} file id(s) occur twice, the first {twice[0]}.")
        clips[split] = sorted(read, key=lambda clip: clip.number)
    return clips


def _repeats(numbers: list[int]) -> bool:
    return len(set(numbers)) < len(numbers)


def _clip(path: Path) -> NoisyClip:
    # the name's own parts from the right: the names of sources may hold anything
    found = re.fullmatch(r"(.*?)_snr(-?\d+)_tl(-?\d+)_fileid_(\d+)", path.stem)
    if found is None:
        raise DataError(f"{path}: expected a name like SOURCES_snr5_tl-20_fileid_17.wav.")
    sources, snr, level, number = found[1], int(found[2]), int(found[3]), int(found[4])
    base = path.parent.parent
    clean = base / "clean" / f"clean_fileid_{number}.wav"
    samples = {part: sound_length(part, RATE) for part in (path, clean)}
    noise = base / "noise" / f"noise_fileid_{number}.wav"
    if noise.parent.is_dir():  # nobody reads it, but a set with holes is no set
        samples[noise] = sound_length(noise, RATE)
    if len(set(samples.values())) > 1:
        listed = ", ".join(f"{part.name} {count}" for part, count in samples.items())
        raise DataError(f"{path}: the parts of a clip differ in samples: {listed}.")
    return NoisyClip(path, clean, number, snr, level, samples[path], sources)


def _whole(wave: Tensor) -> Tensor:
    return torch.nn.functional.pad(wave[:CLIP], (0, max(0, CLIP - len(wave))))
