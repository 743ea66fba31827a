"""A denoiser on one split of its task: every clip, and means over all and over each kind of noise.

found = evaluate_denoiser(run.trained(task), task, metrics=("stoi", "pesq"))
found.mean["si_snr_improvement"], found.by_kind
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.batch import Batch
from ..measure.listen import Listening, averages
from ..measure.perceptual import DNSMOS
from ..measure.untouched import untouched
from ..tasks.denoising import DenoisingTask
from .evaluate import run_network

Denoiser = nn.Module | Callable[[Batch], Tensor]
"""A network for the task, or any function from a batch to waves ``[B, S]``."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeardClip:
    """One clip: what it is, where the task can say (speaker, noise, ratio, level), and what was measured."""

    position: int
    about: dict[str, str | int]
    values: dict[str, float]


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
    def by_kind(self) -> dict[str, dict[str, float]]:
        """The same for each kind of noise; empty where the task does not name noises."""
        kinds: dict[str, list[dict[str, float]]] = {}
        for clip in self.clips:
            kind = clip.about.get("kind", clip.about.get("noise"))
            if kind is not None:
                kinds.setdefault(str(kind), []).append(clip.values)
        return {kind: averages(values) for kind, values in sorted(kinds.items())}

    def to_dict(self) -> dict[str, Any]:
        """Plain data; ``nan`` where a measure has no answer."""
        return dataclasses.asdict(self) | {"mean": self.mean, "by_kind": self.by_kind}


def evaluate_denoiser(
    denoiser: Denoiser,
    task: DenoisingTask,
    split: str = "test",
    *,
    metrics: Iterable[str] = (),
    dnsmos: DNSMOS | str | Path | None = None,
    batch_size: int = 16,
) -> DenoiserEvaluation:
    """Denoise ``split`` in natural order, in eval mode, and measure each clip within its own length.

    Args:
        denoiser: a network for the task, or a function.
        task: built.
        split: train, validation or test.
        metrics: beside SI-SNR, see :class:`~spikeworks.measure.listen.Listening`.
        dnsmos: model of DNSMOS.
        batch_size: clips at once; the figures do not depend on it.

    Raises:
        ConfigError: a measure cannot be taken; the message says what it needs.
        ShapeError: the denoiser answers something else than the task asks for.
    """
    listen = Listening(metrics, rate=task.rate, dnsmos=dnsmos)
    describe: Any = getattr(task, "mixture", None)
    data = task.data(split)
    clips: list[HeardClip] = []
    with torch.no_grad():
        for item in data.plan(batch_size):
            batch = data.batch(item)
            for estimate, clean, noisy in _apart(task, batch, _denoised(denoiser, task, batch)):
                position = len(clips)
                about = {} if describe is None else describe(split, position)[1]
                clips.append(HeardClip(position=position, about=about, values=listen(estimate, clean, noisy)))
    return DenoiserEvaluation(split=split, clips=tuple(clips))


def _denoised(denoiser: Denoiser, task: DenoisingTask, batch: Batch) -> Tensor:
    if not isinstance(denoiser, nn.Module):
        return denoiser(batch)
    with untouched(denoiser):
        denoiser.eval()
        output, _ = run_network(denoiser, batch)
    return task.waves(output, batch)[0]


def _apart(task: DenoisingTask, batch: Batch, estimates: Tensor) -> Iterable[tuple[Tensor, Tensor, Tensor]]:
    """Estimate, clean and noisy wave of each clip, without padding."""
    clean, noisy = batch.target.unbind(1)
    whole = [clean.shape[1]] * len(clean)
    lengths = whole if batch.mask is None else task.front.stft.samples_of(batch.mask).tolist()
    for row, length in enumerate(lengths):
        yield estimates[row, :length], clean[row, :length], noisy[row, :length]
