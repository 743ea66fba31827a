"""``denoise-digits``: remove environmental noise from real spoken digits; a stand-in for ``ndns`` at 8 kHz.

Streams of digits of one speaker (Free Spoken Digit Dataset: trimmed below -45 dB of the peak, peak 1, silences of 50 to
200 ms) are mixed with environmental sounds (ESC-10) at a set signal-to-noise ratio and level
(:mod:`~spikeworks.data.mixing`). Training clips are mixed on the fly, each epoch others; validation and test clips are
always the same. What is heard is 8 kHz: windows of 256 samples every 64 (32 and 8 ms), 125 frames a second, 129
frequencies. Figures have nothing to do with those of ``ndns``.

Splits: george, jackson, lucas and nicolas train, yweweler validates, theo tests (``rotation=0``; five others let each
speaker be the test's once: six are too few for the figure of one to say much). With ``noise="unseen"`` the test has
kinds of noise that training has not, with ``"seen"`` the same kinds, see :mod:`~spikeworks.tasks.denoise_noises`. No
speaker, and no recording of a noise, is in two splits either way.

``source="made"`` takes noises that are made (:mod:`~spikeworks.data.made_noise`) in place of recordings, ``"both"`` one
or the other. Babble and speech-shaped noise are made of speakers of training in every split.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError, DataError
from ..core.seeds import stream
from ..data.dataset import Dataset
from ..data.deep_filter import Mask, MaskKind
from ..data.digit_speech import ROTATIONS, at_speed, joined, load_digit_speech
from ..data.drawn import DrawnDataset
from ..data.esc10 import load_esc10
from ..data.fsdd import FSDD, RATE, Recording
from ..data.mixing import Mixture, Mode, active_share, mix
from ..data.stft import Stft
from .base import SPLITS, TASKS, TaskConfig, TaskDefaults, TaskInfo
from .denoise_noises import Noise, Sound, made_noises, recorded_noises
from .denoising import SI_SNR, DenoisingTask, Front, Level, check_options

Source = Literal["esc10", "made", "both"]
_SILENCE = (0.05, 0.2)
_ACTIVE = 0.5  # least share of a clip in which someone speaks
_TRIES = 50


@TASKS.register("denoise-digits")
@config_kind("task", "denoise-digits")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DenoiseDigitsConfig(TaskConfig):
    """Options of ``denoise-digits``.

    Attributes:
        noise: whether validation and test have kinds of noise that training has not (``unseen``), or other recordings
            of the same kinds (``seen``).
        source: of the noises: recordings of ``esc10``, ``made`` ones, or ``both``, each in half of the clips.
        rotation: 0 to 5, who trains, validates and tests, see :func:`~spikeworks.data.digit_speech.speakers_of`.
        mask: of the magnitudes, one number a frequency, or ``complex``, two a tap.
        taps: frames that a complex mask filters over, the present one and those before it.
        level: what is done to the loudness of what the network hears, see :class:`~spikeworks.tasks.denoising.Front`.
        snr_weight: of the SI-SNR in the loss, beside the spectra.
        snr_low, snr_high: signal to noise in dB; whole numbers between them are drawn evenly.
        level_low, level_high: of the noisy wave in dBFS, drawn the same way.
        mode: ``true`` ratios, or those that the challenge's program makes, see :mod:`~spikeworks.data.mixing`.
        train_seconds, test_seconds: length of the clips of training, and of validation and test.
        train_size, validation_size, test_size: clips.
        speeds: slowest and fastest speed at which training plays each of its digits and noises, pitch and all, evenly
            drawn on a logarithmic scale. Four voices at one speed teach a network those four voices.
        colour: training filters each clip's voice by ``x[t] - a x[t - 1]``, a drawn evenly up to this size: brighter or
            darker, as other microphones and other voices are. 0: not at all.
        seed: of the mixtures, not of the run.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="remove environmental noise from spoken digits at 8 kHz (stand-in for ndns)",
        shape="T=251 (test 501) C=129, a mask of 129",
        sizes=(1_000, 200, 200),
        metric=SI_SNR,
        files=FSDD,  # and ESC10, which says so itself where it is missing
    )

    noise: Noise = "unseen"
    source: Source = "esc10"
    rotation: int = 0
    mask: MaskKind = "magnitude"
    taps: int = 1
    level: Level = "cumulative"
    snr_weight: float = 0.001
    snr_low: int = -5
    snr_high: int = 19
    level_low: int = -35
    level_high: int = -16
    mode: Mode = "true"
    train_seconds: float = 2.0
    test_seconds: float = 4.0
    train_size: int = 1_000
    validation_size: int = 200
    test_size: int = 200
    speeds: tuple[float, float] = (0.75, 1.4)
    colour: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        check_options("denoise-digits", self.level, self.snr_weight)
        Mask(self.mask, self.taps)
        for what, kind in (("noise", Noise), ("mode", Mode), ("source", Source)):
            if getattr(self, what) not in get_args(kind):
                known = ", ".join(map(repr, get_args(kind)))
                raise ConfigError(f"denoise-digits: {what} is one of {known}, got {getattr(self, what)!r}.")
        if not 0 <= self.rotation < ROTATIONS:
            raise ConfigError(f"denoise-digits: rotation is a number from 0 to {ROTATIONS - 1}, got {self.rotation}.")
        for what, low, high in (
            ("snr", self.snr_low, self.snr_high),
            ("level", self.level_low, self.level_high),
        ):
            if low > high or not -100 <= low <= high <= 100:
                raise ConfigError(f"denoise-digits: {what} runs from low to high within 100 dB, got {low} to {high}.")
        for seconds in (self.train_seconds, self.test_seconds):
            if not 0.5 <= seconds <= 60 or not math.isfinite(seconds):
                raise ConfigError(f"denoise-digits: clips last from 0.5 to 60 seconds, got {seconds}.")
        if not 0.25 <= self.speeds[0] <= self.speeds[1] <= 4:
            raise ConfigError(
                f"denoise-digits: speeds run from the slowest to the fastest in 0.25 to 4, got {self.speeds}."
            )
        if not 0 <= self.colour < 1:
            raise ConfigError(f"denoise-digits: colour is a number from 0 to below 1, got {self.colour}.")
        for size in (self.train_size, self.validation_size, self.test_size):
            if size < 1:
                raise ConfigError(f"denoise-digits: a split has at least one clip, got {size}.")

    def build(self, root: str | Path | None = None) -> DenoiseDigits:
        return DenoiseDigits(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(128, 128),
            epochs=10,
            batch_size=16,
            learning_rate=3e-3,
            clip=10.0,
            readout="every",
            schedule="cosine",
        )


