"""``array-esc10``: from which direction an environmental sound comes, heard by a simulated array of four microphones.

A stand-in for ``sloclas`` with real sounds and simulated physics; figures of the two have nothing to do with each
other. Clips of ESC-10, resampled to 16 kHz, arrive as plane waves at a circle of radius 32 mm
(:class:`~spikeworks.data.microphones.CircularArray`), weaker by the distance of their source, with incoherent or
diffuse noise. Windows of 500 samples are drawn from those parts of a clip whose mean magnitude is above that of the
whole clip, and every noisy window is brought to power 1.

Splits of the protocol ``clean``: folds 1 to 3 of ESC-10 are training, 4 validation, 5 test, so that no clip, and no
recording that clips were cut from, is on two sides. Every direction has the same number of windows in a split.

Protocol ``paper``, in the manner of the published split of ``sloclas``: every clip sounds in every split. A random
fifth of the loud windows of each clip is for the test split, a tenth of the others for validation, so that the
neighbours of a tested window, from the same clip and often the same direction, are trained on; no window is on two
sides.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError, DataError
from ..core.seeds import stream
from ..data.dataset import Dataset
from ..data.disjoint import Span, check_disjoint, check_spans_disjoint
from ..data.esc10 import ESC10, Clip, load_esc10
from ..data.esc10 import RATE as CLIP_RATE
from ..data.microphones import CircularArray
from ..data.sloclas import RATE, WINDOW
from ..data.sound_windows import Layout, loud, unit_level, windows_of
from .base import ACCURACY, SPLITS, TASKS, ClassificationTask, TaskConfig, TaskDefaults, TaskInfo
from .directions import Directions, check_options, directions_dataset, directions_defaults, directions_signature

_FOLDS = {"train": (1, 2, 3), "validation": (4,), "test": (5,)}
_TESTED = 0.2  # of a clip's loud windows, in the protocol paper
_HELD = 0.1  # of those that are left, for validation
_AT_ONCE = 2048  # windows rendered together; their spectra take 10 kB each


@TASKS.register("array-esc10")
@config_kind("task", "array-esc10")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ArrayEsc10Config(TaskConfig):
    """Options of ``array-esc10``.

    Attributes:
        protocol: ``clean`` or ``paper``; figures of the two must not be compared, but their difference tells.
        layout: as for ``sloclas``.
        angles: number of directions.
        snr: signal to noise in dB for a source at one metre; a source at d metres has ``20 log10 d`` less.
        noise: ``incoherent``, of each microphone on its own; ``diffuse``, from all directions; ``both``, half of each.
        nearest, farthest: distances of the sources in metres, drawn evenly.
        train_size, validation_size, test_size: windows, each a multiple of ``angles``.
        seed: of the choice of windows, distances and noise, not of the run.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="direction of real sounds at a simulated array of four microphones (stand-in for sloclas)",
        shape="T=500 C=4, 72, 36 or 8 classes",
        sizes=(14_400, 2_880, 2_880),
        metric=ACCURACY,
        files=ESC10,
    )

    protocol: Literal["clean", "paper"] = "clean"
    layout: Layout = "time"
    angles: Directions = 72
    snr: float = 10.0
    noise: Literal["both", "incoherent", "diffuse"] = "both"
    nearest: float = 1.0
    farthest: float = 2.0
    train_size: int = 14_400
    validation_size: int = 2_880
    test_size: int = 2_880
    seed: int = 0

    def __post_init__(self) -> None:
        check_options("array-esc10", self.angles, self.layout)
        if self.protocol not in ("clean", "paper"):
            raise ConfigError(f"array-esc10: protocol is 'clean' or 'paper', got {self.protocol!r}.")
        if self.noise not in ("both", "incoherent", "diffuse"):
            raise ConfigError(f"array-esc10: noise is 'both', 'incoherent' or 'diffuse', got {self.noise!r}.")
        if not 0 < self.nearest <= self.farthest < math.inf:
            raise ConfigError(
                f"array-esc10: distances are above 0, the nearest first, got {self.nearest} and {self.farthest} m."
            )
        if not math.isfinite(self.snr):
            raise ConfigError(f"array-esc10: snr is a finite number of dB, got {self.snr}.")
        for size in (self.train_size, self.validation_size, self.test_size):
            if size < self.angles or size % self.angles:
                raise ConfigError(f"array-esc10: sizes are multiples of the {self.angles} angles, got {size}.")

    def build(self, root: str | Path | None = None) -> ArrayEsc10:
        return ArrayEsc10(self, root)

    def defaults(self) -> TaskDefaults:
        return directions_defaults()


