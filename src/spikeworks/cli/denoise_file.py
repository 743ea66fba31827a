"""``denoise IN.WAV OUT.WAV``: a sound file without its noise."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from ..core import quantities
from ..core.errors import ConfigError
from ..core.files import atomic_path
from ..data.resample import Resampler
from ..data.sound_stream import SoundFile, WavWriter
from ..deploy.denoise import SILENCE, Denoiser, repaired
from ..tasks.denoise_stream import DenoisingStream
from .denoiser import GROWS, load_denoiser, report

_BLOCK = 1 << 14  # samples of each channel that are read at a time
_FULL = 1 - 2**-14  # amplitude from which a sample is at full scale


@dataclasses.dataclass
class _Seen:
    """What is worth a note."""

    broken: int = 0
    clipped: int = 0
    limited: int = 0
    peak: float = 0.0

    def heard(self, block: np.ndarray) -> np.ndarray:
        """The block without broken samples."""
        samples, broken = repaired(torch.from_numpy(block))
        self.broken += broken
        wave = samples.numpy()
        high = np.abs(wave) >= _FULL
        self.clipped += int((high[:, 1:] & (wave[:, 1:] == wave[:, :-1])).sum())
        self.peak = max(self.peak, float(np.abs(wave).max(initial=0.0)))
        return wave

    def limit(self, wave: np.ndarray) -> np.ndarray:
        """The wave within full scale."""
        self.limited += int((np.abs(wave) > 1).sum())
        return np.clip(wave, -1, 1)

    def notes(self, source: Path) -> Iterator[str]:
        """One sentence each."""
        if self.broken:
            yield f"{self.broken} sample(s) of {source} are no usable numbers and became 0"
        if self.clipped:
            yield f"{source} is clipped: {self.clipped} sample(s) stay at full scale; what is cut off stays lost"
        if self.peak <= SILENCE:
            yield f"{source} is silent (peak {self.peak:.1g})"
        if self.limited:
            yield f"{self.limited} sample(s) of the output were beyond full scale and limited"


def denoise_file(args: argparse.Namespace, source: Path, target: Path) -> int:
    """Denoise ``source`` into ``target``, which is there whole or not at all."""
    if target.suffix.lower() != ".wav":
        raise ConfigError(f"The output is a WAV file; {target} does not end in .wav.")
    if target.is_dir():
        raise ConfigError(f"{target} is a folder.", f"give a file, for instance {target / source.name}")
    with SoundFile(source) as sound:
        if target.exists() and target.samefile(source):
            raise ConfigError(f"{target} is the input; it would be lost.", "give the output another name")
        loaded = load_denoiser(args)
        channels = 1 if args.mix_down else sound.channels
        path = DenoisingStream(loaded.task, channels)
        denoiser = Denoiser(loaded.network, path, frames=args.frames, reset_after=args.reset_after)
        rate = sound.rate if args.keep_rate else path.rate
        if loaded.note:
            _note(loaded.note)
        for note in _beforehand(sound, denoiser, args):
            _note(note)
        seen = _Seen()
        with atomic_path(target) as temporary, WavWriter(temporary, rate, channels, sound.subtype) as out:
            for wave in _denoised(sound, denoiser, seen, rate, args):
                out.write(seen.limit(wave))
    for note in seen.notes(source):
        _note(note)
    count = f"{channels} channel{'s' if channels > 1 else ''}"
    length = quantities.duration(sound.samples / sound.rate)
    print(f"{target}: {length}, {count} at {rate} Hz; {report(denoiser, path.rate, loaded.engine)}")
    return 0


def _beforehand(sound: SoundFile, denoiser: Denoiser, args: argparse.Namespace) -> Iterator[str]:
    rate = denoiser.path.rate
    if denoiser.grows:
        yield GROWS
    if sound.rate != rate:
        back = f"and brought back to {sound.rate} Hz" if args.keep_rate else "and stays so (--keep-rate brings it back)"
        yield f"{sound.path} has {sound.rate} Hz; it is resampled to the network's {rate} Hz {back}"
        if sound.rate > rate and args.keep_rate:
            yield f"the output holds nothing above {rate / 2000:g} kHz, which the network does not hear"
    if sound.channels > 1:
        how = "mixed down to one" if args.mix_down else "denoised each for itself (--mix-down makes one of them)"
        yield f"{sound.path} has {sound.channels} channels; they are {how}"


def _denoised(
    sound: SoundFile, denoiser: Denoiser, seen: _Seen, rate: int, args: argparse.Namespace
) -> Iterator[np.ndarray]:
    """The output ``[channels, samples]`` in pieces, at ``rate``."""
    channels = denoiser.path.channels
    down = Resampler(sound.rate, denoiser.path.rate, channels)
    back = Resampler(denoiser.path.rate, rate, channels)
    left = sound.samples if rate == sound.rate else None  # there and back may give a sample more
    with _progress(sound, args.quiet) as advance:
        for block in sound.blocks(_BLOCK):
            wave = seen.heard(block)
            wave = wave.mean(0, keepdims=True) if args.mix_down else wave
            yield (piece := back.push(_run(denoiser, down.push(wave))))
            left = None if left is None else left - piece.shape[1]
            advance(block.shape[1])
        last = [back.push(_run(denoiser, down.flush())), back.push(_rows(denoiser.flush())), back.flush()]
        yield np.concatenate(last, 1)[:, :left]


def _run(denoiser: Denoiser, wave: np.ndarray) -> np.ndarray:
    samples = torch.from_numpy(wave)
    return _rows(denoiser.push(samples[0] if denoiser.path.channels == 1 else samples))


def _rows(samples: torch.Tensor) -> np.ndarray:
    return np.atleast_2d(samples.numpy())


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


@contextlib.contextmanager
def _progress(sound: SoundFile, quiet: bool):
    """A function that is told how many samples are done; a moving bar where there is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda samples: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(sound.path.name, total=sound.samples)
        yield lambda samples: bar.advance(task, samples)
