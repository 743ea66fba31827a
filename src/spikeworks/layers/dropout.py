"""Dropout whose mask is one for the whole sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError


class TimeTiedDropout(nn.Module):
    """Drop the same units at every step of a call; survivors are scaled by ``1 / (1 - rate)``.

    A mask redrawn at each step would let an integrating neuron average it away.
    A new mask is drawn at every call in training, so chunked training calls differ from whole
    ones; in evaluation nothing is dropped.

    Attributes:
        generator: source of the masks; ``None`` is torch's global one.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ConfigError(f"A dropout rate lies in [0, 1), got {rate}.")
        self.rate = rate
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """``[T, B, ...]`` in and out."""
        if not self.training or self.rate == 0:
            return x
        keep = 1.0 - self.rate
        mask = torch.empty_like(x[:1]).bernoulli_(keep, generator=self.generator)
        return x * (mask / keep)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"
