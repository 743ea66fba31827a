"""From modules to a program: a registry of lowerings, and the builder that they write with.

A lowering is a function ``(build, module, source, path) -> Part``: it adds the operations of a module that reads
``source`` and returns where its result lies. It is registered for one type, and a subclass needs a registration of
its own, because it may compute something else::

    @lowers(MyBlock)
    def _my_block(build: Builder, module: MyBlock, source: Part, path: str) -> Part:
        current = build.lower(module.synapse, source, f"{path}.synapse")
        return build.lower(module.neuron, current, f"{path}.neuron")
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from .program import (
    Affine,
    Buffer,
    Copy,
    Dense,
    Gather,
    Kind,
    LayerNorm,
    Life,
    Loop,
    Operation,
    Part,
    Place,
    Program,
)

Result = Any
"""Where the result of a module lies: a :class:`Part`, or whatever two lowerings agree on between them."""
Lowering = Callable[["Builder", Any, Any, str], Result]
Lowered = TypeVar("Lowered", bound=Lowering)

LOWERINGS: dict[type, Lowering] = {}
"""How modules become operations, by their exact type."""
FAMILIES: dict[type, Lowering] = {}
"""The same for bases whose subclasses all run by what the base derives from them, as neurons do."""


RESERVED = (
    *("input", "output", "state", "scratch", "spikes", "sums", "step", "unit", "real", "truth", "main"),
    *("auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern"),
    *("float", "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed"),
    *("sizeof", "static", "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", "while"),
)
"""Names that the emitted text uses itself, and the keywords of C."""


class CExportError(ConfigError):
    """A network that cannot become C; the message names the part and the reason."""

    def __init__(self, part: str, reason: str, hint: str | None = None) -> None:
        super().__init__(f"C: {part}: {reason}", hint)


def lowers(*types: type, family: bool = False) -> Callable[[Lowered], Lowered]:
    """Register the decorated function as the lowering of modules of exactly these types, or with ``family`` below."""

    def register(lowering: Lowered) -> Lowered:
        (FAMILIES if family else LOWERINGS).update(dict.fromkeys(types, lowering))
        return lowering

    return register


def lowering_for(kind: type) -> Lowering | None:
    """The lowering of modules of a type, if there is one."""
    families = (FAMILIES[base] for base in kind.__mro__ if base in FAMILIES)
    return LOWERINGS.get(kind) or next(families, None)


class Builder:
    """Collects the operations and buffers of a program.

    Args:
        dtype: of the numbers.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._operations: list[Operation] = []
        self._names = dict.fromkeys(RESERVED, 1)
        self._units: int | None = None
        self._clock: Buffer | None = None
        self._longest: int | None = None

    # -- modules ---------------------------------------------------------------------------

    def lower(self, module: nn.Module, source: Any, path: str) -> Any:
        """Add what ``module`` computes from ``source``.

        Raises:
            CExportError: no lowering is registered for its type.
        """
        lowering = lowering_for(type(module))
        if lowering is None:
            raise CExportError(
                f"{path} ({type(module).__name__})",
                "there is no C for such a part.",
                "C is there for stacks of dense and recurrent layers, their norms and delays; for a part of your own "
                "register a lowering with spikeworks.deploy.c.lowers",
            )
        return lowering(self, module, source, path)

    # -- buffers ---------------------------------------------------------------------------

    def name(self, wanted: str) -> str:
        """An identifier like ``wanted`` that no other buffer or table of the program has."""
        stem = re.sub(r"\W+", "_", wanted).strip("_") or "part"
        stem = f"n_{stem}" if stem[0].isdigit() else stem
        self._names[stem] = count = self._names.get(stem, 0) + 1
        return stem if count == 1 else self.name(f"{stem}_{count}")

    def scratch(self, name: str, size: int, kind: Kind = "real") -> Part:
        """Memory that holds nothing from step to step."""
        return self._buffer(name, size, kind, "scratch").whole

    def state(self, name: str, size: int, kind: Kind = "real", initial: float | Tensor = 0.0) -> Part:
        """Memory that lives from step to step; inside a loop, for each unit its own."""
        if isinstance(initial, Tensor):
            initial = initial.detach()
            initial = float(initial.flatten()[0]) if bool((initial == initial.flatten()[0]).all()) else initial
        buffer = self._buffer(name, size * (self._units or 1), kind, "state", initial)
        return Part(buffer, 0, size, 0 if self._units is None else size)

    def _buffer(self, name: str, size: int, kind: Kind, life: Life, initial: float | Tensor = 0.0) -> Buffer:
        return Buffer(self.name(name), size, kind, life, initial)

    def clock(self, longest: int | None = None) -> None:
        """Have the steps since rest counted; ``longest`` is where tables end that are read by the step."""
        if self._clock is None:
            self._clock = Buffer(self.name("steps"), 1, "count", "state")
        if longest is not None:
            self._longest = longest if self._longest is None else min(longest, self._longest)

    # -- operations ------------------------------------------------------------------------

    def add(self, operation: Operation) -> None:
        """Append an operation; an affine map right behind the dense map that made its operand is folded into it."""
        if isinstance(operation, Affine) and operation.scale.dim() == 1 and self._operations:
            folded = _folded(self._operations[-1], operation)
            if folded is not None:
                self._operations[-1] = folded
                return
        self._operations.append(operation)

    def dense(
        self,
        source: Part,
        weight: Tensor,
        bias: Tensor | None,
        path: str,
        *,
        onto: Part | None = None,
        add: bool = False,
    ) -> Part:
        """``weight source + bias`` in scratch of its own, or in (or with ``add``, added to) ``onto``.

        Raises:
            CExportError: the weights do not fit the source.
        """
        if weight.shape[1] != source.size:
            raise CExportError(path, f"weights for {weight.shape[1]} inputs stand behind {source.size} outputs.")
        target = onto or self.scratch(f"{path}.current", len(weight))
        weight, bias = weight.detach(), None if bias is None else bias.detach()
        self.add(Dense(source, target, weight, bias, self.name(path), accumulate=add))
        return target

    def layer_norm(self, source: Part, weight: Tensor, bias: Tensor, epsilon: float, path: str, target: Part) -> Part:
        """Normalise over the elements of ``source`` into ``target``, which may be the same."""
        self.add(LayerNorm(source, target, weight.detach(), bias.detach(), epsilon, self.name(path)))
        return target

    def gather(self, source: Part, index: Tensor, path: str, onto: Part | None = None) -> Part:
        """``source[index]``; inside a loop ``index`` may have one row a unit."""
        self._check_table(index, path, 0, source.size)
        target = onto or self.scratch(f"{path}.gathered", index.shape[-1], source.kind)
        self.add(Gather(source, target, index, self.name(f"{path}.index")))
        return target

    def place(self, source: Part, target: Part, index: Tensor, path: str) -> None:
        """``target[index] = source``; inside a loop ``index`` may have one row a unit, below 0 leaves out."""
        self._check_table(index, path, -1, target.size)
        self.add(Place(source, target, index, self.name(f"{path}.index")))

    def _check_table(self, index: Tensor, path: str, low: int, high: int) -> None:
        units = self._units or 1
        if index.is_floating_point() or index.dim() not in (1, 2) or (index.dim() == 2 and len(index) != units):
            raise CExportError(
                path, f"a table of places is whole numbers [n] or [{units}, n], got {list(index.shape)}."
            )
        if index.numel() and not (low <= int(index.min()) and int(index.max()) < high):
            raise CExportError(
                path, f"places lie in {low} to {high - 1}, got {int(index.min())} to {int(index.max())}."
            )

    def copy(self, source: Part, target: Part) -> None:
        """``target = source``."""
        self.add(Copy(source, target))

    def collect(self, part: Part, path: str) -> Part:
        """Inside a loop: what ``part`` is in every unit, one behind the other, for what comes after the loop."""
        units = self._units or 1
        if part.buffer.size == part.size * units and (units == 1 or part.stride == part.size):
            return part.buffer.whole
        together = self._buffer(f"{path}.units", part.size * units, part.kind, "scratch")
        self.copy(part, Part(together, 0, part.size, part.size))
        return together.whole

    @contextlib.contextmanager
    def units(self, count: int) -> Iterator[None]:
        """What is added inside runs once for each of ``count`` units with shared weights and states of their own.

        A state made inside has one part a unit; ``part.buffer.whole`` is that of all units, one behind the other.
        """
        if self._units is not None:
            raise CExportError("a loop over units", "it cannot stand in another one.")
        outer, self._operations, self._units = self._operations, [], count
        try:
            yield
            outer.append(Loop(count, tuple(self._operations)))
        finally:
            self._operations, self._units = outer, None

    def program(self, input: Buffer, output: Buffer) -> Program:
        """What was built."""
        return Program(input, output, tuple(self._operations), self._clock, self._longest, self.dtype)


def _folded(before: Operation, affine: Affine) -> Dense | None:
    """The dense map with the affine one inside, where ``affine`` acts on nothing but a part of its fresh result."""
    if not isinstance(before, Dense) or before.accumulate or before.scale is not None:
        return None
    made, part = before.target, affine.target
    start = part.start - made.start
    inside = part.buffer is made.buffer and part.stride == made.stride and start >= 0
    if not (inside and start + part.size <= made.size):
        return None
    rows = slice(start, start + part.size)
    weight = before.weight.clone()
    bias = weight.new_zeros(len(weight)) if before.bias is None else before.bias.clone()
    weight[rows] *= affine.scale.unsqueeze(1)
    bias[rows] *= affine.scale
    if affine.shift is not None:
        bias[rows] += affine.shift
    return dataclasses.replace(before, weight=weight, bias=bias)
