"""Clips of the N-DNS challenge from folders of clean speech and of noise, by its recipe and under its file names.

Per clip: recordings of speech in random order, joined with silences of 0.2 s and cut to 30 s, likewise noise; speech
must be active for 60 % of it, and what is clipped is passed by. Both are mixed (:mod:`~spikeworks.data.mixing`) at a
whole ratio of -5 to 19 dB and a whole level of -35 to -16 dBFS. Three files a clip: ``noisy/``, ``clean/``, ``noise/``.

Unlike the challenge's program, files are listed in order, every split has files of its own, and ratios are true ones
unless ``mode="dns"`` asks for those that the program really makes.

Source: arXiv 2303.09503, and the program ``noisyspeech_synthesizer.py`` of the challenge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import soundfile
import torch
from torch import Tensor

from ..core.errors import ConfigError, DataError
from ..core.files import atomic_path
from ..core.seeds import stream
from .audio import read_audio
from .mixing import CEILING, Mode, active_share, mix
from .ndns import CLIP, FOLDERS, RATE

SNRS = (-5, 19)
LEVELS = (-35, -16)
ACTIVE = 0.6
"""Least share of a clip in which someone speaks."""
_SILENCE = int(0.2 * RATE)
_PIECE = 0.1  # seconds of which the active ones count
_TRIES = 100
_SHARES = (0.8, 0.1)  # of the files, for training and validation; the rest tests


def synthesize(
    clean: str | Path,
    noise: str | Path,
    out: str | Path,
    clips: Mapping[str, int],
    *,
    seed: int = 0,
    samples: int = CLIP,
    mode: Mode = "true",
    progress: Callable[[str, int], None] = lambda split, number: None,
) -> Path:
    """Write clips for the task ``ndns``; what is written already is kept, so that a cut synthesis goes on.

    Args:
        clean, noise: folders with WAV or FLAC files of one channel at 16 kHz, in any depth.
        out: folder of the data; clips go to ``out/ndns/training_set`` and so on.
        clips: how many, for ``train``, ``validation`` and ``test``; file ids count on through the splits.
        seed: of all choices.
        samples: of a clip.
        mode: ``true`` ratios, or ``dns``.
        progress: hears the split and file id of each clip that is written.

    Returns:
        The folder ``out/ndns``.

    Raises:
        ConfigError: another split, or no samples.
        DataError: too few files for the splits, a file that cannot be read, or speech too sparse for any clip.
    """
    unknown = set(clips) - set(FOLDERS)
    if unknown or samples < 1:
        raise ConfigError(f"Clips are for {', '.join(FOLDERS)} and of at least one sample, got {clips}, {samples}.")
    voices, noises = (_split(_files(folder, what), what) for folder, what in ((clean, "speech"), (noise, "noise")))
    number = 0
    for split, folder in FOLDERS.items():
        for _ in range(clips.get(split, 0)):
            made = Path(out) / "ndns" / folder
            if not (made / "clean" / f"clean_fileid_{number}.wav").exists():  # written last
                _clip(made, number, voices[split], noises[split], seed, samples, mode)
                progress(split, number)
            number += 1
    return Path(out) / "ndns"


def _clip(
    folder: Path, number: int, voices: list[Path], noises: list[Path], seed: int, samples: int, mode: Mode
) -> None:
    generator = stream(seed, "ndns", folder.name, number)
    speech, sources = _joined(voices, samples, generator, ACTIVE)
    sound, beside = _joined(noises, samples, generator, 0.0)
    snr, level = (int(torch.randint(low, high + 1, (), generator=generator)) for low, high in (SNRS, LEVELS))
    mixed = mix(speech, sound, snr=snr, level=level, rate=RATE, mode=mode)
    name = f"{'_'.join([*sources, *beside])[:80]}_snr{snr}_tl{level}_fileid_{number}"
    waves = {f"noisy/{name}": mixed.noisy, f"noise/noise_fileid_{number}": mixed.noise}
    for stem, wave in {**waves, f"clean/clean_fileid_{number}": mixed.clean}.items():
        path = folder / f"{stem}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            soundfile.write(temporary, wave.numpy(), RATE, subtype="PCM_16", format="WAV")


def _joined(files: Sequence[Path], samples: int, generator: torch.Generator, active: float) -> tuple[Tensor, list[str]]:
    """Recordings one after another, cut to length, and their names."""
    for _ in range(_TRIES):
        parts: list[Tensor] = []
        names: list[str] = []
        order = torch.randperm(len(files), generator=generator).tolist()
        for index in order * (1 + samples // _SILENCE):  # every file adds at least a silence
            wave = read_audio(files[index], RATE, channels=1)[:, 0]
            if not bool((wave.abs() >= CEILING).any()):
                parts += [wave, torch.zeros(_SILENCE)]
                names.append(files[index].stem)
            if sum(map(len, parts)) >= samples or (index == order[-1] and not names):
                break
        whole = torch.cat([*parts, torch.zeros(1)])[:samples]
        if len(whole) == samples and bool(whole.any()) and active_share(whole, RATE, _PIECE) >= active:
            return whole, names
    raise DataError(f"No clip of {samples / RATE:g} s with enough sound came of {len(files)} file(s) like {files[0]}.")


def _files(folder: str | Path, what: str) -> list[Path]:
    found = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in (".wav", ".flac"))
    if len(found) < len(FOLDERS):
        raise DataError(f"{folder} holds {len(found)} file(s) of {what}; each of three splits needs its own.")
    return found


def _split(files: list[Path], what: str) -> dict[str, list[Path]]:
    """Files of each split, in their order: recordings of one person, named alike, stay together but for two cuts."""
    first = max(1, int(_SHARES[0] * len(files)))
    second = max(first + 1, int((_SHARES[0] + _SHARES[1]) * len(files)))
    first, second = min(first, len(files) - 2), min(second, len(files) - 1)
    return {"train": files[:first], "validation": files[first:second], "test": files[second:]}
