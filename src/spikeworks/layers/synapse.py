"""Synapses: what turns the spikes of one layer into the input current of the next."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import ConfigError
from ..core.operations import Operations, is_spikes
from ..kernels.events import applies, spike_linear
from ..kernels.marks import bits_of


def uniform_(tensor: Tensor, bound: float, generator: torch.Generator | None) -> Tensor:
    """Fill with U(-bound, bound), in place."""
    with torch.no_grad():
        return tensor.uniform_(-bound, bound, generator=generator)


def synaptic_operations(x: Tensor, dense: float, events: float) -> Operations:
    """Operations of a linear synapse, by what its input holds.

    Spikes select weights: ``events`` additions, one for each spike and weight it reaches
    (graded spikes by their value). Real numbers multiply: ``dense`` MACs, zeros included. A
    bias is the starting value of the sum and costs nothing.
    """
    if is_spikes(x):
        return Operations(acs=events, weight_reads=events)
    return Operations(macs=dense, weight_reads=dense)


def magnitude(x: Tensor) -> float:
    """Sum of the sizes of all spikes, exact."""
    return x.abs().sum(dtype=torch.float64).item()


class Dense(nn.Module):
    """A linear map of the channels at every step: ``[T, B, inputs] -> [T, B, outputs]``.

    Where the input is spikes, and many of them, C kernels add the weights of the neurons that
    fired, and only bits are kept for backward; see :mod:`~spikeworks.kernels.events`.

    Weights and bias start as U(-1/sqrt(inputs), 1/sqrt(inputs)), the default of ``nn.Linear``.
    """

    def __init__(self, inputs: int, outputs: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if inputs < 1 or outputs < 1:
            raise ConfigError(f"A dense synapse needs at least one input and output, got {inputs} and {outputs}.")
        bound = 1.0 / math.sqrt(inputs)
        self.weight = nn.Parameter(uniform_(torch.empty(outputs, inputs), bound, generator))
        self.bias = nn.Parameter(uniform_(torch.empty(outputs), bound, generator))

    def forward(self, x: Tensor) -> Tensor:
        """``[T, B, inputs, ...]`` with further axes flattened, to ``[T, B, outputs]``."""
        if applies(x, self.weight) and (packed := bits_of(x)) is not None:
            return spike_linear(x, packed, self.weight, self.bias)
        return functional.linear(x.flatten(2), self.weight, self.bias)

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """An addition for each spike and outgoing weight, or a MAC for each weight."""
        outputs, inputs = self.weight.shape
        return synaptic_operations(x, y.numel() * inputs, magnitude(x) * outputs)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}"


class Conv1d(nn.Module):
    """A convolution along one spatial axis at every step: ``[T, B, C, L] -> [T, B, D, L']``.

    An input ``[T, B, L]`` is taken as one channel of length L (the bands of a spectrogram,
    the taxels of a skin). Zero padding of ``kernel // 2`` on both sides.
    """

    def __init__(
        self, channels: int, outputs: int, *, kernel: int, stride: int = 1, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if kernel < 1 or stride < 1:
            raise ConfigError(f"A convolution needs kernel and stride of at least 1, got {kernel} and {stride}.")
        self.kernel, self.stride = kernel, stride
        bound = 1.0 / math.sqrt(channels * kernel)
        self.weight = nn.Parameter(uniform_(torch.empty(outputs, channels, kernel), bound, generator))
        self.bias = nn.Parameter(uniform_(torch.empty(outputs), bound, generator))

    def length(self, length: int) -> int:
        """Length of the output axis for an input axis of ``length``."""
        return (length + 2 * (self.kernel // 2) - self.kernel) // self.stride + 1

    def forward(self, x: Tensor) -> Tensor:
        """Apply at every step; see the class for shapes."""
        x = x.unsqueeze(2) if x.dim() == 3 else x
        y = functional.conv1d(x.flatten(0, 1), self.weight, self.bias, self.stride, self.kernel // 2)
        return y.reshape(*x.shape[:2], *y.shape[1:])

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """As for a dense synapse; how many weights a spike reaches depends on stride and border."""
        outputs, channels, kernel = self.weight.shape
        frames = x.reshape(-1, channels, x.shape[-1]).abs()
        ones = torch.ones(1, channels, kernel, dtype=x.dtype, device=x.device)
        seen = functional.conv1d(frames, ones, None, self.stride, self.kernel // 2)
        return synaptic_operations(x, y.numel() * channels * kernel, magnitude(seen) * outputs)

    def extra_repr(self) -> str:
        outputs, channels, kernel = self.weight.shape
        return f"{channels}, {outputs}, kernel={kernel}, stride={self.stride}"
