"""What passes through synapses and neurons while a network runs some steps, seen by forward hooks.

Any network of blocks can be watched: a synapse belongs to the neurons that are called next.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from ..core.errors import ConfigError
from ..core.state import State
from ..layers import BranchedDense, Conv1d, Conv2d, Dense, Recurrent
from ..neurons import Neuron

LINEAR = (Dense, BranchedDense, Conv1d, Conv2d)
"""Synapses that are linear maps of their input at the same step."""


@dataclasses.dataclass
class SynapseCall:
    """One call of a linear synapse.

    Attributes:
        x: its input ``[T, B, ...]``, cut from the graph.
        currents: its outputs, in the graph, one for each input of the neurons.
    """

    name: str
    module: Any
    x: Tensor
    currents: tuple[Tensor, ...]


@dataclasses.dataclass
class LayerCall:
    """One call of a layer of neurons, recurrent or not.

    Attributes:
        drives: what drives it, in the graph, one for each input.
        state: before the call.
        y: its output, in the graph.
        synapses: the linear synapses that were called since the layer before.
    """

    name: str
    module: Any
    drives: tuple[Tensor, ...]
    state: State
    y: Tensor
    synapses: list[SynapseCall]

    @property
    def neuron(self) -> Neuron:
        """The neurons, without recurrence."""
        return self.module.neuron if isinstance(self.module, Recurrent) else self.module

    @property
    def direct(self) -> bool:
        """Whether nothing stands between one synapse and the neurons."""
        if len(self.synapses) != 1:
            return False
        currents = self.synapses[0].currents
        return len(currents) == len(self.drives) and all(a is b for a, b in zip(currents, self.drives, strict=True))


def layers_of(blocks: nn.Module) -> dict[str, Any]:
    """The layers of neurons by name; one that is recurrent stands for the neurons in it."""
    inside = {id(m.neuron) for m in blocks.modules() if isinstance(m, Recurrent)}
    kinds = (Neuron, Recurrent)
    return {name: m for name, m in blocks.named_modules() if isinstance(m, kinds) and id(m) not in inside}


@contextlib.contextmanager
def watched(blocks: nn.Module, cut: Callable[[Tensor], Tensor] | None = None) -> Iterator[list[LayerCall]]:
    """Record the calls inside, in order, with gradients kept on currents, drives and outputs.

    Args:
        blocks: holds the synapses and neurons to watch.
        cut: makes what the next layers get of an output; ``None``: the output itself.

    Raises:
        ConfigError: a layer is called twice.
    """
    calls: list[LayerCall] = []
    waiting: list[SynapseCall] = []
    seen: set[int] = set()

    def once(module: nn.Module, name: str) -> None:
        if id(module) in seen:
            raise ConfigError(
                f"'{name}' is called more than once a step; online learning keeps one trace for each layer.",
                "use the method bptt",
            )
        seen.add(id(module))

    def synapse(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], result: Any) -> None:
            once(module, name)
            currents = result if isinstance(result, tuple) else (result,)
            _keep(*currents)
            waiting.append(SynapseCall(name, module, args[0].detach(), currents))

        return hook

    def layer(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], result: Any) -> Any:
            once(module, name)
            y, after = result
            drives = tuple(args[0]) if isinstance(args[0], tuple | list) else (args[0],)
            _keep(y, *drives)
            before = args[1] if len(args) > 1 else None
            calls.append(LayerCall(name, module, drives, before, y, list(waiting)))
            waiting.clear()
            return None if cut is None else (cut(y), after)

        return hook

    layers = layers_of(blocks)
    inside = {id(m) for module in layers.values() for m in module.modules()}
    handles = [m.register_forward_hook(layer(name)) for name, m in layers.items()]
    for name, module in blocks.named_modules():
        if isinstance(module, LINEAR) and id(module) not in inside:
            handles.append(module.register_forward_hook(synapse(name)))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _keep(*tensors: Tensor) -> None:
    for tensor in tensors:
        if tensor.requires_grad and not tensor.is_leaf:
            tensor.retain_grad()
