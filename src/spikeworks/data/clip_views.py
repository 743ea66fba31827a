"""From clips of frames to what a network sees: cut to the middle, or shifted, mirrored, masked and scaled by chance.

The spatial augmentation of the lip-reading task of the Neuromorphic Sequential Arena (arXiv 2505.22035). All frames
of a clip are treated alike.

Legend: ``T`` frames, ``C`` channels, ``H`` height, ``W`` width.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional

from ..core.errors import ConfigError


def centre_crop(clip: Tensor, side: int) -> Tensor:
    """The square of ``side`` pixels in the middle of frames ``[..., H, W]``."""
    top, left = (clip.shape[-2] - side) // 2, (clip.shape[-1] - side) // 2
    return clip[..., top : top + side, left : left + side]


@dataclasses.dataclass(frozen=True)
class ClipView:
    """Frames ``[T, C, H, W]`` to ``[T, C, side, side]``, flattened to ``[T, C side side]`` where asked.

    Without a generator, or with ``augment`` off, the middle. With one, in this order: a square at a place drawn evenly;
    mirrored left to right with probability 1/2; ``holes`` squares set to 0, their middles anywhere, their sides drawn
    evenly below ``longest`` and rounded down to even; then with probability 1/2 the middle of ``side - zoom`` to
    ``side - 1`` pixels enlarged, else up to ``zoom - 1`` pixels of nothing put around and the whole made smaller, both
    by interpolation between pixels, after which values are no whole numbers.

    Attributes:
        side: of the result in pixels.
        augment: draw where there is a generator.
        flip: mirror.
        holes: squares that are set to 0.
        longest: their sides are below it, at least 2.
        zoom: pixels, 0: no scaling; less than ``side``.
        flatten: give vectors.
    """

    side: int
    augment: bool = True
    flip: bool = True
    holes: int = 4
    longest: int = 20
    zoom: int = 26
    flatten: bool = False

    def __post_init__(self) -> None:
        if self.side < 1 or self.holes < 0 or self.longest < 2 or not 0 <= self.zoom < self.side:
            raise ConfigError(f"A view has a side above its zoom, and holes of sides below 2 or more, got {self}.")

    def __call__(self, clip: Tensor, generator: torch.Generator | None) -> Tensor:
        """What the network sees of a clip."""
        if min(clip.shape[-2:]) < self.side:
            raise ConfigError(f"Frames of {clip.shape[-2]} x {clip.shape[-1]} pixels have no square of {self.side}.")
        if generator is None or not self.augment:
            seen = centre_crop(clip, self.side)
        else:
            seen = self._zoomed(self._masked(self._shifted(clip, generator), generator), generator)
        return seen.flatten(1) if self.flatten else seen.contiguous()

    def _shifted(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        top, left = (_draw(0, length - self.side + 1, generator) for length in clip.shape[-2:])
        clip = clip[..., top : top + self.side, left : left + self.side]
        return clip.flip(-1) if self.flip and _draw(0, 2, generator) else clip

    def _masked(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        kept = torch.ones(self.side, self.side)
        for _ in range(self.holes):
            row, column = _draw(0, self.side, generator), _draw(0, self.side, generator)
            half = _draw(1, self.longest, generator) // 2
            kept[max(row - half, 0) : row + half, max(column - half, 0) : column + half] = 0
        return clip * kept

    def _zoomed(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        if self.zoom == 0:
            return clip
        if _draw(0, 2, generator):
            clip = centre_crop(clip, _draw(self.side - self.zoom, self.side, generator))
        else:
            around = _draw(0, self.zoom, generator)
            clip = functional.pad(clip, (around, around, around, around))
        return functional.interpolate(clip, (self.side, self.side), mode="bilinear", antialias=True)


def _draw(low: int, high: int, generator: torch.Generator) -> int:
    """A whole number from ``low`` to ``high - 1``."""
    return int(torch.randint(low, high, (), generator=generator))
