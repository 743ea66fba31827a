"""Lowerings of Spiking-FullSubNet: units of a section are a loop with shared weights and states of their own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...layers import FrequencyReadout, Section
from ...models.fullsubnet import FullBandBlock, SubBandBlock
from .lowering import Builder, CExportError, lowers
from .program import Fill, Part


@lowers(nn.Identity)
def _identity(build: Builder, module: nn.Module, source: Part, path: str) -> Part:
    return source


def _layers(build: Builder, layers: Any, source: Part, path: str) -> Part:
    for index, layer in enumerate(layers):
        source = build.lower(layer, source, f"{path}.{index}")
    return source


@lowers(FullBandBlock)
def _full_band(build: Builder, block: FullBandBlock, source: Part, path: str) -> Part:
    bins, answers = block.plan.bins, block.plan.answers
    heard = low = source.slice(0, answers)
    if block.norm is not None:
        heard = build.lower(block.norm, low, f"{path}.norm")
    spikes = _layers(build, block.layers, heard, f"{path}.layers")
    both = build.scratch(f"{path}.output", bins + answers)
    build.copy(source.slice(0, bins), both.slice(0, bins))
    build.dense(spikes, block.answer.weight, block.answer.bias, f"{path}.answer", onto=both.slice(bins, answers))
    return both


@lowers(SubBandBlock)
def _sub_band(build: Builder, block: SubBandBlock, source: Part, path: str) -> list[Part]:
    """The spikes of each section's units, one section a part."""
    spikes, bins = [], block.plan.bins
    for k, section in enumerate(block.plan.sections):
        name = f"{path}.sections.{k}"
        with build.units(section.units):
            seen = build.gather(source, seen_by_units(section, bins, block.plan.neighbours, source.size), name)
            seen = build.lower(block.norms[k], seen, f"{name}.norm")
            spikes.append(build.collect(_layers(build, block.models[k], seen, name), name))
    return spikes


def seen_by_units(section: Section, bins: int, neighbours: int, size: int) -> Tensor:
    """Places of what each unit sees among ``bins`` frequencies and the answers of the whole behind them, ``[U, n]``.

    The section's own unfolding is applied to the places themselves, so that it is written once.
    """
    places = torch.arange(bins, dtype=torch.float64).reshape(1, 1, -1)
    answers = torch.arange(bins, size, dtype=torch.float64)
    tiled = answers.repeat(-(-bins // len(answers)))[:bins].reshape(1, 1, -1)
    both = torch.cat([section.unfold(places, neighbours), section.unfold(tiled)], 3)
    return both[0, 0].long()


@lowers(FrequencyReadout)
def _frequency_readout(build: Builder, readout: FrequencyReadout, source: list[Part], path: str) -> Part:
    dense: Any = readout.linear
    if not isinstance(source, list) or len(source) != len(dense.sections):
        raise CExportError(f"{path} (FrequencyReadout)", "it reads the units of sections, one part each.")
    scale = readout.config.scale
    answer = build.scratch(f"{path}.answer", dense.outputs)
    build.add(Fill(answer))
    for k, (section, spikes, made) in enumerate(zip(dense.sections, source, dense.maps, strict=True)):
        unit = Part(spikes.buffer, spikes.start, spikes.size // section.units, spikes.size // section.units)
        with build.units(section.units):
            found = build.dense(unit, made.weight * scale, made.bias * scale, f"{path}.maps.{k}")
            build.place(found, answer, places_of_filters(section, dense), f"{path}.maps.{k}")
    return answer


def places_of_filters(section: Section, dense: Any) -> Tensor:
    """Where the numbers of each unit, ``[parts, width, order]``, go in ``[parts, frequencies, taps]``: ``[U, n]``."""
    unit = torch.arange(section.units).reshape(-1, 1, 1, 1)
    part = torch.arange(dense.parts).reshape(1, -1, 1, 1)
    inside = torch.arange(section.width).reshape(1, 1, -1, 1)
    tap = torch.arange(section.order).reshape(1, 1, 1, -1) + dense.taps - section.order
    bin_ = section.low + unit * section.width + inside
    return ((part * dense.frequencies + bin_) * dense.taps + tap).flatten(1)
