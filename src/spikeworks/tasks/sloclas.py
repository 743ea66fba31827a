"""``sloclas``: from which of 72 directions a sound comes, heard by four microphones for 31 ms, with noise of 0 dB.

Recordings are cut into windows of 500 samples at 16 kHz; those whose mean magnitude is above that of what they are cut
from are used, with noise added (:func:`~spikeworks.data.sound_windows.add_recorded_noise`).

Splits of the protocol ``clean``: every recording is cut in time: the first 70 % of its windows are training, 15 %
validation, 15 % test, with a gap of a second in between (a twentieth of the recording where that is less). All
directions are in every split, and since the recordings of all directions replay the same sounds, the cut by time also
keeps the sounds of one split out of the others. The noise recordings are cut likewise. The gate takes the mean of each
part, and every noisy window is brought to power 1.

Protocol ``paper``, the Neuromorphic Sequential Arena's programs: a window goes to training with probability 0.8 r, else
to the test split with probability 0.2 r, r = min(1, 3000 / windows of the recording), so that windows on both sides are
neighbours; no scaling. They choose by the test split; here, as under every ``paper`` protocol (docs/arena.md), a
random tenth of their training windows chooses instead.
The published figures were, as far as the programs tell, measured with ``layout="nsa"``. ``source="mirror"`` reads the
published windows.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError, DataError
from ..core.seeds import stream
from ..data.dataset import Dataset
from ..data.disjoint import check_spans_disjoint
from ..data.sloclas import (
    RATE,
    SLOCLAS,
    WINDOW,
    SoundRecording,
    direction_of,
    find_sloclas,
    load_mirror,
    read_noises,
    read_sounds,
)
from ..data.sound_windows import Layout, add_recorded_noise, loud, unit_level, windows_of
from ..data.splits import stratified_split
from .base import ACCURACY, SPLITS, TASKS, ClassificationTask, TaskConfig, TaskDefaults, TaskInfo
from .directions import Directions, among, check_options, directions_dataset, directions_defaults, directions_signature

_SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}
_HELD = 0.1  # of the training windows, for validation in the protocol paper
_GAP = RATE // WINDOW  # a second
Span = tuple[str, int, int]


@TASKS.register("sloclas")
@config_kind("task", "sloclas")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SLoClasConfig(TaskConfig):
    """Options of ``sloclas``.

    Attributes:
        protocol: ``clean`` or ``paper``.
        layout: ``time``: a step is one sample of each microphone; ``nsa``: as published, see
            :func:`~spikeworks.data.sound_windows.nsa_layout`.
        source: ``raw`` recordings, or the windows of the ``mirror``, whose recordings are not known: protocol
            ``paper`` only.
        angles: 72 directions, or only every ninth (8) or second (36).
        snr: signal to noise in dB; of the raw recordings only.
        per_recording: windows of a recording that are used at most, over all splits.
        seed: of the choice of windows and of the noise, not of the run.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="direction of a sound from four microphones, 31 ms with noise (SLoClas)",
        shape="T=500 C=4, 72, 36 or 8 classes",
        sizes=None,
        metric=ACCURACY,
        files=SLOCLAS,
    )

    protocol: Literal["clean", "paper"] = "clean"
    layout: Layout = "time"
    source: Literal["raw", "mirror"] = "raw"
    angles: Directions = 72
    snr: float = 0.0
    per_recording: int = 3000
    seed: int = 0

    def __post_init__(self) -> None:
        check_options("sloclas", self.angles, self.layout)
        if self.protocol not in ("clean", "paper") or self.source not in ("raw", "mirror"):
            raise ConfigError(
                f"sloclas: protocol is 'clean' or 'paper' and source 'raw' or 'mirror', got {self.protocol!r} and "
                f"{self.source!r}."
            )
        if self.source == "mirror" and self.protocol != "paper":
            raise ConfigError(
                "sloclas: the windows of the mirror do not tell their recording, so they cannot be split cleanly.",
                "use protocol='paper' with them, or source='raw'",
            )
        if self.per_recording < 20:
            raise ConfigError(f"sloclas: at least 20 windows of a recording are used, got {self.per_recording}.")

    def build(self, root: str | Path | None = None) -> SLoClas:
        return SLoClas(self, root)

    def defaults(self) -> TaskDefaults:
        return directions_defaults()