class DenoiseDigits(DenoisingTask):
    """The built task."""

    def __init__(self, config: DenoiseDigitsConfig, root: str | Path | None) -> None:
        front = Front(Stft(window=256, hop=64), config.level)
        same = config.train_seconds == config.test_seconds
        steps = front.stft.frames(_samples(config.train_seconds, front.stft)) if same else None
        super().__init__(config, front, Mask(config.mask, config.taps), config.snr_weight, RATE, steps, root)
        self._options = config
        self._mixers: dict[str, _Mixer] = {}

    def _load(self, split: str) -> dict[str, Dataset]:
        options = self._options
        speakers = load_digit_speech(self._root, options.rotation)
        trained = [r.wave for voice in speakers["train"].values() for r in voice]
        sources: list[Mapping[str, Sequence[Sound]]] = []
        if options.source != "made":
            sources.append(recorded_noises(load_esc10(self._root), options.noise))
        if options.source != "esc10":
            sources.append(made_noises(trained, options.noise))
        sizes = (options.train_size, options.validation_size, options.test_size)
        found: dict[str, Dataset] = {}
        for name, size in zip(SPLITS, sizes, strict=True):
            mixer = self._mixers[name] = _Mixer(self, name, list(speakers[name].values()), [s[name] for s in sources])
            data = DrawnDataset(size, mixer.pair, self.front.join)
            found[name] = data if name == "train" else data.fixed()
        return found

    def mixture(self, split: str, position: int, draw: int = 0) -> tuple[Mixture, dict[str, str | int]]:
        """The clip at ``position`` of a split, with its speaker, kind of noise, ratio and level.

        Args:
            draw: of a training clip, the number that its plan has drawn; 0 is the natural order.
        """
        self.data(split)
        return self._mixers[split].mixture(position, draw)


