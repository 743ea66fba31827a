"""Maps and neurons of a network in the order in which they are called: how wide they are and how often they run.

Legend: ``T`` steps, ``B`` sequences; a row is one step of one sequence, or of one of the units that it is cut into.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection
from typing import Any, Literal

from torch import Tensor, nn

from ..core.operations import HoldsSynapses, is_spikes
from .rules import counter_for
from .subject import tensors_in

Kind = Literal["neurons", "inputs", "outputs"]
"""Of a layer: neurons, or what enters or leaves a model."""


@dataclasses.dataclass(frozen=True)
class _Call:
    """One call of a map, or of neurons; tensors are kept, so that no other takes their place in memory."""

    name: str
    kind: Literal["map", "neurons", "cells"]
    read: Tensor
    result: Tensor
    like: Tensor  # as the result, at every step

    @property
    def rows(self) -> int:
        """Rows that it ran for."""
        return self.like.shape[0] * self.like.shape[1]


class Walk:
    """Hears all calls until it is closed.

    Neurons are modules that write a word of state or more for each value they return; those with weights of their own
    that no map shows are gated cells.

    Args:
        network: what will run.
        maps: names of its linear maps, those inside other modules (:class:`~spikeworks.core.operations.HoldsSynapses`)
            too.
        counted: names of the modules whose operations can be counted.

    Attributes:
        rows: in all calls of each map and of all neurons.
    """

    def __init__(self, network: nn.Module, maps: Collection[str], counted: Collection[str]) -> None:
        self.rows: Counter[str] = Counter()
        self._calls: list[_Call] = []
        self._maps = maps
        self._names = {id(module): name or type(module).__name__ for name, module in network.named_modules()}
        self._hooks = [
            module.register_forward_hook(self._note, with_kwargs=True)
            for module in network.modules()
            if self._names[id(module)] in counted
        ]

    def close(self) -> None:
        """Take the hooks off."""
        for hook in self._hooks:
            hook.remove()

    def neurons(self) -> set[str]:
        """Modules that are neurons, gated cells among them."""
        return {call.name for call in self._calls if call.kind != "map"}

    def cells(self) -> dict[str, bool]:
        """Gated cells, and whether they read spikes alone."""
        found: dict[str, bool] = {}
        for call in self._calls:
            if call.kind == "cells":
                found[call.name] = found.get(call.name, True) and is_spikes(call.read)
        return found

    def layers(self) -> dict[tuple[str, Kind], tuple[int, int]]:
        """Width of a unit, and rows of all calls, of each layer of neurons, of inputs and of outputs.

        A map that no neurons follow makes outputs; a map or a cell that reads real numbers that no neurons made has
        inputs.
        """
        found: dict[tuple[str, Kind], tuple[int, int]] = {}

        def add(name: str, kind: Kind, like: Tensor, rows: int) -> None:
            found[name, kind] = like[0, 0].numel(), found.get((name, kind), (0, 0))[1] + rows

        made: set[int] = set()
        for i, call in enumerate(self._calls):
            again = i > 0 and self._calls[i - 1].kind == "map" and _same(self._calls[i - 1].read, call.read)
            if call.kind != "neurons" and not (again or is_spikes(call.read) or call.read.data_ptr() in made):
                add(call.name, "inputs", call.read, call.rows)
            if call.kind != "map":
                add(call.name, "neurons", call.like, call.rows)
                made.add(call.result.data_ptr())
            elif not self._drives_neurons(i):
                add(call.name, "outputs", call.like, call.rows)
        return found

    def _drives_neurons(self, i: int) -> bool:
        """Whether neurons follow a map, or the last of several maps that read the same."""
        for after in self._calls[i + 1 :]:
            if after.kind != "map" or not _same(after.read, self._calls[i].read):
                return after.kind == "neurons"
        return False

    def _note(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        x, y = next(tensors_in([*args, *kwargs.values()]), None), next(tensors_in(result), None)
        if x is None or y is None:
            return
        name = self._names[id(module)]
        inside: Any = module.synapses(x, y) if isinstance(module, HoldsSynapses) else ()
        counter = counter_for(module)
        assert counter is not None  # it was counted
        counter.add(x, y)
        done = counter.total()
        maps = [(self._names[id(one)], signal, like) for one, signal, like in inside]
        maps = [one for one in maps if one[0] in self._maps]
        if name in self._maps:
            calls = [_Call(name, "map", x, y, y)]
        elif y.dim() > 2 and len(y) == len(x) and done.state_writes >= y.numel():
            calls = [_Call(name, "cells" if done.weight_reads and not maps else "neurons", x, y, y)]
            self.rows.update({one: like.shape[0] * like.shape[1] for one, _, like in maps})
        else:
            calls = [_Call(one, "map", signal, y, like) for one, signal, like in maps]
        self._calls.extend(calls)
        self.rows.update({call.name: call.rows for call in calls})


def _same(first: Tensor, second: Tensor) -> bool:
    return first.data_ptr() == second.data_ptr() and first.shape == second.shape
