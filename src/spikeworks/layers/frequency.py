"""Sections of a spectrum, each cut into units of one width, and the readout of an answer for every frequency.

Legend: ``T`` frames, ``B`` batch, ``F`` frequencies; of section k, ``c`` the frequencies of a unit, ``U`` its units,
``H`` the neurons that each unit is read from, ``d`` the taps of its filters.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import ConfigError
from ..core.operations import Operations
from .readout import Readout, ReadoutConfig
from .synapse import Dense, magnitude, synaptic_operations, uniform_


@dataclasses.dataclass(frozen=True)
class Section:
    """Frequencies ``low`` to ``high - 1`` in units of ``width``, filters of ``order`` taps.

    Raises:
        ConfigError: it is empty, not a whole number of units, or has no tap.
    """

    low: int
    high: int
    width: int
    order: int = 1

    def __post_init__(self) -> None:
        if self.low < 0 or self.high <= self.low or self.width < 1 or (self.high - self.low) % self.width:
            raise ConfigError(
                f"A section of frequencies is a whole number of units, got {self.low} to {self.high} in units of "
                f"{self.width}."
            )
        if self.order < 1:
            raise ConfigError(f"A filter has at least one tap, got order={self.order}.")

    @property
    def units(self) -> int:
        """How many."""
        return (self.high - self.low) // self.width

    def unfold(self, x: Tensor, neighbours: int = 0) -> Tensor:
        """Its units of ``x [T, B, F]``: ``[T, B, U, c + 2 * neighbours]``.

        Beyond the first and the last frequency the spectrum goes on mirrored; between sections a unit sees what is
        there.
        """
        if neighbours:
            x = functional.pad(x, (neighbours, neighbours), mode="reflect")
        return x[:, :, self.low : self.high + 2 * neighbours].unfold(2, self.width + 2 * neighbours, self.width)

    def fold(self, units: Tensor) -> Tensor:
        """The frequencies of the section from its units ``[T, B, U, c]``: ``[T, B, U * c]``."""
        return units.flatten(2)


class SectionDense(nn.Module):
    """A linear map for each section, shared by its units, to numbers for each of its frequencies.

    ``[..., sum U_k H_k]`` to ``[..., parts * F * taps]``, read as ``[parts, F, taps]``, the oldest tap first. Taps
    that a section lacks, and frequencies in no section, are 0 whatever the input.

    Args:
        sections: ascending, without overlap.
        hidden: neurons H of each section's units.
        frequencies: F.
        parts: 2 for real and imaginary parts, or 1.
        taps: at least the largest order.
        start: factor on the initial weights, U(-1/sqrt(H), 1/sqrt(H)); biases start at 0. Small answers leave
            filters that start as the identity near it.
        generator: source of the initial values.
    """

    def __init__(
        self,
        sections: Sequence[Section],
        hidden: Sequence[int],
        frequencies: int,
        *,
        parts: int,
        taps: int,
        start: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        orders = [section.order for section in sections]
        if max(orders) > taps:
            raise ConfigError(f"Filters of up to {max(orders)} taps do not fit a task with {taps}.")
        self.sections, self.hidden = tuple(sections), tuple(hidden)
        self.frequencies, self.parts, self.taps = frequencies, parts, taps
        self.maps = nn.ModuleList()
        for section, size in zip(sections, hidden, strict=True):
            made = Dense(size, parts * section.width * section.order, generator=generator)
            uniform_(made.weight, start * size**-0.5, generator)
            nn.init.zeros_(made.bias)
            self.maps.append(made)

    @property
    def outputs(self) -> int:
        """Numbers of an answer."""
        return self.parts * self.frequencies * self.taps

    def split(self, x: Tensor) -> list[Tensor]:
        """What the units of each section are read from: ``[..., U, H]``."""
        sizes = [section.units * size for section, size in zip(self.sections, self.hidden, strict=True)]
        return [
            part.unflatten(-1, (section.units, -1))
            for section, part in zip(self.sections, x.split(sizes, -1), strict=True)
        ]

    def forward(self, x: Tensor) -> Tensor:
        found, at = [], 0
        for section, made, part in zip(self.sections, self.shared(), self.split(x), strict=True):
            lead = part.dim() - 2
            y = functional.linear(part, made.weight, made.bias)
            y = y.unflatten(-1, (self.parts, section.width, section.order)).movedim(lead + 1, lead)
            y = y.flatten(lead + 1, lead + 2)  # [..., parts, U * c, d]
            found.append(functional.pad(y, (self.taps - section.order, 0, section.low - at, 0)))
            at = section.high
        whole = torch.cat(found, -2)
        return functional.pad(whole, (0, 0, 0, self.frequencies - at)).flatten(-3)

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """Every unit of every section counted."""
        total = Operations()
        for made, part in zip(self.shared(), self.split(x), strict=True):
            outputs = len(made.weight)
            total = total + synaptic_operations(x, part.numel() * outputs, magnitude(part) * outputs)
        return total

    def shared(self) -> list[Dense]:
        """The map of each section."""
        return [made for made in self.maps if isinstance(made, Dense)]


class FrequencyReadout(Readout):
    """An answer for every frequency of every frame, from the units of sections: ``[T, B, parts * F * taps]``.

    Args:
        dense: the maps of the sections.
        config: ``every`` step.

    Raises:
        ConfigError: another rule over time.
    """

    def __init__(self, dense: SectionDense, config: ReadoutConfig) -> None:
        if config.kind != "every":
            raise ConfigError(f"A readout of frequencies answers every frame, got the rule {config.kind!r}.")
        super().__init__(1, 1, config)
        self.linear: Any = dense  # in place of one map

    @property
    def outputs(self) -> int:
        return self.linear.outputs

    def fresh(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Readout:
        """A dense readout with as many answers for inputs of ``shape`` a step and sample."""
        return Readout(math.prod(shape), self.outputs, self.config, generator=generator)

    def synapses(self, x: Tensor, y: Tensor) -> tuple[tuple[Dense, Tensor, Tensor], ...]:  # type: ignore[override]
        """The map of each section, a row for each of its units; see Readout."""
        return tuple(
            (made, part.flatten(1, 2), part.new_empty(len(part), part.shape[1] * part.shape[2], len(made.weight)))
            for made, part in zip(self.linear.shared(), self.linear.split(self.features(x)), strict=True)
        )

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        return self.linear.operations(self.features(x), y)