class _Mixer:
    """Makes the clips of one split."""

    def __init__(
        self, task: DenoiseDigits, split: str, voices: list[list[Recording]], sources: Sequence[Sequence[Sound]]
    ) -> None:
        self.options, self.name, self.split = task._options, task.name, split
        self.voices, self.sources = voices, sources
        seconds = self.options.train_seconds if split == "train" else self.options.test_seconds
        self.samples = _samples(seconds, task.front.stft)

    def pair(self, position: int, draw: int) -> Tensor:
        """Clean and noisy wave, ``[2, S]``."""
        mixture, _ = self.mixture(position, draw)
        return torch.stack([mixture.clean, mixture.noisy])

    def mixture(self, position: int, draw: int) -> tuple[Mixture, dict[str, str | int]]:
        options = self.options
        generator = stream(options.seed, self.name, self.split, position, draw)
        voice = self.voices[_one_of(len(self.voices), generator)]
        # one source asks for no draw: clips stay those that they were before there were two
        noises = self.sources[_one_of(len(self.sources), generator) if len(self.sources) > 1 else 0]
        noise = noises[_one_of(len(noises), generator)]
        snr = options.snr_low + _one_of(options.snr_high - options.snr_low + 1, generator)
        level = options.level_low + _one_of(options.level_high - options.level_low + 1, generator)
        mixed = mix(
            self._speech(voice, generator),
            self._noise(noise, generator),
            snr=snr,
            level=level,
            rate=RATE,
            mode=options.mode,
        )
        about = {"speaker": voice[0].speaker, "noise": noise.name, "kind": noise.category, "snr": snr, "level": level}
        return mixed, about

    def _speed(self, generator: torch.Generator) -> float:
        """Of training alone; others are heard as they are."""
        low, high = self.options.speeds if self.split == "train" else (1.0, 1.0)
        return low if low == high else low * (high / low) ** float(torch.rand((), generator=generator))

    def _coloured(self, speech: Tensor, generator: torch.Generator) -> Tensor:
        most = self.options.colour if self.split == "train" else 0.0
        if most == 0:
            return speech
        share = most * (2 * float(torch.rand((), generator=generator)) - 1)
        return speech - share * torch.nn.functional.pad(speech, (1, 0))[:-1]

    def _noise(self, noise: Sound, generator: torch.Generator) -> Tensor:
        speed = self._speed(generator)
        played = at_speed(noise.play(math.ceil(self.samples * speed) + 1, generator), speed)[: self.samples]
        return played if bool(played.any()) else self._noise(noise, generator)

    def _speech(self, voice: list[Recording], generator: torch.Generator) -> Tensor:
        """Digits of one speaker, none twice, cut to length, active for at least half of it."""
        for _ in range(_TRIES):
            order = torch.randperm(len(voice), generator=generator).tolist()
            speed = self._speed(generator)
            waves: list[Tensor] = []
            while order and sum(map(len, waves)) < self.samples:
                waves.append(at_speed(voice[order.pop()].wave, speed))
            whole = joined(waves, _SILENCE, generator)
            if len(whole) >= self.samples:
                start = _one_of(len(whole) - self.samples + 1, generator)
                speech = whole[start : start + self.samples]
                if active_share(speech, RATE) >= _ACTIVE:
                    return self._coloured(speech, generator)
        raise DataError(
            f"{FSDD.title}: no clip of {self.samples / RATE:g} s of {voice[0].speaker} has speech in half of it."
        )


def _one_of(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator))


def _samples(seconds: float, stft: Stft) -> int:
    """Whole hops."""
    return round(seconds * RATE / stft.hop) * stft.hop


__all__ = ["DenoiseDigits", "DenoiseDigitsConfig"]
