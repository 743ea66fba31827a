"""Causal dilated convolutions along time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import ConfigError
from ..core.operations import Operations
from .stateful import Stateful
from .synapse import synaptic_operations, uniform_


class CausalConv(Stateful):
    """``y_o[t] = b_o + sum_ik w_oik x_i[t - (K - 1 - k) dilation]``: ``[T, B, inputs] -> [T, B, outputs]``.

    The state holds the last ``(K - 1) dilation`` inputs, ``[B, (K - 1) dilation, inputs]``, oldest first;
    rest is silence. Padding is on the left alone.

    With ``weight_norm`` a filter is ``gain * direction / |direction|`` (arXiv 1602.07868). It starts, as without,
    as U(-1/sqrt(inputs K), 1/sqrt(inputs K)), and so does the bias: the gain starts as the length of its filter.

    Args:
        inputs, outputs: channels before and after.
        kernel: K, taps.
        dilation: steps between two taps.
        weight_norm: whether length and direction of a filter are trained apart.
        generator: source of the initial values.

    Example:
        >>> conv = CausalConv(3, 5, kernel=2, dilation=4)
        >>> y, state = conv(torch.rand(10, 2, 3))
        >>> y.shape, state.shape
        (torch.Size([10, 2, 5]), torch.Size([2, 4, 3]))
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        dilation: int = 1,
        weight_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if min(inputs, outputs, kernel, dilation) < 1:
            raise ConfigError(
                "A convolution along time needs at least one input, output, tap and step between taps, got "
                f"{inputs}, {outputs}, kernel={kernel}, dilation={dilation}."
            )
        self.dilation = dilation
        bound = 1.0 / math.sqrt(inputs * kernel)
        self.direction = nn.Parameter(uniform_(torch.empty(outputs, inputs, kernel), bound, generator))
        self.gain: Tensor | None = None
        if weight_norm:
            self.gain = nn.Parameter(self.direction.detach().norm(dim=(1, 2)))
        self.bias = nn.Parameter(uniform_(torch.empty(outputs), bound, generator))

    @property
    def weight(self) -> Tensor:
        """The filters as they act, ``[outputs, inputs, K]``."""
        if self.gain is None:
            return self.direction
        length = self.direction.norm(dim=(1, 2), keepdim=True)
        return self.direction * (self.gain.reshape(-1, 1, 1) / length)

    @property
    def reach(self) -> int:
        """How many steps back the oldest tap lies."""
        return (self.direction.shape[2] - 1) * self.dilation

    def run(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        batch, inputs = x.shape[1:]
        before = x.new_zeros(batch, inputs, self.reach) if state is None else state.to(x.dtype).transpose(1, 2)
        whole = torch.cat([before, x.permute(1, 2, 0)], 2)
        weight = self.weight.to(x.dtype)
        y = functional.conv1d(whole, weight, self.bias.to(x.dtype), dilation=self.dilation)
        after = whole[:, :, whole.shape[2] - self.reach :].transpose(1, 2)
        return y.permute(2, 0, 1).contiguous(), after.contiguous()

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """As streamed from rest: an addition for each spike and weight that it reaches, or a MAC for each weight.

        A step writes its inputs into the buffer of the last ones and reads every tap of it.
        """
        outputs, inputs, kernel = self.direction.shape
        steps, batch = x.shape[:2]
        left = torch.arange(steps, 0, -1, device=x.device).sub(1).div(self.dilation, rounding_mode="floor") + 1
        reached = left.clamp(max=kernel).to(torch.float64)  # taps at which the sequence still hears a step
        events = (x.abs().sum((1, 2), dtype=torch.float64) * reached).sum().item() * outputs
        counted = synaptic_operations(x, y.numel() * inputs * kernel, events)
        moved = steps * batch * inputs
        return counted + Operations(state_reads=moved * (kernel - 1), state_writes=moved * (kernel > 1))

    def extra_repr(self) -> str:
        outputs, inputs, kernel = self.direction.shape
        return f"{inputs}, {outputs}, kernel={kernel}, dilation={self.dilation}, weight_norm={self.gain is not None}"
