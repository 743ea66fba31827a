"""Spikes of a denoiser for one clip, band by band: which neurons answered which part of the spectrum when.

Of a Spiking-FullSubNet the bands are the whole spectrum and each section of sub-bands, its units from low to high
frequencies; of other networks each layer is one.

Legend: ``T`` frames, ``U`` units, ``N`` neurons.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from ..core.batch import Batch
from ..core.operations import is_spikes
from ..measure.untouched import untouched
from ..models.fullsubnet import FullBandBlock, SubBandBlock
from .evaluate import run_network


@dataclasses.dataclass(frozen=True, kw_only=True)
class Band:
    """Neurons that belong together.

    Attributes:
        name: as people read it.
        spikes: bool ``[T, N]``; of a section unit after unit, the lowest frequencies first.
        units: parts of the spectrum that it is cut into.
    """

    name: str
    spikes: Tensor
    units: int = 1

    @property
    def rate(self) -> float:
        """Share of neurons that spike in a step."""
        return float(self.spikes.float().mean()) if self.spikes.numel() else 0.0


def bands(network: nn.Module, batch: Batch, hertz: float) -> list[Band]:
    """The bands of ``network`` for a batch of one clip, in eval mode and without gradients.

    Layers that answer anything but spikes have none; a network without spikes gives an empty list.

    Args:
        network: with ordered ``blocks``; another one has no bands.
        batch: one clip.
        hertz: between two frequencies of its spectrum.
    """
    watched = _watched(network, hertz)
    heard: dict[nn.Module, list[Tensor]] = {}

    def note(layer: nn.Module, _: Any, result: Any) -> None:
        heard.setdefault(layer, []).append(result[0])

    hooks = [layer.register_forward_hook(note) for layers in watched.values() for layer in layers]
    try:
        with torch.no_grad(), untouched(network):
            network.eval()
            run_network(network, batch)
    finally:
        for hook in hooks:
            hook.remove()
    found = []
    for name, layers in watched.items():
        answers = [torch.cat(heard[layer]) for layer in layers if layer in heard]
        if answers and all(is_spikes(answer) for answer in answers):
            joined = torch.cat([answer.flatten(2) for answer in answers], 2)  # [T, U, N of all layers]
            found.append(Band(name=name, spikes=joined.flatten(1) != 0, units=joined.shape[1]))
    return found


def _watched(network: nn.Module, hertz: float) -> dict[str, list[nn.Module]]:
    """Layers of each band, by the band's name."""
    found: dict[str, list[nn.Module]] = {}
    for number, block in enumerate(getattr(network, "blocks", ()), start=1):
        inner: Any = block
        if isinstance(block, FullBandBlock):
            found[f"whole (hears {_span(0, inner.plan.answers, hertz)})"] = list(inner.layers)
        elif isinstance(block, SubBandBlock):
            for section, layers in zip(inner.plan.sections, inner.models, strict=True):
                units = f"{section.units} unit{'' if section.units == 1 else 's'}"
                found[f"{_span(section.low, section.high, hertz)}, {units}"] = list(layers)
        else:
            found[f"layer {number}"] = [block]
    return found


def _span(low: int, high: int, hertz: float) -> str:
    return f"{low * hertz / 1000:g}–{high * hertz / 1000:g} kHz"
