"""Constants of a program as arrays of C: weights, biases, tables of places."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

LINE = 118
ALIGNED = 64
"""Bytes at whose multiples packed tables begin: a line of the cache, and a vector of the widest units."""


@dataclasses.dataclass(frozen=True)
class Table:
    """One constant array.

    Attributes:
        name: its identifier.
        kind: element type in C.
        values: flat.
    """

    name: str
    kind: str
    values: np.ndarray

    @property
    def nbytes(self) -> int:
        """What it takes in flash."""
        return self.values.nbytes

    def text(self) -> str:
        """Its definition."""
        numbers = map(_real if self.values.dtype.kind == "f" else str, self.values)
        suffix = "f" if self.values.dtype == np.float32 else ""
        lines, line = [], "   "
        for number in numbers:
            if len(line) + len(number) + len(suffix) + 2 > LINE:
                lines.append(line)
                line = "   "
            line += f" {number}{suffix},"
        return "\n".join([f"static const {self.kind} {self.name}[{len(self.values)}] = {{", *lines, line, "};"])


class Tables:
    """Collects constant arrays; equal ones are kept once.

    Args:
        dtype: of the numbers that are no whole ones.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = np.float32 if dtype == torch.float32 else np.float64
        self.found: dict[tuple[str, bytes], Table] = {}

    def reals(self, name: str, values: Tensor) -> str:
        """The name of an array of numbers."""
        return self._named(name, "real", values.detach().cpu().contiguous().numpy().astype(self.dtype))

    def bytes(self, name: str, values: Tensor) -> str:
        """The name of an array of whole numbers from -128 to 127."""
        return self._named(name, "int8_t", values.detach().cpu().contiguous().numpy().astype(np.int8))

    def places(self, name: str, values: Tensor) -> tuple[str, str]:
        """Type and name of an array of whole numbers, in the narrowest type that holds them."""
        array = values.detach().cpu().contiguous().numpy()
        low, high = int(array.min()), int(array.max())
        for kind in (np.uint8, np.int16, np.uint16, np.int32):
            if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
                text = f"{np.dtype(kind).name}_t"
                return text, self._named(name, text, array.astype(kind))
        raise ValueError(f"The table {name} holds {low} to {high}.")

    def _named(self, name: str, kind: str, values: np.ndarray) -> str:
        key = kind, values.tobytes()
        return self.found.setdefault(key, Table(name, kind, values.reshape(-1))).name

    @property
    def nbytes(self) -> int:
        """Of all arrays."""
        return sum(table.nbytes for table in self.found.values())


class PackedTables(Tables):
    """The same in one block of memory that the functions are given, ``tables``, at places that depend on shapes alone.

    The text is then that of the architecture, whatever the weights. Equal tables are not kept once, for that reason.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__(dtype)
        self.starts: dict[str, int] = {}
        self.length = 0

    def _named(self, name: str, kind: str, values: np.ndarray) -> str:
        if name not in self.starts:
            self.starts[name] = self.length
            self.found[name, b""] = Table(name, kind, values.reshape(-1))
            self.length += -(-values.nbytes // ALIGNED) * ALIGNED
        return f"((const {kind} *)(tables + {self.starts[name]}))"

    def block(self) -> Tensor:
        """All of them, uint8."""
        block = torch.zeros(self.length, dtype=torch.uint8)
        for (name, _), table in self.found.items():
            start = self.starts[name]
            block[start : start + table.nbytes] = torch.from_numpy(table.values.copy().view(np.uint8))
        return block


def _real(value: np.floating) -> str:
    """The shortest decimal that is this very number in its type."""
    text = str(value.item() if value.dtype == np.float64 else value)
    return text if any(c in text for c in ".en") else f"{text}.0"
