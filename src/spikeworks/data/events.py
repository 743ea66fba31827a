"""Recordings of event cameras, and frames that count their events.

Legend: ``N`` events, ``T`` frames, ``H`` height, ``W`` width.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from torch import Tensor

from ..core.errors import ConfigError, DataError

FrameBy = Literal["time", "count"]


@dataclasses.dataclass(frozen=True)
class Events:
    """Events of one recording in the order of their times, int64 ``[N]`` each.

    Attributes:
        x, y: column and row, from the upper left corner.
        polarity: 0 where light became less, 1 where it became more.
        time: microseconds, never decreasing.
    """

    x: Tensor
    y: Tensor
    polarity: Tensor
    time: Tensor

    def __len__(self) -> int:
        return len(self.time)


def event_frames(events: Events, steps: int, size: tuple[int, int], *, by: FrameBy = "time") -> Tensor:
    """Counts of events, int32 ``[T, 2, H, W]``, the polarities as channels: 0 (less light) first.

    Args:
        events: at least one.
        steps: number of frames T.
        size: H and W of the sensor.
        by: ``time``: frames of equal duration between the first and the last event, the last event in
            the last frame; ``count``: frames of equal numbers of events, frame k holds those from
            ``k N // T`` to ``(k + 1) N // T``.

    Raises:
        ConfigError: no frames are asked for, or another way to cut.
        DataError: no events, one outside of the sensor, or times that decrease.

    Example:
        >>> two = torch.tensor([0, 1])
        >>> frames = event_frames(Events(x=two, y=two, polarity=two, time=torch.tensor([5, 9])), 3, (2, 2))
        >>> frames.nonzero().tolist()
        [[0, 0, 0, 0], [2, 1, 1, 1]]
    """
    height, width = size
    if steps < 1:
        raise ConfigError(f"Events are counted in at least one frame, got steps={steps}.")
    check_events(events, size)
    if by == "time":
        since = events.time - events.time[0]
        bins = since * steps // max(int(since[-1]), 1)
        bins = bins.clamp(max=steps - 1)
    elif by == "count":
        # the frame k of event i is the largest with k * N // T <= i
        starts = torch.arange(1, steps) * len(events) // steps
        bins = torch.searchsorted(starts, torch.arange(len(events)), right=True)
    else:
        raise ConfigError(f"Events are cut into frames by time or by count, got {by!r}.")
    place = ((bins * 2 + events.polarity) * height + events.y) * width + events.x
    counts = torch.bincount(place, minlength=steps * 2 * height * width)
    return counts.view(steps, 2, height, width).to(torch.int32)


def check_events(events: Events, size: tuple[int, int], who: str = "The recording") -> None:
    """Raise DataError unless there are events, all on the sensor, at times that never decrease."""
    height, width = size
    if len(events) == 0:
        raise DataError(f"{who} holds no events.")
    outside = ((events.x < 0) | (events.x >= width) | (events.y < 0) | (events.y >= height)).nonzero()
    if len(outside):
        i = int(outside[0])
        raise DataError(
            f"{who}: event {i} lies at x={int(events.x[i])}, y={int(events.y[i])}, outside of {width} x {height} "
            f"pixels ({len(outside)} of {len(events)} do)."
        )
    if bool((events.time[1:] < events.time[:-1]).any()):
        i = int((events.time[1:] < events.time[:-1]).nonzero()[0])
        first, second = events.time[i : i + 2].tolist()
        raise DataError(f"{who}: event {i + 1} is at {second} us, earlier than event {i} at {first} us.")
