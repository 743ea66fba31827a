"""Spike rates: mean spikes per neuron and step, for each block of a network.

Graded spikes count by value, ternary ones by magnitude. Padded steps are left out of the sum
and of the number of steps. Where currents leave a block, the neurons inside of it are counted
together; a block without neurons has a rate of 0.

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
        network: a network with ``blocks``, each of which returns spikes ``[T, B, ...]`` first, or says in its plan
            that it returns something else.
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
        for i, block in enumerate(self._blocks):
            plain = getattr(getattr(block, "plan", None), "emits", "spikes") != "currents"
            watched = [block] if plain else _firing(block)
            self._places[i] += not watched  # nothing in it fires
            self._hooks += [part.register_forward_hook(self._note(i)) for part in watched]
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
                units = spikes.shape[1] // max(1, self.mask.shape[1])  # neurons inside may see a sequence many times
                if spikes.shape[:2] != (len(self.mask), units * self.mask.shape[1]):
                    raise ShapeError(
                        f"Block {index} returned spikes {list(spikes.shape)}, "
                        f"expected [T, B, ...] with the mask's [T, B] = {list(self.mask.shape)}."
                    )
                spikes = spikes[self.mask.repeat_interleave(units, 1)]
            # Stays on the device: reading the number here would stop a GPU at each block.
            self._spikes[index] = self._spikes[index] + spikes.abs().sum(dtype=torch.float64)
            self._places[index] += spikes.numel()

        return hook


def _firing(block: nn.Module) -> list[nn.Module]:
    """Neurons inside of a block; of those that hear themselves the layer around them, through which they are called."""
    found: list[nn.Module] = []
    for part in block.children():
        found += [part] if _fires(part) else _firing(part)
    return found


def _fires(part: nn.Module) -> bool:
    """Whether it is neurons, or a layer around its ``neuron``."""
    inner = getattr(part, "neuron", None)
    return (hasattr(part, "credit") and hasattr(part, "states")) or (isinstance(inner, nn.Module) and _fires(inner))


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
