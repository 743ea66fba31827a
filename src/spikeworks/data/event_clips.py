"""Clips of events of equal duration, as signed counts; stored as places, made into frames batch by batch.

The form in which the Neuromorphic Sequential Arena (arXiv 2505.22035) gives lips to a network. Two things differ from
:func:`~spikeworks.data.events.event_frames`: steps have a fixed width from time 0 on, rounded to the nearest, so that
the first is half as long; and channel 0 counts events of more light, channel 1 those of less light as negative numbers.

Legend: ``N`` clips, ``T`` steps, ``B`` batch, ``H`` height, ``W`` width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ..core.batch import Batch
from ..core.errors import ConfigError, DataError
from .dataset import plan_indices
from .events import Events

View = Callable[[Tensor, torch.Generator | None], Tensor]
"""From a clip ``[T, 2, H, W]`` to what the network sees, ``[T, ...]``; draws where there is a generator."""


def event_places(events: Events, steps: int, width: float, size: tuple[int, int], inner: int) -> Tensor:
    """Where the events of a clip stand in frames ``[steps, 2, inner, inner]``, int32 ``[events kept]``.

    Args:
        events: of one clip, all on the sensor.
        steps: T; events of later steps are left out.
        width: of a step in microseconds; an event belongs to step ``round(time / width)``, halves to the even one.
        size: H and W of the sensor.
        inner: side of the square in the middle of the sensor that is kept.

    Raises:
        ConfigError: no steps, a width that is not above 0, or a square that is larger than the sensor.
    """
    if steps < 1 or width <= 0 or not 1 <= inner <= min(size):
        raise ConfigError(
            f"A clip has steps of a width above 0 and a part of the sensor of {size}, got steps={steps}, "
            f"width={width}, inner={inner}."
        )
    step = (events.time.double() / width).round().long()
    top, left = ((side - inner) // 2 for side in size)
    row, column = events.y - top, events.x - left
    kept = (step < steps) & (row >= 0) & (row < inner) & (column >= 0) & (column < inner)
    return (((step * 2 + 1 - events.polarity) * inner + row) * inner + column)[kept].int()


@dataclasses.dataclass(frozen=True)
class ClipBatch:
    """An item of a plan: which clips, and the seed of what is drawn for them; ``None``: nothing is."""

    index: Tensor
    seed: int | None


class EventClips:
    """Clips of events with one label each; a :class:`~spikeworks.data.dataset.Dataset`.

    A plan that is shuffled draws a seed for each batch and hands its generator to ``view``; a plan in natural order
    draws nothing, so that training clips are scored as they are. A resumed epoch draws the same.

    Args:
        places: of every clip in frames ``[steps, 2, side, side]``, see :func:`event_places`.
        targets: class ids ``[N]``, int64.
        steps: T.
        side: of the frames.
        view: from one clip of signed counts to what the network sees.

    Example:
        >>> data = EventClips([torch.tensor([0, 0, 5], dtype=torch.int32)], torch.tensor([1]), steps=1, side=2)
        >>> data.batch(data.plan(1)[0]).x.flatten().tolist()
        [2.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0]
    """

    def __init__(
        self,
        places: Iterable[Tensor],
        targets: Tensor,
        steps: int,
        side: int,
        view: View = lambda clip, generator: clip,
    ) -> None:
        clips = list(places)
        if len(clips) != len(targets):
            raise DataError(f"{len(clips)} clips came with {len(targets)} labels.")
        self.lengths = torch.tensor([len(clip) for clip in clips])
        self.places = torch.cat(clips) if clips else torch.zeros(0, dtype=torch.int32)
        self.starts = self.lengths.cumsum(0) - self.lengths
        self.targets = targets
        self.shape = (steps, 2, side, side)
        self.view = view

    def __len__(self) -> int:
        return len(self.targets)

    def plan(self, batch_size: int, generator: torch.Generator | None = None) -> list[ClipBatch]:
        groups = plan_indices(len(self), batch_size, generator)
        if generator is None:
            return [ClipBatch(group, None) for group in groups]
        seeds = torch.randint(2**62, (len(groups),), generator=generator).tolist()
        return [ClipBatch(group, seed) for group, seed in zip(groups, seeds, strict=True)]

    def batch(self, item: ClipBatch) -> Batch:
        generator = None if item.seed is None else torch.Generator().manual_seed(item.seed)
        # clip after clip: before it is cut, a batch would be larger than what comes out
        clips = [self.view(self.clip(i), generator) for i in item.index.tolist()]
        return Batch(x=torch.stack(clips, dim=1), target=self.targets[item.index])

    def clip(self, index: int) -> Tensor:
        """Signed counts of one clip, float32 ``[T, 2, side, side]``."""
        start = int(self.starts[index])
        places = self.places[start : start + int(self.lengths[index])]
        steps, channels, height, width = self.shape
        counts = torch.bincount(places, minlength=steps * channels * height * width).float().view(self.shape)
        counts[:, 1] = 0 - counts[:, 1]  # not -counts: no -0.0
        return counts
