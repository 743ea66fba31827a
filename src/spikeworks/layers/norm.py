"""Normalisation of input currents ``[T, B, C, ...]``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core.operations import Operations


def moments(x: Tensor, mask: Tensor | None, *, per_step: bool = False) -> tuple[Tensor, Tensor, float | Tensor]:
    """Mean and variance of each channel, and how many values they are of.

    Args:
        x: ``[T, B, C, ...]``; half precision is summed in float32.
        mask: ``[T, B]`` bool, true where a step belongs to its sequence, or ``None`` for all.
        per_step: over the batch at each step, instead of over time and batch.

    Returns:
        Mean and variance (divided by the count) ``[C]``, or ``[T, C]`` per step; the count, with a
        mask as a tensor ``[]`` or ``[T, 1]``. Where the mask leaves nothing all three are 0.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    first = 1 if per_step else 0
    others = [*range(first, 2), *range(3, x.dim())]
    if mask is None:
        variance, mean = torch.var_mean(x, others, correction=0)
        return mean, variance, x.numel() / mean.numel()
    tail = (1,) * (x.dim() - 3)
    weights = mask.to(x.dtype).reshape(*mask.shape, 1, *tail)
    count = weights.sum(others) * (x[0, 0].numel() / x.shape[2])  # [1] or [T, 1]
    some = count.clamp(min=1.0)
    mean = (x * weights).sum(others) / some
    centre = mean.unsqueeze(1) if per_step else mean
    variance = ((x - centre.reshape(*centre.shape, *tail)).square() * weights).sum(others) / some
    return mean, variance, count if per_step else count.squeeze(0)


def unbiased(variance: Tensor, count: float | Tensor) -> Tensor:
    """The estimate of the variance that running averages keep: divided by the count less one."""
    less = (count - 1.0).clamp(min=1.0) if isinstance(count, Tensor) else max(count - 1.0, 1.0)
    return variance * (count / less)


def share(momentum: float, count: float | Tensor) -> float | Tensor:
    """The weight of new moments in the running averages: none where they are of nothing."""
    return momentum * (count > 0).to(count.dtype) if isinstance(count, Tensor) else momentum


class BatchNorm(nn.Module):
    """Normalise each channel over time and batch, padded steps left out.

    In training the moments of the call are used, in evaluation their running averages, so
    that chunks with carried state equal the whole there. With ``per_step`` a step is normalised
    over its batch alone and the running averages move once a step, in order: the same numbers
    as of one call for each step, so that chunks equal the whole in training, too, as learning
    online needs it.

    Args:
        channels: C.
        momentum: weight of a new call (with ``per_step``: of a new step) in the running averages.
        epsilon: added to the variance.
        per_step: moments of each step over the batch, instead of over time and batch.

    Source: arXiv 1502.03167; per step as in arXiv 2302.14311 and 2210.04195.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, *, momentum: float = 0.1, epsilon: float = 1e-5, per_step: bool = False) -> None:
        super().__init__()
        self.momentum, self.epsilon, self.per_step = momentum, epsilon, per_step
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``x [T, B, C, ...]``, ``mask [T, B]`` bool or ``None``."""
        if self.training and mask is None and self._native(x):
            if not self.per_step:
                return self._batch_norm(x.flatten(0, 1)).reshape(x.shape)
            return torch.stack([self._batch_norm(one) for one in x.unbind(0)])
        if self.training:
            mean, variance, count = moments(x, mask, per_step=self.per_step)
            self._remember(mean.detach(), variance.detach(), count)
            scale, shift = self._map(mean, variance)
            if self.per_step:
                scale, shift = scale.unsqueeze(1), shift.unsqueeze(1)
        else:
            scale, shift = self.folded()
        tail = (1,) * (x.dim() - 3)
        return torch.addcmul(shift.reshape(*shift.shape, *tail), x, scale.reshape(*scale.shape, *tail))

    def _native(self, x: Tensor) -> bool:
        """Whether torch's own kernel takes ``x``: it reads frames fewer times, and would copy a repeated frame."""
        if x.stride(0) == 0 and len(x) > 1:
            return False
        values = x.shape[1:].numel() if self.per_step else x.numel()
        return x.dtype == self.weight.dtype and values > x.shape[2] and (x.dim() > 3 or not self.per_step)

    def _batch_norm(self, x: Tensor) -> Tensor:
        """``x [B, C, ...]`` by its own moments, which move the running averages."""
        cudnn = torch.backends.cudnn.enabled
        return torch.batch_norm(
            x, self.gain(), self.bias, self.mean, self.variance, True, self.momentum, self.epsilon, cudnn
        )

    def folded(self) -> tuple[Tensor, Tensor]:
        """Scale and shift ``[C]`` of the map that evaluation is, to be folded into the synapse before it."""
        return self._map(self.mean, self.variance)

    def gain(self) -> Tensor:
        """What normalised values are multiplied by, ``[C]``."""
        return self.weight

    def _map(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        scale = self.gain() * torch.rsqrt(variance + self.epsilon)
        return scale, self.bias - mean * scale

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: float | Tensor) -> None:
        part = share(self.momentum, count)
        variance = unbiased(variance, count)
        if not self.per_step:
            self.mean.lerp_(mean.to(self.mean.dtype), part)
            self.variance.lerp_(variance.to(self.variance.dtype), part)
            return
        moved = part if isinstance(part, Tensor) else mean.new_full((len(mean), 1), part)
        left = (1.0 - moved).flip(0).cumprod(0).flip(0)  # of what stood before each step
        weights = moved * torch.cat([left[1:], torch.ones_like(left[:1])])
        self.mean.copy_(self.mean * left[0] + (weights * mean).sum(0))
        self.variance.copy_(self.variance * left[0] + (weights * variance).sum(0))

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """Nothing: with fixed statistics it is folded into the synapse before it."""
        return Operations()

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, momentum={self.momentum}" + (", per_step=True" if self.per_step else "")


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
