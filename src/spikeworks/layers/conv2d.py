"""Convolution over two spatial axes at every step."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import ConfigError, ShapeError
from ..core.operations import Operations
from ..core.state import check_time_first
from .synapse import magnitude, synaptic_operations, uniform_


class Conv2d(nn.Module):
    """A convolution at every step: ``[T, B, C, H, W] -> [T, B, D, H', W']``.

    An input ``[T, B, H, W]`` is taken as one channel. Zero padding of ``kernel // 2`` on all sides
    unless given. Weights and bias start as U(-1/sqrt(n), 1/sqrt(n)) with n inputs a neuron.

    Args:
        channels, outputs: C and D; each a multiple of ``groups``.
        kernel, stride: of both axes, at least 1.
        padding: zeros on each side of both axes; ``None`` is ``kernel // 2``.
        groups: parts that do not see each other; ``groups = channels`` is depthwise.

    Raises:
        ConfigError: a number out of its range.
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        *,
        kernel: int,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if min(channels, outputs, kernel, stride, groups) < 1 or (padding is not None and padding < 0):
            raise ConfigError(
                "A convolution needs channels, outputs, kernel, stride and groups of at least 1 and no negative "
                f"padding, got {channels}, {outputs}, {kernel}, {stride}, {groups} and {padding}."
            )
        if channels % groups or outputs % groups:
            raise ConfigError(f"Channels and outputs are multiples of groups, got {channels}, {outputs} and {groups}.")
        self.channels, self.kernel, self.stride, self.groups = channels, kernel, stride, groups
        self.padding = kernel // 2 if padding is None else padding
        bound = 1.0 / math.sqrt(channels // groups * kernel**2)
        self.weight = nn.Parameter(uniform_(torch.empty(outputs, channels // groups, kernel, kernel), bound, generator))
        self.bias = nn.Parameter(uniform_(torch.empty(outputs), bound, generator))

    def length(self, length: int) -> int:
        """Length of an output axis for an input axis of ``length``."""
        return (length + 2 * self.padding - self.kernel) // self.stride + 1

    def forward(self, x: Tensor) -> Tensor:
        """Apply at every step; see the class for shapes.

        Raises:
            ShapeError: x has other axes or channels, or is smaller than the kernel.
        """
        x = self._with_channels(x)
        y = functional.conv2d(x.flatten(0, 1), self.weight, self.bias, self.stride, self.padding, groups=self.groups)
        return y.reshape(*x.shape[:2], *y.shape[1:])

    def _with_channels(self, x: Tensor) -> Tensor:
        wanted = f"[T, B, {self.channels}, H, W]" + (" or [T, B, H, W]" if self.channels == 1 else "")
        x = x.unsqueeze(2) if x.dim() == 4 and self.channels == 1 else x
        if x.dim() != 5:
            raise ShapeError(f"A 2-D convolution expected x of shape {wanted}, got {list(x.shape)}.")
        check_time_first(x, self.channels, "A 2-D convolution")
        if min(map(self.length, x.shape[3:])) < 1:
            raise ShapeError(
                f"A 2-D convolution with kernel {self.kernel} and padding {self.padding} has no place on "
                f"{x.shape[3]} x {x.shape[4]} values.",
                "take a smaller kernel, more padding, or fewer strides before it",
            )
        return x

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """As for a dense synapse; how many weights a spike reaches depends on stride and border."""
        outputs, each, kernel, _ = self.weight.shape
        frames = self._with_channels(x).flatten(0, 1).abs()
        ones = torch.ones(1, self.channels, kernel, kernel, dtype=x.dtype, device=x.device)
        seen = functional.conv2d(frames, ones, None, self.stride, self.padding)
        return synaptic_operations(x, y.numel() * each * kernel**2, magnitude(seen) * outputs / self.groups)

    def extra_repr(self) -> str:
        kept = f"kernel={self.kernel}, stride={self.stride}, padding={self.padding}, groups={self.groups}"
        return f"{self.channels}, {self.weight.shape[0]}, {kept}"
