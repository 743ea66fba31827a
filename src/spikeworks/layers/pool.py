"""Pooling over the two spatial axes at every step, and the readout of what is pooled over all of them.

Pooling keeps little for backward: an average nothing, a maximum one byte an output (where in its window
it lay), while torch's own would keep their whole input.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import ConfigError, ShapeError
from ..core.operations import Operations
from ..kernels.marks import mark_fake, packed_of
from ..kernels.operators import is_fake
from .dropout import TimeTiedDropout
from .readout import Readout, ReadoutConfig
from .synapse import magnitude

_LARGEST = 15
"""Largest window whose places fit into a byte."""


class _Pool(nn.Module):
    """Windows of ``size`` by ``size`` values, ``stride`` apart: ``[T, B, C, H, W] -> [T, B, C, H', W']``."""

    def __init__(self, size: int, *, stride: int | None = None, padding: int = 0) -> None:
        super().__init__()
        stride = size if stride is None else stride
        if not 1 <= size <= _LARGEST or stride < 1 or not 0 <= padding <= size // 2:
            raise ConfigError(
                f"Pooling needs a size of 1 to {_LARGEST}, a stride of at least 1 and padding of at most half the "
                f"size, got {size}, {stride} and {padding}."
            )
        self.size, self.stride, self.padding = size, stride, padding

    def length(self, length: int) -> int:
        """Length of an output axis for an input axis of ``length``; what fills no window is left out."""
        return (length + 2 * self.padding - self.size) // self.stride + 1

    def _frames(self, x: Tensor) -> Tensor:
        """``[T * B, C, H, W]``, checked."""
        if x.dim() != 5:
            raise ShapeError(f"{type(self).__name__} expected x of shape [T, B, C, H, W], got {list(x.shape)}.")
        if min(map(self.length, x.shape[3:])) < 1:
            raise ShapeError(
                f"{type(self).__name__} of size {self.size} has no place on {x.shape[3]} x {x.shape[4]} values.",
                "take larger frames, or fewer strides before it",
            )
        return x.flatten(0, 1)

    def extra_repr(self) -> str:
        return f"{self.size}, stride={self.stride}, padding={self.padding}"


class AveragePool2d(_Pool):
    """Means over windows that do not overlap.

    Spikes become multiples of ``1 / size²``, so what follows can no longer be packed into bits.

    Args:
        size: side of a window, which is the stride as well.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)

    def forward(self, x: Tensor) -> Tensor:
        """Apply at every step; raises ShapeError for other axes or too small a frame."""
        y: Any = _Average.apply(self._frames(x), self.size)
        return y.reshape(*x.shape[:2], *y.shape[1:])

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """An addition for each spike; the factor is folded into the weights that follow."""
        return Operations(acs=magnitude(x))


class MaxPool2d(_Pool):
    """Maxima over windows; for spikes, whether any neuron of the window fired.

    Args:
        size: side of a window.
        stride: between windows; ``None`` is ``size``.
        padding: places outside of the frame, never chosen, on each side; at most half the size.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply at every step; raises ShapeError for other axes or too small a frame."""
        frames = self._frames(x)
        if torch.is_grad_enabled() and x.requires_grad:
            y: Any = _Maximum.apply(frames, self.size, self.stride, self.padding)[0]  # type: ignore[index]
        else:
            y = functional.max_pool2d(frames, self.size, self.stride, self.padding)
        y = y.reshape(*x.shape[:2], *y.shape[1:])
        if is_fake(y) and packed_of(x) is not None:  # the maxima of spikes are spikes
            mark_fake(y)
        return y

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """A comparison for each further value of a window."""
        return Operations(acs=float(y.numel() * (self.size**2 - 1)))


class PooledReadout(Readout):
    """A readout of the means of every channel over its frame: ``[T, B, C, ...] -> [B, K]``.

    Args:
        channels, outputs: C and K.
        config: the rule over time.
        dropout: rate for the means, tied over time.
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        config: ReadoutConfig,
        *,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(channels, outputs, config, generator=generator)
        self.dropout = TimeTiedDropout(dropout)

    def features(self, x: Tensor) -> Tensor:
        """Means over the frame: ``[T, B, C, ...]`` to ``[T, B, C]``."""
        return self.dropout(x.flatten(3).mean(3) if x.dim() > 3 else x)

    def fresh(self, shape: tuple[int, ...], generator: torch.Generator | None) -> PooledReadout:
        """A new readout of the same kind and answers for inputs of ``shape`` a step and sample."""
        outputs = self.linear.weight.shape[0]
        return PooledReadout(shape[0], outputs, self.config, dropout=self.dropout.rate, generator=generator)

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """An addition for each spike, then the linear map of the means."""
        return Operations(acs=magnitude(x)) + super().operations(x.flatten(3).mean(3) if x.dim() > 3 else x, y)


class _Average(torch.autograd.Function):
    """Non-overlapping means; backward needs the shape alone."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, size: int) -> Tensor:
        return functional.avg_pool2d(x, size)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, ctx.size = inputs
        ctx.frame = x.shape[-2:]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        spread = functional.interpolate(gradients[0] / ctx.size**2, scale_factor=float(ctx.size), mode="nearest")
        (height, width), (rows, columns) = ctx.frame, spread.shape[-2:]
        return functional.pad(spread, (0, width - columns, 0, height - rows)), None


class _Maximum(torch.autograd.Function):
    """Maxima, and for each the place in its window in one byte."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, size: int, stride: int, padding: int) -> tuple[Tensor, Tensor]:
        y, index = functional.max_pool2d(x, size, stride, padding, return_indices=True)
        rows, columns = _corners(y, stride, padding)
        width = x.shape[-1]
        row, column = torch.div(index, width, rounding_mode="floor") - rows, index % width - columns
        return y, (row * size + column).to(torch.uint8)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, ctx.size, ctx.stride, ctx.padding = inputs
        ctx.frame = x.shape
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (place,) = ctx.saved_tensors
        place = place.to(torch.int64)
        rows, columns = _corners(place, ctx.stride, ctx.padding)
        row, column = torch.div(place, ctx.size, rounding_mode="floor") + rows, place % ctx.size + columns
        index = (row * ctx.frame[-1] + column).flatten(2)
        empty = gradients[0].new_zeros(*ctx.frame[:2], ctx.frame[2] * ctx.frame[3])
        return empty.scatter_add(2, index, gradients[0].flatten(2)).reshape(ctx.frame), None, None, None


def _corners(y: Tensor, stride: int, padding: int) -> tuple[Tensor, Tensor]:
    """Rows ``[H', 1]`` and columns ``[W']`` at which the windows begin; with padding some lie before the frame."""
    rows = torch.arange(y.shape[-2], device=y.device) * stride - padding
    columns = torch.arange(y.shape[-1], device=y.device) * stride - padding
    return rows[:, None], columns
