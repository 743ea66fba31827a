"""Energy constants, all of them: value, unit, source; grouped into profiles that a user can change.

A profile answers two questions: what does an arithmetic operation cost, and what does it cost
to fetch a word from a memory that is just large enough. Sources:

- Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9
  (45 nm, 0.9 V): arithmetic by number format, 64-bit accesses to 8 KB, 32 KB and 1 MB of cache,
  and to DRAM.
- STEP, arXiv 2505.11151: one flat figure for each memory access.

Example:
    >>> import dataclasses
    >>> cheap = dataclasses.replace(FP32_45NM, add=Constant(0.5, "pJ", "my own chip"))
    >>> cheap.mac_pj == FP32_45NM.multiply.value + 0.5
    True
"""

from __future__ import annotations

import dataclasses
import math

from ..core.errors import ConfigError
from ..core.registry import Registry

_HOROWITZ = "Horowitz, ISSCC 2014, 45 nm at 0.9 V"
_SPECIAL = "assumption: range reduction and a cubic polynomial, 4 multiply-accumulates"
_SPECIAL_MACS = 4


@dataclasses.dataclass(frozen=True)
class Constant:
    """A number that can be checked: its unit and where it stands in print.

    Raises:
        ConfigError: the value is negative or not finite.
    """

    value: float
    unit: str
    source: str

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or self.value < 0:
            raise ConfigError(f"An energy constant must be finite and not negative, got {self.value!r} {self.unit}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryTier:
    """One kind of memory.

    Attributes:
        capacity_bytes: the largest content it holds; ``None`` is unbounded.
        access: energy of one access (pJ); reading and writing cost the same.
        access_bits: width of one access. Narrower words share it, so that a word of ``b``
            bits costs ``access * b / access_bits`` (weights of one fan-out and states of
            one layer lie side by side).
    """

    name: str
    capacity_bytes: int | None
    access: Constant
    access_bits: int

    def word_pj(self, bits: int) -> float:
        """Energy of one word of ``bits`` bits, in pJ."""
        return self.access.value * bits / self.access_bits


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnergyProfile:
    """What operations and memory words cost on one kind of hardware.

    Attributes:
        multiply, add: energy of one multiplication and one addition (pJ). A
            multiply-accumulate costs both; an accumulate, a compare or a subtraction ``add``.
        special: an exponential, logarithm, hyperbolic tangent, root (pJ).
        tiers: memories from small to large; the first that holds a layer's weights
            (or its states) serves that layer. The last one is unbounded.
        weight_bits, state_bits: width of a stored weight and of a word of neuron state.

    Raises:
        ConfigError: the tiers do not grow, the last is bounded, or a width is not positive.
    """

    name: str
    multiply: Constant
    add: Constant
    special: Constant
    tiers: tuple[MemoryTier, ...]
    weight_bits: int
    state_bits: int

    def __post_init__(self) -> None:
        sizes = [math.inf if t.capacity_bytes is None else t.capacity_bytes for t in self.tiers]
        if not sizes or sizes != sorted(sizes) or sizes[-1] != math.inf:
            raise ConfigError(
                f"Profile '{self.name}' expected memory tiers from small to large with an unbounded last one, "
                f"got capacities {[t.capacity_bytes for t in self.tiers]}.",
                "give the last tier capacity_bytes=None",
            )
        if self.weight_bits < 1 or self.state_bits < 1:
            raise ConfigError(
                f"Profile '{self.name}' expected positive widths, "
                f"got weight_bits={self.weight_bits}, state_bits={self.state_bits}."
            )

    @property
    def mac_pj(self) -> float:
        """Energy of one multiply-accumulate, in pJ (4.6 in the usual convention)."""
        # Rounded: 3.7 + 0.9 is 4.6000000000000005 in binary, and tables are compared with 4.6.
        return round(self.multiply.value + self.add.value, 12)

    @property
    def ac_pj(self) -> float:
        """Energy of one accumulate, in pJ (0.9 in the usual convention)."""
        return self.add.value

    def tier(self, size_bytes: float) -> MemoryTier:
        """The smallest memory that holds ``size_bytes``."""
        return next(t for t in self.tiers if t.capacity_bytes is None or size_bytes <= t.capacity_bytes)


HOROWITZ_TIERS = (
    MemoryTier(name="SRAM 8 KB", capacity_bytes=8 << 10, access=Constant(10.0, "pJ", _HOROWITZ), access_bits=64),
    MemoryTier(name="SRAM 32 KB", capacity_bytes=32 << 10, access=Constant(20.0, "pJ", _HOROWITZ), access_bits=64),
    MemoryTier(name="SRAM 1 MB", capacity_bytes=1 << 20, access=Constant(100.0, "pJ", _HOROWITZ), access_bits=64),
    MemoryTier(
        name="DRAM",
        capacity_bytes=None,
        access=Constant(1300.0, "pJ", f"{_HOROWITZ}; lower end of 1.3 to 2.6 nJ"),
        access_bits=64,
    ),
)

STEP_TIERS = (
    MemoryTier(
        name="flat",
        capacity_bytes=None,
        access=Constant(3.12, "pJ", "STEP, arXiv 2505.11151, as quoted by its readers"),
        access_bits=32,
    ),
)


def _profile(
    name: str, multiply: float, add: float, bits: int, state_bits: int, tiers: tuple[MemoryTier, ...] = HOROWITZ_TIERS
) -> EnergyProfile:
    return EnergyProfile(
        name=name,
        multiply=Constant(multiply, "pJ", _HOROWITZ),
        add=Constant(add, "pJ", _HOROWITZ),
        special=Constant(round(_SPECIAL_MACS * (multiply + add), 12), "pJ", _SPECIAL),
        tiers=tiers,
        weight_bits=bits,
        state_bits=state_bits,
    )


FP32_45NM = _profile("fp32-45nm", 3.7, 0.9, bits=32, state_bits=32)
"""32-bit floats: 4.6 pJ and 0.9 pJ, the convention of nearly all papers. The default."""

FP16_45NM = _profile("fp16-45nm", 1.1, 0.4, bits=16, state_bits=16)
"""16-bit floats: 1.5 pJ and 0.4 pJ."""

INT32_45NM = _profile("int32-45nm", 3.1, 0.1, bits=32, state_bits=32)
"""32-bit integers: 3.2 pJ and 0.1 pJ."""

INT8_45NM = _profile("int8-45nm", 0.2, 0.03, bits=8, state_bits=16)
"""8-bit integers: 0.23 pJ and 0.03 pJ. States keep 16 bits, which their sums need."""

STEP_FLAT = _profile("step-flat", 3.7, 0.9, bits=32, state_bits=32, tiers=STEP_TIERS)
"""32-bit floats with 3.12 pJ for each word, wherever it lies."""

DEFAULT_PROFILE = FP32_45NM

PROFILES: Registry[EnergyProfile] = Registry("energy profile", hint="or pass an EnergyProfile of your own")
for _known in (FP32_45NM, FP16_45NM, INT32_45NM, INT8_45NM, STEP_FLAT):
    PROFILES.register(_known.name)(_known)
