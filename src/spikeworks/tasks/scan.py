"""Images read as sequences: one pixel a step or one row a step, in a fixed order.

Legend: ``T`` time steps, ``B`` batch, ``C`` channels, ``H`` height, ``W`` width.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from torch import Tensor

from ..core.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Scan:
    """From stored images ``[B, H, W]`` to floats ``[T, B, C]``.

    Attributes:
        by: ``"pixel"``: T = H·W, C = 1, rows from top to bottom; ``"row"``: T = H, C = W.
        scale: what a stored value is divided by.
        order: pixels in the order in which they are read, int64 ``[H·W]``; ``None``: as they
            stand. With ``"row"`` the permuted image is read row by row.
    """

    by: Literal["pixel", "row"]
    scale: float
    order: Tensor | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """The sequences of a batch of images."""
        batch, height, width = images.shape
        steps = images.flatten(1).t().float() / self.scale
        if self.order is not None:
            steps = steps[self.order]
        if self.by == "pixel":
            return steps[:, :, None].contiguous()
        return steps.view(height, width, batch).transpose(1, 2).contiguous()


def pool_images(images: Tensor, size: int) -> Tensor:
    """Sums over blocks of ``size`` by ``size`` pixels of uint8 images ``[N, H, W]``.

    Sums are whole numbers, so that they can be stored compactly and exactly; the caller divides
    by ``size`` squared.

    Raises:
        ConfigError: ``size`` does not divide the image, or its sums exceed int16.
    """
    if size == 1:
        return images
    count, height, width = images.shape
    if size < 1 or height % size or width % size or 255 * size**2 > 32767:
        raise ConfigError(f"Blocks of {size} by {size} pixels do not fit images of {height} by {width}.", "use 1 or 2")
    blocks = images.view(count, height // size, size, width // size, size)
    return blocks.sum(dim=(2, 4), dtype=torch.int16)
