"""Tiny networks whose cost can be worked out with pen and paper."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikeworks.core.operations import Operations


class Threshold(nn.Module):
    """Spikes where the input reaches 1; one word of state; one multiply-accumulate and one compare a step."""

    def forward(self, x: Tensor) -> Tensor:
        return (x >= 1).to(x.dtype)

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        n = float(x.numel())
        return Operations(macs=n, acs=n, state_reads=n, state_writes=n)


class Straight(torch.autograd.Function):
    """Heaviside forward, identity backward; keeps one tensor as an attribute, one by the book."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.kept = torch.ones(7, dtype=torch.float64)
        return (x >= 1).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad


class Block(nn.Module):
    """Linear layer, then threshold; returns spikes and a state, as the blocks of real networks do."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.synapse = nn.Linear(inputs, outputs, bias=False)
        self.neuron = Threshold()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.neuron(self.synapse(x)), x.new_zeros(x.shape[1], self.synapse.out_features)


class MaskedMean(nn.Module):
    """Mean over the steps that count."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        y = self.linear(x)
        if mask is None:
            return y.mean(0)
        weight = mask.to(y.dtype).unsqueeze(-1)
        return (y * weight).sum(0) / weight.sum(0)


class TinyNetwork(nn.Module):
    """``x [T, B, 2] -> 3 -> 4 -> output [B, 5]``; weights are set so that the spikes are known.

    Neuron i of the first block fires when the first input channel reaches ``2 ** -i``, so
    that an input of 0.5 makes 2 of 3 fire. In the second block all four fire when at least
    two of the first fire.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(2, 3), Block(3, 4)])
        self.readout = MaskedMean(4, 5)
        with torch.no_grad():
            self.blocks[0].synapse.weight.copy_(torch.tensor([[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]]))
            self.blocks[1].synapse.weight.fill_(0.5)

    def forward(self, x: Tensor, state: object = None, mask: Tensor | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        states = []
        for block in self.blocks:
            x, s = block(x)
            states.append(s)
        return self.readout(x, mask), tuple(states)


def quarter_half_silent() -> Tensor:
    """``[T=3, B=1, 2]``: 1, 2 and 0 spikes in the first block; 0, 4 and 0 in the second."""
    return torch.tensor([[[0.25, 0.7]], [[0.5, 0.0]], [[0.1, 0.3]]])


def prefix_mask(lengths: list[int], steps: int) -> Tensor:
    """``[T, B]``, true for the first ``lengths[b]`` steps of each sequence."""
    return torch.arange(steps)[:, None] < torch.tensor(lengths)[None, :]
