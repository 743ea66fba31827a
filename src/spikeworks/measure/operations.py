"""Operations of one inference, counted layer by layer while a real batch runs.

Every submodule that says what it computes (:class:`~spikeworks.core.operations.Countable`) is
asked; plain torch layers follow :mod:`~spikeworks.measure.rules`. Counts are summed over all
steps and divided by the number of sequences B, never by T: a figure is "per inference", and
a batch that holds every sequence twice gives the same figures.

A ``Countable`` answers for everything inside it: a module within another that counts is not
asked again. With a mask, sequences of equal length run together without their
padding, so padded steps are not counted anywhere.

    report = count_operations(network, x)
    report.total.macs, report.layers[0].operations.acs
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ..core.operations import Operations
from .rules import Counter, counter_for
from .subject import extent, infer, tensors_in


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerOperations:
    """What one layer computes for one sequence.

    Attributes:
        name: dotted name in the network.
        kind: its class.
        operations: per sequence, summed over its steps, averaged over the batch.
        parameters: number of weights that belong to it.
        calls: how often it was called.
    """

    name: str
    kind: str
    operations: Operations
    parameters: int
    calls: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperationsReport:
    """Operations per inference.

    Attributes:
        layers: in the order of the network's modules; layers that were never called are left out.
        samples: sequences measured.
        steps: their mean length.
        uncounted: modules that hold parameters but have no rule, so that the figures miss them,
            and modules that cannot say what they compute, whose counts are nan.
        not_called: modules with a rule that the forward pass never called as a module.
    """

    layers: tuple[LayerOperations, ...]
    samples: int
    steps: float
    uncounted: tuple[str, ...]
    not_called: tuple[str, ...]

    @property
    def total(self) -> Operations:
        """Sum over all layers."""
        return sum((layer.operations for layer in self.layers), Operations())

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; a count that is not known is ``None``."""
        return without_nan({**dataclasses.asdict(self), "total": dataclasses.asdict(self.total)})


def count_operations(
    network: nn.Module, x: Tensor, mask: Tensor | None = None, *, batch_axis: int | None = None
) -> OperationsReport:
    """Count what ``network`` computes for ``x``, in eval mode and without gradients.

    Args:
        network: any module; see :mod:`~spikeworks.measure.subject` for how it is called.
        x: ``[T, B, ...]`` floats, ``[B, T]`` ids, or ``[B, C]`` floats.
        mask: ``[T, B]`` bool; steps that are false are cut off.
        batch_axis: the batch axis of ``x`` where it is another.

    Raises:
        ShapeError: ``x`` is empty, or the mask does not fit or has gaps.
    """
    size = extent(x, mask, batch_axis)
    book = _Book(network)
    try:
        infer(network, x, mask)
    finally:
        book.close()
    layers = tuple(
        LayerOperations(
            name=name or type(counter.module).__name__,
            kind=type(counter.module).__name__,
            operations=counter.total().scaled(1 / size.samples),
            parameters=book.parameters[name],
            calls=counter.calls,
        )
        for name, counter in book.counters.items()
        if counter.calls
    )
    unknown = [layer.name for layer in layers if any(map(math.isnan, dataclasses.astuple(layer.operations)))]
    return OperationsReport(
        layers=layers,
        samples=size.samples,
        steps=size.steps,
        uncounted=(*book.uncounted, *unknown),
        not_called=tuple(name for name, counter in book.counters.items() if not counter.calls),
    )


def without_nan(plain: Any) -> Any:
    """Nested plain data with ``None`` for every nan, which JSON cannot carry."""
    if isinstance(plain, dict):
        return {key: without_nan(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [without_nan(value) for value in plain]
    return None if isinstance(plain, float) and math.isnan(plain) else plain


class _Book:
    """One counter for each module that has a rule, fed by forward hooks."""

    def __init__(self, network: nn.Module) -> None:
        self.counters: dict[str, Counter] = {}
        self.parameters: dict[str, int] = {}
        self.uncounted: list[str] = []
        self._seen: set[int] = set()
        self._visit(network, "", None)
        self._hooks = [
            counter.module.register_forward_hook(_note(counter), with_kwargs=True) for counter in self.counters.values()
        ]

    def close(self) -> None:
        """Take the hooks off."""
        for hook in self._hooks:
            hook.remove()

    def _visit(self, module: nn.Module, name: str, owner: str | None) -> None:
        if id(module) in self._seen:
            return
        self._seen.add(id(module))
        own = [p for p in module.parameters(recurse=False) if id(p) not in self._seen]
        self._seen.update(map(id, own))
        counter = counter_for(module) if owner is None else None
        if counter is not None:
            self.counters[name] = counter
            self.parameters[name] = 0
            owner = name
        if owner is not None:
            self.parameters[owner] += sum(p.numel() for p in own)
        elif own:
            self.uncounted.append(name or type(module).__name__)
        for child_name, child in module.named_children():
            self._visit(child, f"{name}.{child_name}" if name else child_name, owner)


def _note(counter: Counter) -> Callable[..., None]:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        x = next(tensors_in([*args, *kwargs.values()]), None)
        y = next(tensors_in(result), None)
        if x is not None and y is not None:
            counter.calls += 1
            counter.add(x, y)

    return hook
