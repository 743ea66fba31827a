"""Synapses and normalisation for neurons with several inputs, such as dendritic branches."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import ConfigError
from ..core.operations import Operations
from .synapse import magnitude, synaptic_operations, uniform_


def disjoint_parts(inputs: int, outputs: int, parts: int, generator: torch.Generator | None = None) -> Tensor:
    """For each output a random split of the inputs into equal parts, ``[parts, outputs, inputs]`` of bools.

    Every input is in exactly one part of each output. Sizes of the parts differ where
    ``inputs`` is no multiple of ``parts``; a part can be empty where there are few inputs.
    """
    size = -(-inputs // parts)
    # the place of an input in a random order of the inputs and the padding
    place = torch.rand(outputs, size * parts, generator=generator).argsort(1).argsort(1)[:, :inputs]
    return (place // size).unsqueeze(0) == torch.arange(parts).reshape(-1, 1, 1)


class BranchedDense(nn.Module):
    """K linear maps of one input, one for each input of the neurons: ``[T, B, inputs]`` to K times ``[T, B, outputs]``.

    Weights and biases start as U(-1/sqrt(inputs), 1/sqrt(inputs)).

    Args:
        inputs, outputs: channels before, neurons after.
        branches: K.
        disjoint: whether each neuron's branches see disjoint random parts of the input, drawn
            once and saved with the weights. Weights outside of a part are never used, so no
            optimiser can bring them in.
        generator: source of the parts and the initial values.

    Example:
        >>> maps = BranchedDense(8, 5, 4, disjoint=True)
        >>> [tuple(current.shape) for current in maps(torch.rand(7, 2, 8))]
        [(7, 2, 5), (7, 2, 5), (7, 2, 5), (7, 2, 5)]
    """

    mask: Tensor | None

    def __init__(
        self, inputs: int, outputs: int, branches: int, *, disjoint: bool, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if branches < 1:
            raise ConfigError(f"A branched synapse needs at least one branch, got {branches}.")
        bound = 1.0 / math.sqrt(inputs)
        self.weight = nn.Parameter(uniform_(torch.empty(branches, outputs, inputs), bound, generator))
        self.bias = nn.Parameter(uniform_(torch.empty(branches, outputs), bound, generator))
        self.register_buffer("mask", disjoint_parts(inputs, outputs, branches, generator) if disjoint else None)
        if self.mask is not None:
            self.weight.data *= self.mask

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """``[T, B, inputs, ...]`` with further axes flattened, to one ``[T, B, outputs]`` a branch."""
        x = x.flatten(2)
        weight = self.weight if self.mask is None else self.weight * self.mask
        biases = [None] * len(weight) if self.bias is None else self.bias
        return tuple(functional.linear(x, w, b) for w, b in zip(weight, biases, strict=True))

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """As for a dense synapse, over the weights in use; ``y`` is the current of one branch."""
        branches, outputs, inputs = self.weight.shape
        copies = branches if self.mask is None else 1  # disjoint parts make up one dense map
        return synaptic_operations(x, y.numel() * inputs * copies, magnitude(x) * outputs * copies)

    def extra_repr(self) -> str:
        branches, outputs, inputs = self.weight.shape
        return f"{inputs}, {outputs}, branches={branches}, disjoint={self.mask is not None}"


class EachInput(nn.ModuleList):
    """A normalisation of its own for each of several currents ``[T, B, C, ...]``."""

    def forward(self, x: tuple[Tensor, ...], mask: Tensor | None = None) -> tuple[Tensor, ...]:
        """A tuple of currents in and out; ``mask [T, B]`` bool or ``None``."""
        return tuple(norm(current, mask) for norm, current in zip(self, x, strict=True))
