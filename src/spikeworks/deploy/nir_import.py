"""A NIR graph as a network of blocks: the reverse of :mod:`~.nir_export`.

Whatever a synapse here has no place for is folded into its weights: input gains other than 1 and
``1 - decay``, ``Scale`` nodes, delays into one synapse with taps.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..layers import (
    Conv1d,
    Conv2d,
    DelayConfig,
    DelayLinear,
    Dense,
    Readout,
    ReadoutConfig,
    Recurrent,
    TimeTiedDropout,
)
from ..models import Block, Network
from .nir_chain import Path as Way
from .nir_chain import Stage, chain, kind
from .nir_common import Clock, Discretisation, NIRError, require_nir
from .nir_neurons import node_neuron
from .values import uniform


def import_nir(
    graph: Any,
    *,
    dt: float | None = None,
    discretisation: Discretisation | None = None,
    dtype: torch.dtype | None = None,
) -> Network:
    """The network of a graph.

    Args:
        graph: a ``nir.NIRGraph`` or the path of a file.
        dt: seconds a step; ``None`` takes what the metadata says.
        discretisation: ``euler`` or ``exact``; ``None`` takes what the metadata says, else ``euler``.
        dtype: of all parameters; ``None`` is that of the first weights.

    Returns:
        A network in evaluation mode, with neurons ``LIF``, ``IF`` and ``CUBA-LIF`` whose parameters are
        fixed. Where the graph ends in spikes, the readout passes them on, ``[T, B, N]``. The other
        conventions are those of :func:`~.nir_export.export_nir`; thresholds fire at equality.

    Raises:
        NIRError: a node or a wiring that no network here has, by name and with the reason.
        ConfigError: ``nir`` is not installed.
    """
    nir = require_nir()
    if isinstance(graph, str | Path):
        graph = nir.read(str(graph))
    said = graph.metadata if isinstance(graph.metadata, dict) else {}
    step = dt if dt is not None else said.get("dt")
    if step is None:
        raise NIRError(
            "the graph",
            "its metadata does not say how long a step is, and time constants are in seconds.",
            "give dt; snnTorch and SpikingJelly write graphs for dt=1e-4, Norse for dt=1e-3",
        )
    clock = Clock(float(step), discretisation or said.get("discretisation", "euler"))
    start, stages = chain(graph)
    return _Reader(clock, _dtype(stages) if dtype is None else dtype).network(start, stages, said)


class _Reader:
    def __init__(self, clock: Clock, dtype: torch.dtype) -> None:
        self.clock, self.dtype = clock, dtype

    def network(self, start: Any, stages: list[Stage], said: dict[str, Any]) -> Network:
        shape = tuple(int(n) for n in np.atleast_1d(start.input_type["input"]))
        inputs = shape[0] if len(shape) == 1 else None
        *layers, output = stages
        tail = layers.pop() if layers and kind(layers[-1].node) in ("LI", "I") else None
        blocks = []
        for stage in layers:
            block, shape = self.block(stage, shape)
            blocks.append(block)
        readout = self.readout(output, tail, shape, str(said.get("readout", "every")))
        return Network(blocks, readout, inputs=inputs).to(self.dtype).eval()

    def block(self, stage: Stage, shape: tuple[int, ...]) -> tuple[Block, tuple[int, ...]]:
        if kind(stage.node) in ("LI", "I"):
            raise NIRError(f"{stage.name} ({kind(stage.node)})", "neurons without spikes stand only at the end here.")
        synapse, after = self.synapse(stage, shape)
        found = node_neuron(stage.node, stage.name, self.clock, after[0], self.dtype)
        weight, bias = synapse.weight, synapse.bias
        assert isinstance(weight, Tensor) and isinstance(bias, Tensor)
        with torch.no_grad():
            gain = found.gain.to(weight.dtype).expand(after[0])
            weight.mul_(gain.reshape(-1, *(1,) * (weight.dim() - 1)))
            bias.mul_(gain)
            neuron = found.neuron if stage.loop is None else self.feedback(stage, found.neuron, gain)
        return Block(TimeTiedDropout(0.0), synapse, None, neuron), after

    def feedback(self, stage: Stage, neuron: Any, gain: Tensor) -> Recurrent:
        assert stage.loop is not None
        if len(stage.loop) != 1 or kind(stage.loop[0][1]) not in ("Affine", "Linear"):
            shown = ", ".join(f"{name} ({kind(node)})" for name, node in stage.loop) or "a bare edge"
            raise NIRError(stage.name, f"feedback is one affine map here, this goes through {shown}.")
        weight, bias = _affine(*stage.loop[0])
        recurrent = Recurrent(neuron)
        recurrent.synapse.double()
        recurrent.synapse.weight.copy_(weight * gain.reshape(-1, 1))
        recurrent.synapse.bias.copy_(bias * gain)
        return recurrent

    def synapse(self, stage: Stage, shape: tuple[int, ...]) -> tuple[nn.Module, tuple[int, ...]]:
        paths = stage.paths
        if len(paths) > 1 or any(kind(node) == "Delay" for _, node in paths[0]):
            return self.delayed(stage, shape)
        weights = [step for step in paths[0] if kind(step[1]) in ("Affine", "Linear", "Conv1d", "Conv2d")]
        if len(weights) > 1:
            raise NIRError(f"{weights[1][0]} ({kind(weights[1][1])})", f"two maps in a row before {stage.name}.")
        if weights and kind(weights[0][1]) in ("Conv1d", "Conv2d"):
            if len(paths[0]) > 1:
                others = ", ".join(name for name, _ in paths[0] if name != weights[0][0])
                raise NIRError(others, f"a convolution, {weights[0][0]}, stands alone between neurons here.")
            return _convolution(*weights[0], shape)
        weight, bias = _dense(paths[0], shape, stage.name)
        return _filled(Dense(weight.shape[1], weight.shape[0]).double(), weight, bias), (weight.shape[0],)

    def delayed(self, stage: Stage, shape: tuple[int, ...]) -> tuple[DelayLinear, tuple[int, ...]]:
        """Paths that differ in their delays, as one synapse with as many taps as a synapse uses."""
        parts = []
        for path in stage.paths:
            waits = [(i, step) for i, step in enumerate(path) if kind(step[1]) == "Delay"]
            maps = [i for i, step in enumerate(path) if kind(step[1]) in ("Affine", "Linear")]
            if len(waits) > 1 or (waits and maps and waits[0][0] > maps[0]):
                raise NIRError(f"{waits[-1][1][0]} (Delay)", "one delay, before the weights, is known here.")
            weight, bias = _dense([step for step in path if kind(step[1]) != "Delay"], shape, stage.name)
            steps = self.steps(*waits[0][1]) if waits else torch.zeros(weight.shape[1])
            parts.append((weight, bias, steps.expand(weight.shape[1])))
        weight = torch.stack([w for w, _, _ in parts], -1)  # [outputs, inputs, paths]
        delay = torch.stack([d for _, _, d in parts], -1).expand(weight.shape)
        taps = max(int((weight != 0).sum(-1).max()), 1)
        order = torch.argsort((weight == 0).to(torch.int8), dim=-1, stable=True)[
            ..., :taps
        ]  # weights in use come first
        longest = int(delay.max())
        layer = DelayLinear(weight.shape[1], weight.shape[0], DelayConfig(max_delay=longest, taps=taps, learned=False))
        layer = _filled(layer.double(), weight.gather(-1, order), sum(b for _, b, _ in parts))
        with torch.no_grad():
            layer.position.copy_(delay.gather(-1, order))
        return layer, (weight.shape[0],)

    def steps(self, name: str, node: Any) -> Tensor:
        steps = torch.from_numpy(np.atleast_1d(node.delay).astype(np.float64)) / self.clock.dt
        if not bool(((steps - steps.round()).abs() <= 1e-3).all()) or bool((steps < -0.5).any()):
            raise NIRError(f"{name} (Delay)", f"delays are whole steps of {self.clock.dt:g} s here.", "give another dt")
        return steps.round()

    def readout(self, output: Stage, tail: Stage | None, shape: tuple[int, ...], said: str) -> Readout:
        before = output if tail is None else tail
        if tail is not None and output.paths != [[]]:
            raise NIRError(output.name, f"nothing may stand between {tail.name} ({kind(tail.node)}) and the output.")
        if len(before.paths) > 1 or before.loop is not None:
            raise NIRError(before.name, "a readout hears the last layer through one path.")
        weight, bias = _dense(before.paths[0], shape, before.name)
        config = ReadoutConfig(kind=said if said in ("mean", "last") else "every")  # type: ignore[arg-type]
        if tail is not None:
            config, gain = self.tail(tail, weight.shape[0])
            weight, bias = weight * gain.reshape(-1, 1), bias * gain
        readout = Readout(weight.shape[1], weight.shape[0], config)
        _filled(readout.linear.double(), weight, bias)
        return readout

    def tail(self, stage: Stage, size: int) -> tuple[ReadoutConfig, Tensor]:
        """The rule over time of a final ``LI`` or ``I``, and the factor on its input."""
        where = f"{stage.name} ({kind(stage.node)})"

        def values(key: str) -> Tensor:
            return torch.from_numpy(np.asarray(getattr(stage.node, key), np.float64)).expand(size)

        if kind(stage.node) == "I":
            return ReadoutConfig(kind="sum"), _near_one(values("r") * self.clock.dt)
        if bool((values("v_leak") != 0).any()):
            raise NIRError(where, "a readout leaks to 0 here, v_leak is something else.")
        decay = self.clock.decay(values("tau"))
        one = uniform(decay)
        if one is None or not 0 < one < 1:
            raise NIRError(where, f"a readout has one decay between 0 and 1, got {decay.min():g} to {decay.max():g}.")
        return ReadoutConfig(kind="leaky", decay=one), _near_one((1.0 - decay) * values("r"))


def _dense(path: Way, shape: tuple[int, ...], where: str) -> tuple[Tensor, Tensor]:
    """The affine map of a path of ``Flatten``, ``Scale`` and at most one ``Affine`` or ``Linear``."""
    size, flat = int(np.prod(shape)), len(shape) == 1
    factor = torch.ones(size, dtype=torch.float64)  # of the input, or of the map's output once there is one
    mapped: tuple[Tensor, Tensor] | None = None
    for name, node in path:
        if kind(node) == "Flatten":
            if len(np.atleast_1d(node.output_type["output"])) != 1:
                raise NIRError(f"{name} (Flatten)", "only all axes at once are flattened here.")
            flat = True
        elif kind(node) == "Scale":
            factor = factor * torch.from_numpy(np.asarray(node.scale, np.float64)).flatten()
        elif kind(node) in ("Affine", "Linear") and mapped is None:
            weight, bias = _affine(name, node)
            if weight.shape[1] != size:
                raise NIRError(f"{name} ({kind(node)})", f"it takes {weight.shape[1]} inputs and gets {size}.")
            mapped, factor = (weight * factor, bias), torch.ones_like(bias)
        else:
            raise NIRError(f"{name} ({kind(node)})", f"it cannot stand between other maps before {where}.")
    if mapped is not None:
        return mapped[0] * factor.reshape(-1, 1), mapped[1] * factor
    if not flat:
        raise NIRError(where, f"its input has the shape {shape} and no weights; this has no counterpart here.")
    return torch.diag(factor), torch.zeros_like(factor)


def _affine(name: str, node: Any) -> tuple[Tensor, Tensor]:
    weight = torch.from_numpy(np.array(node.weight, np.float64))
    if weight.dim() != 2:
        raise NIRError(
            f"{name} ({kind(node)})", f"weights of two axes were expected, got the shape {list(weight.shape)}."
        )
    bias = getattr(node, "bias", None)
    return weight, weight.new_zeros(len(weight)) if bias is None else torch.from_numpy(np.array(bias, np.float64))


def _convolution(name: str, node: Any, shape: tuple[int, ...]) -> tuple[nn.Module, tuple[int, ...]]:
    where = f"{name} ({kind(node)})"
    weight = torch.from_numpy(np.array(node.weight, np.float64))
    axes = weight.dim() - 2
    kernel, stride, dilation = weight.shape[2], _one(node.stride, where), _one(node.dilation, where)
    named = {"same": kernel // 2, "valid": 0}.get(str(node.padding))
    padding = _one(node.padding, where) if named is None else named
    groups = int(node.groups)
    if dilation != 1 or len(set(weight.shape[2:])) > 1 or (str(node.padding) == "same" and kernel % 2 == 0):
        raise NIRError(where, "square kernels without dilation, and 'same' padding of odd kernels, are known here.")
    if axes == 1 and (padding != kernel // 2 or groups != 1):
        raise NIRError(where, f"one axis is padded by kernel // 2 = {kernel // 2} in one group here, got {padding}.")
    channels, outputs = weight.shape[1] * groups, weight.shape[0]
    if axes == 1:
        conv: Conv1d | Conv2d = Conv1d(channels, outputs, kernel=kernel, stride=stride)
    else:
        conv = Conv2d(channels, outputs, kernel=kernel, stride=stride, padding=padding, groups=groups)
    bias = torch.from_numpy(np.array(node.bias, np.float64))
    after = (outputs, *(conv.length(length) for length in shape[1:]))
    return _filled(conv.double(), weight, bias), after


def _one(value: Any, where: str) -> int:
    """A number that is the same for all axes."""
    found = set(np.atleast_1d(value).tolist())
    if len(found) != 1:
        raise NIRError(where, f"stride, padding and dilation are the same for all axes here, got {value}.")
    return int(found.pop())


def _filled(layer: Any, weight: Tensor, bias: Any) -> Any:
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


def _near_one(gain: Tensor) -> Tensor:
    return torch.ones_like(gain) if bool(((gain - 1.0).abs() <= 1e-6).all()) else gain


def _dtype(stages: list[Stage]) -> torch.dtype:
    """That of the first weights, else of the first thresholds."""
    nodes = [node for stage in stages for path in stage.paths for _, node in path] + [stage.node for stage in stages]
    arrays = [getattr(node, key) for key in ("weight", "v_threshold") for node in nodes if hasattr(node, key)]
    return torch.float64 if arrays and np.asarray(arrays[0]).dtype == np.float64 else torch.float32
