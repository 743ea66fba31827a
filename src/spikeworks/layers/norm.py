"""Normalisation of input currents ``[T, B, C, ...]``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core.operations import Operations


class BatchNorm(nn.Module):
    """Normalise each channel over time and batch, padded steps left out.

    In training the moments of the call are used, in evaluation their running averages, so
    that chunks with carried state equal the whole there.

    Args:
        channels: C; momentum: weight of a new call in the running averages; epsilon: added
            to the variance.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, *, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``x [T, B, C, ...]``, ``mask [T, B]`` bool or ``None``."""
        tail = (1,) * (x.dim() - 3)
        if self.training:
            mean, variance, count = self._moments(x, mask)
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.variance.lerp_(variance * (count / max(count - 1.0, 1.0)), self.momentum)
        else:
            mean, variance = self.mean, self.variance
        scale = self.weight * torch.rsqrt(variance + self.epsilon)
        shift = self.bias - mean * scale
        return torch.addcmul(shift.reshape(-1, *tail), x, scale.reshape(-1, *tail))

    def _moments(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, float]:
        others = [0, 1, *range(3, x.dim())]
        if mask is None:
            variance, mean = torch.var_mean(x, others, correction=0)
            return mean, variance, x.numel() / x.shape[2]
        weights = mask.to(x.dtype).reshape(*mask.shape, *(1,) * (x.dim() - 2))
        count = weights.sum() * (x[0, 0].numel() / x.shape[2])
        mean = (x * weights).sum(others) / count
        tail = (1,) * (x.dim() - 3)
        variance = ((x - mean.reshape(-1, *tail)).square() * weights).sum(others) / count
        return mean, variance, count.item()

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """Nothing: with fixed statistics it is folded into the synapse before it."""
        return Operations()

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, momentum={self.momentum}"


class LayerNorm(nn.Module):
    """Normalise over the channels at each step; causal and free of batch statistics."""

    def __init__(self, channels: int, *, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``x [T, B, C, ...]``; the mask is accepted and not needed."""
        moved = x.movedim(2, -1)
        y = nn.functional.layer_norm(moved, (moved.shape[-1],), self.weight, self.bias, self.epsilon)
        return y.movedim(-1, 2)

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """Two passes for the moments and one for the map; a square root a step."""
        return Operations(macs=3.0 * x.numel(), specials=x.numel() / x.shape[2])
