"""How plain torch layers are counted; layers of this package count themselves (``Countable``).

What a linear or convolution layer costs depends on what it reads:

- every value of every call is 0 or 1: one accumulate for each one and each weight it meets
  (its fan-out); zeros cost nothing;
- every value is a whole number of at most :data:`~spikeworks.core.operations.LARGEST_SPIKE` in magnitude (ternary,
  burst or integer spikes): a value ``v`` counts as ``|v|`` accumulates for each weight;
- anything else: one multiply-accumulate for each weight and input, zeros included.

The kind of signal is decided once for a layer, over all its calls, so that one binary row in
a real-valued batch is not counted by another rule. A bias is the starting value of a sum and
costs nothing. Batch normalisation with fixed statistics is folded into the weights and costs
nothing; the other normalisations are counted.
"""

from __future__ import annotations

import abc
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.operations import Countable, Operations, is_spikes

_SYNAPSES: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_BATCH_NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_INSTANCE_NORMS: tuple[type[nn.Module], ...] = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
_NORMS: tuple[type[nn.Module], ...] = (*_BATCH_NORMS, *_INSTANCE_NORMS, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class Counter(abc.ABC):
    """Sums the operations of all calls of one module."""

    def __init__(self, module: nn.Module) -> None:
        self.module: Any = module
        self.calls = 0

    @abc.abstractmethod
    def add(self, x: Tensor, y: Tensor) -> None:
        """Take note of one call that read ``x`` and returned ``y``."""

    @abc.abstractmethod
    def total(self) -> Operations:
        """Everything noted so far."""


class OwnCounter(Counter):
    """For modules that implement :class:`~spikeworks.core.operations.Countable`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self._sum = Operations()

    def add(self, x: Tensor, y: Tensor) -> None:
        self._sum = self._sum + self.module.operations(x, y)

    def total(self) -> Operations:
        return self._sum


class SynapseCounter(Counter):
    """For linear and convolution layers; both readings are kept until the signal is known."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self._dense = 0.0
        self._events = 0.0
        self._spikes = True

    def add(self, x: Tensor, y: Tensor) -> None:
        self._dense += y.numel() * self._fan_in()
        self._spikes = self._spikes and is_spikes(x)
        if self._spikes:
            self._events += self._events_in(x)

    def total(self) -> Operations:
        if self._spikes:
            return Operations(acs=self._events, weight_reads=self._events)
        return Operations(macs=self._dense, weight_reads=self._dense)

    def _fan_in(self) -> int:
        """Weights that one output value sums over."""
        return self.module.weight[0].numel()

    def _events_in(self, x: Tensor) -> float:
        """Accumulates that the spikes in ``x`` cause."""
        if isinstance(self.module, nn.Linear):
            return _magnitude(x) * self.module.out_features
        return self._convolution_events(x)

    def _convolution_events(self, x: Tensor) -> float:
        # The fan-out of a spike depends on stride and border, so each output window counts
        # the spikes that it sees: a convolution with ones, once for each group of channels.
        layer = self.module
        size = x.abs().to(layer.weight.dtype)
        padding = layer.padding
        if layer.padding_mode != "zeros":
            size = functional.pad(size, _both_sides(layer), mode=layer.padding_mode)
            padding = 0
        ones = torch.ones_like(layer.weight[: layer.groups])
        convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[len(layer.kernel_size) - 1]
        seen = convolve(size, ones, None, layer.stride, padding, layer.dilation, layer.groups)
        return _magnitude(seen) * (layer.out_channels // layer.groups)


class NormCounter(Counter):
    """For normalisation layers.

    For each element: one addition (mean), one multiply-accumulate (variance), one for the
    scaling and one for the gain, if there is one; one root for each normalised group. RMS
    normalisation has no mean. Batch normalisation with fixed statistics counts nothing.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self._sum = Operations()

    def add(self, x: Tensor, y: Tensor) -> None:
        layer, size = self.module, x.numel()
        if getattr(layer, "running_mean", None) is not None:
            return
        gains = sum(p is not None for p in (layer.weight, getattr(layer, "bias", None)))
        self._sum = self._sum + Operations(
            macs=size * (2 + (layer.weight is not None)),
            acs=0 if isinstance(layer, nn.RMSNorm) else size,
            specials=self._groups(x),
            weight_reads=size * gains,
        )

    def total(self) -> Operations:
        return self._sum

    def _groups(self, x: Tensor) -> int:
        layer = self.module
        if isinstance(layer, nn.LayerNorm | nn.RMSNorm):
            return x.numel() // math.prod(layer.normalized_shape)
        if isinstance(layer, nn.GroupNorm):
            return x.shape[0] * layer.num_groups
        if isinstance(layer, _INSTANCE_NORMS):
            return x.shape[0] * x.shape[1]
        return x.shape[1]


class EmbeddingCounter(Counter):
    """For token embeddings: one row of the table is read for each id."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self._reads = 0.0

    def add(self, x: Tensor, y: Tensor) -> None:
        self._reads += y.numel()

    def total(self) -> Operations:
        return Operations(weight_reads=self._reads)


def counter_for(module: nn.Module) -> Counter | None:
    """The rule that counts ``module``; ``None`` where there is none."""
    if isinstance(module, Countable):
        return OwnCounter(module)  # type: ignore[arg-type]
    if isinstance(module, _SYNAPSES):
        return SynapseCounter(module)
    if isinstance(module, _NORMS):
        return NormCounter(module)
    if isinstance(module, nn.Embedding):
        return EmbeddingCounter(module)
    return None


def _magnitude(x: Tensor) -> float:
    return x.abs().sum(dtype=torch.float64).item()


def _both_sides(layer: Any) -> list[int]:
    """Padding in the order that ``functional.pad`` wants: last axis first, left before right."""
    sides: list[int] = []
    for axis in reversed(range(len(layer.kernel_size))):
        if layer.padding == "same":
            total = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
            sides += [total // 2, total - total // 2]
        elif layer.padding == "valid":
            sides += [0, 0]
        else:
            sides += [layer.padding[axis]] * 2
    return sides