class ArrayEsc10(ClassificationTask):
    """The built task.

    Attributes:
        array: the microphones.
        clips: names of the clips of each split, once a split was loaded.
        spans: clip, first sample and the one behind the last of every window of each split, likewise.
    """

    def __init__(self, config: ArrayEsc10Config, root: str | Path | None) -> None:
        super().__init__(config, directions_signature(config.angles))
        self.array = CircularArray(rate=RATE)
        self.clips: dict[str, list[str]] = {}
        self.spans: dict[str, list[Span]] = {}
        self._options = config
        self._root = root

    def _load(self, split: str) -> dict[str, Dataset]:
        clips = load_esc10(self._root)
        if self._options.protocol == "clean":
            parts = {name: [clip for clip in clips if clip.fold in folds] for name, folds in _FOLDS.items()}
            check_disjoint({name: [c.source for c in part] for name, part in parts.items()}, "source", ESC10.title)
        else:
            parts = dict.fromkeys(SPLITS, clips)
        self.clips = {name: [clip.name for clip in part] for name, part in parts.items()}
        made = {name: self._render(name, part) for name, part in parts.items()}
        check_spans_disjoint(self.spans, who=self.name)
        return made

    def _render(self, split: str, clips: list[Clip]) -> Dataset:
        options = self._options
        count = {"train": options.train_size, "validation": options.validation_size, "test": options.test_size}[split]
        targets = torch.arange(count) % options.angles
        azimuth = (targets + 1) * (2 * math.pi / options.angles)
        draw = stream(options.seed, self.name, split)
        segments = self._segments(split, clips, count, draw)
        gain = 1 / torch.empty(count).uniform_(options.nearest, options.farthest, generator=draw)
        windows = torch.cat(
            [
                self._heard(part, angle, level, draw)
                for part, angle, level in zip(
                    segments.split(_AT_ONCE), azimuth.split(_AT_ONCE), gain.split(_AT_ONCE), strict=True
                )
            ]
        )
        return directions_dataset(f"{self.name} {split}", windows, targets, options.angles, options.layout)

    def _segments(self, split: str, clips: list[Clip], count: int, draw: torch.Generator) -> Tensor:
        """Loud windows of random clips with the array's margin at both ends, ``[count, WINDOW + 2 margin]``."""
        margin = self.array.margin
        waves, starts = [], []
        for clip in clips:
            wave = _faster(clip.wave)
            windows = windows_of(wave[:, None], WINDOW)
            sounding = loud(windows, wave.abs().mean()).nonzero().flatten() * WINDOW
            if not len(sounding):
                raise DataError(f"{ESC10.title}: {clip.name} is silent, or as loud everywhere.")
            starts.append(sounding if self._options.protocol == "clean" else self._share(split, clip, sounding))
            waves.append(torch.nn.functional.pad(wave, (margin, margin)))
        if not any(len(part) for part in starts):
            raise DataError(f"{ESC10.title}: no clip has enough loud windows to leave one for the split {split}.")
        waves = [wave for wave, part in zip(waves, starts, strict=True) if len(part)]
        names = [clip.name for clip, part in zip(clips, starts, strict=True) if len(part)]
        starts = [part for part in starts if len(part)]
        chance = torch.rand(count, generator=draw)
        segments, self.spans[split] = [], []
        for i, clip in enumerate(torch.randint(len(waves), (count,), generator=draw).tolist()):
            start = int(starts[clip][int(chance[i] * len(starts[clip]))])
            segments.append(waves[clip][start : start + WINDOW + 2 * margin])
            self.spans[split].append((names[clip], start, start + WINDOW))
        return torch.stack(segments)

    def _share(self, split: str, clip: Clip, starts: Tensor) -> Tensor:
        """Those of a clip's windows that a split may draw under ``paper``; each belongs to one split."""
        draw = stream(self._options.seed, self.name, "paper", clip.name)
        order = starts[torch.randperm(len(starts), generator=draw)]
        test = round(_TESTED * len(order))
        behind = test + round(_HELD * (len(order) - test))
        return {"test": order[:test], "validation": order[test:behind], "train": order[behind:]}[split]

    def _heard(self, segments: Tensor, azimuth: Tensor, gain: Tensor, draw: torch.Generator) -> Tensor:
        array, kind = self.array, self._options.noise
        margin = array.margin
        signal = array.render(segments, azimuth)[:, margin:-margin]
        count, samples, _ = signal.shape
        noise = torch.zeros_like(signal)
        if kind != "diffuse":
            noise += array.incoherent_noise(count, samples, draw)
        if kind != "incoherent":
            noise += array.diffuse_noise(count, samples, draw)
        if kind == "both":
            noise *= math.sqrt(0.5)
        level = (signal.square().mean((1, 2)) / 10 ** (self._options.snr / 10)).sqrt()  # of the noise, at one metre
        return unit_level(gain[:, None, None] * signal + level[:, None, None] * noise)


def _faster(wave: Tensor) -> Tensor:
    """A clip at the rate of the array."""
    from scipy.signal import resample_poly

    return torch.from_numpy(resample_poly(wave.numpy(), RATE // CLIP_RATE, 1).astype("float32"))
