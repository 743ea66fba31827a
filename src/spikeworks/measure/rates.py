"""Spike rates: mean spikes per neuron and step, for each block of a network.

Graded spikes count by value, ternary ones by magnitude. Padded steps are left out of the sum
and of the number of steps.

    rates = spike_rates(network, x, mask)              # one forward pass of its own

    with RateMeter(network, mask) as meter:            # or beside passes that run anyway
        network(x, mask=mask)
        meter.mask = other_mask
        ...
    meter.rates()
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError, ShapeError
from .subject import call, extent, tensors_in
from .untouched import untouched


class RateMeter:
    """Watches the blocks of a network while it runs.

    Args:
        network: a network with ``blocks``, each of which returns spikes ``[T, B, ...]`` first.
        mask: ``[T, B]`` bool for the passes to come; change :attr:`mask` between passes.

    Raises:
        ConfigError: ``network`` has no blocks.
    """

    def __init__(self, network: nn.Module, mask: Tensor | None = None) -> None:
        blocks = getattr(network, "blocks", None)
        if not isinstance(blocks, nn.ModuleList):
            raise ConfigError(
                f"{type(network).__name__} has no blocks to watch.",
                "give it an attribute 'blocks', an nn.ModuleList of parts that return spikes [T, B, ...]",
            )
        self.mask = mask
        self._spikes: list[Tensor | float] = [0.0] * len(blocks)
        self._places = [0] * len(blocks)
        self._hooks: list[Any] = []
        self._blocks = blocks

    def __enter__(self) -> RateMeter:
        self._hooks = [block.register_forward_hook(self._note(i)) for i, block in enumerate(self._blocks)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()

    def rates(self) -> list[float]:
        """Mean spikes per neuron and step since the start; nan for a block that never ran."""
        return [
            float(spikes) / places if places else float("nan")
            for spikes, places in zip(self._spikes, self._places, strict=True)
        ]

    def _note(self, index: int) -> Callable[..., None]:
        def hook(block: nn.Module, args: Any, result: Any) -> None:
            spikes = next(tensors_in(result)).detach()
            if self.mask is not None:
                if spikes.shape[:2] != self.mask.shape:
                    raise ShapeError(
                        f"Block {index} returned spikes {list(spikes.shape)}, "
                        f"expected [T, B, ...] with the mask's [T, B] = {list(self.mask.shape)}."
                    )
                spikes = spikes[self.mask]
            # Stays on the device: reading the number here would stop a GPU at each block.
            self._spikes[index] = self._spikes[index] + spikes.abs().sum(dtype=torch.float64)
            self._places[index] += spikes.numel()

        return hook


def spike_rates(network: nn.Module, x: Tensor, mask: Tensor | None = None) -> list[float]:
    """Mean spikes per neuron and step of each block, in eval mode.

    Args:
        network: a network with ``blocks``.
        x: ``[T, B, ...]`` floats or ``[B, T]`` ids.
        mask: ``[T, B]`` bool; padded steps do not count.

    Raises:
        ConfigError: ``network`` has no blocks, or takes no mask though one is given.
        ShapeError: the mask does not fit.
    """
    extent(x, mask)
    with untouched(network), torch.no_grad(), RateMeter(network, mask) as meter:
        network.eval()
        call(network, x, mask)
    return meter.rates()