class SLoClas(ClassificationTask):
    """The built task. ``spans`` holds, once a split was loaded from recordings, which samples are in which split."""

    def __init__(self, config: SLoClasConfig, root: str | Path | None) -> None:
        super().__init__(config, directions_signature(config.angles))
        self.spans: dict[str, list[Span]] = {}
        self._options = config
        self._root = root

    def _load(self, split: str) -> dict[str, Dataset]:
        parts = self._from_mirror() if self._options.source == "mirror" else self._from_recordings()
        made: dict[str, Dataset] = {}
        for name, (windows, directions) in parts.items():
            kept, targets = among(directions, self._options.angles)
            windows = windows if bool(kept.all()) else windows[kept]
            made[name] = directions_dataset(
                f"{self.name} {name}", windows, targets, self._options.angles, self._options.layout
            )
        return made

    def _from_mirror(self) -> dict[str, tuple[Tensor, Tensor]]:
        windows, directions = load_mirror(self._root, "Training")
        labels = directions.tolist()
        held, rest = stratified_split(labels, range(len(labels)), (_HELD,), self._options.seed, SLOCLAS.title)
        return {
            "train": (windows[rest], directions[rest]),
            "validation": (windows[held], directions[held]),
            "test": load_mirror(self._root, "Testing"),
        }

    def _from_recordings(self) -> dict[str, tuple[Tensor, Tensor]]:
        options = self._options
        sounds, noise_files = find_sloclas(self._root)
        noises = read_noises(noise_files)
        sounds = [path for path in sounds if _wanted(path, options.angles)]
        clean = options.protocol == "clean"
        parts: dict[str, list[Tensor]] = {name: [] for name in SPLITS}
        directions: dict[str, list[int]] = {name: [] for name in SPLITS}
        self.spans = {name: [] for name in SPLITS}
        for recording in read_sounds(sounds):
            windows = windows_of(recording.wave, WINDOW)
            chosen = self._clean(recording, windows) if clean else self._paper(recording, windows)
            for name, index in chosen.items():
                self.spans[name] += [(recording.name, i * WINDOW, (i + 1) * WINDOW) for i in index.tolist()]
                directions[name] += [recording.direction] * len(index)
                if len(index):
                    generator = stream(options.seed, self.name, "noise", name, recording.name)
                    heard = [_part(noise, name) if clean else noise for noise in noises]
                    noisy = add_recorded_noise(windows[index], heard, options.snr, generator, f"{SLOCLAS.title} noise")
                    parts[name].append(unit_level(noisy) if clean else noisy)
        check_spans_disjoint(self.spans, who=SLOCLAS.title)
        return {
            name: (torch.cat(parts[name]) if parts[name] else torch.zeros(0, WINDOW, 4), torch.tensor(directions[name]))
            for name in SPLITS
        }

    def _clean(self, recording: SoundRecording, windows: Tensor) -> dict[str, Tensor]:
        chosen = {}
        for name, span in _time_spans(len(windows), _GAP).items():
            part = windows[span.start : span.stop]
            index = span.start + loud(part, part.abs().mean()).nonzero().flatten() if len(part) else torch.arange(0)
            generator = stream(self._options.seed, self.name, "windows", name, recording.name)
            most = round(self._options.per_recording * _SHARES[name])
            chosen[name] = index[torch.randperm(len(index), generator=generator)[:most]].sort().values
        return chosen

    def _paper(self, recording: SoundRecording, windows: Tensor) -> dict[str, Tensor]:
        share = min(1.0, self._options.per_recording / len(windows))
        generator = stream(self._options.seed, self.name, "windows", recording.name)
        first, second, third = torch.rand(3, len(windows), generator=generator)
        used = loud(windows, recording.wave.abs().mean())
        train = first < 0.8 * share
        test = ~train & (second < 0.2 * share)
        chosen = {"train": train & (third >= _HELD), "validation": train & (third < _HELD), "test": test}
        return {name: (used & part).nonzero().flatten() for name, part in chosen.items()}


def _wanted(path: Path, angles: int) -> bool:
    """Whether a recording is on the coarser circle; one without a direction is left to the reader, which counts."""
    try:
        return bool(among(torch.tensor([direction_of(path)]), angles)[0])
    except DataError:
        return True


def _time_spans(count: int, gap: int) -> dict[str, range]:
    """Which of ``count`` things in the order of time belong to which split."""
    gap = min(gap, count // 20)
    first, second = round(count * _SHARES["train"]), round(count * (_SHARES["train"] + _SHARES["validation"]))
    return {"train": range(first), "validation": range(first + gap, second), "test": range(second + gap, count)}


def _part(noise: Tensor, split: str) -> Tensor:
    span = _time_spans(len(noise), RATE)[split]
    return noise[span.start : span.stop]
