"""A denoiser on one split of its task: every clip, and means over all, each kind of noise and each range of ratios.

found = evaluate_denoiser(run.trained(task), task, metrics=("stoi", "pesq"))
found.mean["si_snr_improvement"], found.by_kind
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.batch import Batch
from ..core.errors import ConfigError, RunError
from ..measure.listen import Listening, averages
from ..measure.perceptual import DNSMOS
from ..measure.untouched import untouched
from ..tasks.denoising import DenoisingTask
from .evaluate import run_network
from .store import RunRecord

Denoiser = nn.Module | Callable[[Batch], Tensor]
"""A network for the task, or any function from a batch to waves ``[B, S]``."""
RANGE = 5
"""Width of a range of ratios, in dB."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeardClip:
    """One clip: what it is, where the task can say (speaker, noise, ratio, level), and what was measured."""

    position: int
    about: dict[str, str | int]
    values: dict[str, float]

    @property
    def noisy(self) -> float:
        """SI-SNR of the noisy wave in dB."""
        return self.values["si_snr"] - self.values["si_snr_improvement"]

    @property
    def snr(self) -> float:
        """Ratio in dB at which it was mixed; where the task does not say so, the SI-SNR of the noisy wave."""
        return float(self.about.get("snr", self.noisy))

    @property
    def kind(self) -> str | None:
        """Kind of its noise, or the noise's name; ``None`` where the task names none."""
        kind = self.about.get("kind", self.about.get("noise"))
        return None if kind is None else str(kind)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenoiserEvaluation:
    """All clips of a split in order.

    Attributes:
        split: which.
        clips: one by one.
    """

    split: str
    clips: tuple[HeardClip, ...]

    @property
    def mean(self) -> dict[str, float]:
        """Over all clips that a measure has an answer for."""
        return averages([clip.values for clip in self.clips])

    @property
    def kinds(self) -> dict[str, list[HeardClip]]:
        """The clips of each kind of noise by name; empty where the task does not name noises."""
        return {str(kind): clips for kind, clips in self._groups(lambda clip: clip.kind).items()}

    @property
    def ranges(self) -> dict[str, list[HeardClip]]:
        """The clips of each range of 5 dB of the ratio at which they were mixed, from the lowest up."""
        found = self._groups(lambda clip: math.floor(clip.snr / RANGE) * RANGE)
        return {f"{low} to {low + RANGE} dB": clips for low, clips in found.items()}

    @property
    def by_kind(self) -> dict[str, dict[str, float]]:
        """Means over each kind of noise; empty where the task does not name noises."""
        return _means(self.kinds)

    @property
    def by_snr(self) -> dict[str, dict[str, float]]:
        """Means over each range of ratios."""
        return _means(self.ranges)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; ``nan`` where a measure has no answer."""
        return dataclasses.asdict(self) | {"mean": self.mean, "by_kind": self.by_kind, "by_snr": self.by_snr}

    def _groups(self, key: Callable[[HeardClip], Hashable]) -> dict[Any, list[HeardClip]]:
        groups: dict[Any, list[HeardClip]] = {}
        for clip in self.clips:
            if key(clip) is not None:
                groups.setdefault(key(clip), []).append(clip)
        return dict(sorted(groups.items()))


def _means(groups: Mapping[str, list[HeardClip]]) -> dict[str, dict[str, float]]:
    return {name: averages([clip.values for clip in clips]) for name, clips in groups.items()}


def evaluate_denoiser(
    denoiser: Denoiser,
    task: DenoisingTask,
    split: str = "test",
    *,
    metrics: Iterable[str] = (),
    dnsmos: DNSMOS | str | Path | None = None,
    batch_size: int = 16,
    most: int | None = None,
) -> DenoiserEvaluation:
    """Denoise ``split`` in natural order, in eval mode, and measure each clip within its own length.

    Args:
        denoiser: a network for the task, or a function.
        task: built.
        split: train, validation or test.
        metrics: beside SI-SNR, see :class:`~spikeworks.measure.listen.Listening`.
        dnsmos: model of DNSMOS.
        batch_size: clips at once; the figures do not depend on it.
        most: only so many clips, the first; ``None``: all.

    Raises:
        ConfigError: a measure cannot be taken; the message says what it needs.
        ShapeError: the denoiser answers something else than the task asks for.
    """
    if most is not None and most < 1:
        raise ConfigError(f"A denoiser is heard on at least one clip, got most={most}.")
    listen = Listening(metrics, rate=task.rate, dnsmos=dnsmos)
    describe: Any = getattr(task, "mixture", None)
    data = task.data(split)
    clips: list[HeardClip] = []
    with torch.no_grad():
        for item in data.plan(batch_size if most is None else min(batch_size, most)):
            if most is not None and len(clips) >= most:
                break
            batch = data.batch(item)
            for estimate, clean, noisy in waves_apart(task, batch, denoised(denoiser, task, batch)):
                position = len(clips)
                about = {} if describe is None else describe(split, position)[1]
                clips.append(HeardClip(position=position, about=about, values=listen(estimate, clean, noisy)))
    return DenoiserEvaluation(split=split, clips=tuple(clips[:most]))


def denoised(denoiser: Denoiser, task: DenoisingTask, batch: Batch) -> Tensor:
    """What a denoiser makes of a batch, waves ``[B, S]``; without gradients where the caller asks for none.

    Raises:
        ShapeError: the denoiser answers something else than the task asks for.
    """
    if not isinstance(denoiser, nn.Module):
        return denoiser(batch)
    with untouched(denoiser):
        denoiser.eval()
        output, _ = run_network(denoiser, batch)
    return task.waves(output, batch)[0]


def waves_apart(task: DenoisingTask, batch: Batch, estimates: Tensor) -> Iterable[tuple[Tensor, Tensor, Tensor]]:
    """Estimate, clean and noisy wave ``[S]`` of each clip, without padding."""
    clean, noisy = batch.target.unbind(1)
    whole = [clean.shape[1]] * len(clean)
    lengths = whole if batch.mask is None else task.front.stft.samples_of(batch.mask).tolist()
    for row, length in enumerate(lengths):
        yield estimates[row, :length], clean[row, :length], noisy[row, :length]


def load_denoiser(record: RunRecord, data_root: str | Path | None = None) -> tuple[DenoisingTask, nn.Module]:
    """The task of a stored run and its network, with the weights chosen on validation.

    Args:
        record: the run, see :func:`~spikeworks.arena.store.load_run`.
        data_root: folder of the real data; by default what ``SPIKEWORKS_DATA`` names.

    Raises:
        RunError: the run is not finished, or its weights are missing or damaged.
        ConfigError: its task is no denoising.
        UnknownName: a part of it is of a plugin that is not loaded.
    """
    from .run import Run

    run = Run.stored(record, data_root, else_says="cannot denoise yet")
    task = run.config.task.build(data_root)
    if not isinstance(task, DenoisingTask):
        raise ConfigError(
            f"{record.path} was trained on {task.name}, which is no denoising.",
            "train one: spikeworks run --task denoise-digits",
        )
    try:
        return task, run.trained(task)
    except RuntimeError as error:  # of torch, where names or shapes of weights differ
        raise RunError(
            f"The weights in {record.path} do not fit the network that its config.json describes: {error}.",
            "they were written by another version, or the file was changed: train again",
        ) from error
