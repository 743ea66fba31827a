"""Lowerings of synapses, normalisations, neurons, recurrence and readouts, of blocks and whole networks."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ...kernels import Graph, TracedStep
from ...kernels.graph import Ref
from ...layers import (
    BatchNorm,
    BatchNormThroughTime,
    BranchedDense,
    DelayLinear,
    EachInput,
    EachInputStepwise,
    LayerNorm,
    Readout,
    Recurrent,
    TemporalEffectiveBatchNorm,
    ThresholdBatchNorm,
    TimeTiedDropout,
)
from ...layers import Dense as DenseSynapse
from ...models import Block, Network
from ...neurons import Neuron
from ...neurons.coefficients import flatten
from .lowering import Builder, CExportError, lowers
from .program import Accumulate, Affine, Buffer, DelayedDense, Kind, Neurons, Part, Program


def lower(network: nn.Module, dtype: torch.dtype = torch.float32) -> Program:
    """A network, as it acts in evaluation, as the program of one step.

    Args:
        network: a :class:`~spikeworks.models.Network`; it is not changed.
        dtype: float32, or float64 to tell rounding from mistakes.

    Raises:
        CExportError: a part that cannot be expressed, by name and with the reason.
    """
    if not isinstance(network, Network):
        raise CExportError(
            f"the network ({type(network).__name__})", "only a Network of blocks and a readout is known."
        )
    network = copy.deepcopy(network).to(dtype).eval()
    build = Builder(dtype)
    with torch.no_grad():
        if type(network).forward is not Network.forward:
            raise CExportError(f"the network ({type(network).__name__})", "it has a forward of its own.")
        if network.embedding is not None:
            raise CExportError("embedding", "a table of tokens is not written.", "feed the network with vectors")
        source = Buffer("input", _inputs(network), life="input")
        here: Any = source.whole
        for i, block in enumerate(network.blocks):
            here = build.lower(block, here, f"blocks.{i}")
        answer = build.lower(network.readout, here, "readout")
    output = Buffer("output", answer.size, life="output")
    build.copy(answer, output.whole)
    return build.program(source, output)


def _inputs(network: Network) -> int:
    """Numbers that one step takes in."""
    first = network.blocks[0] if len(network.blocks) else network.readout
    synapse = first.linear if isinstance(first, Readout) else first.synapse if type(first) is Block else None
    if isinstance(synapse, DelayLinear):
        return synapse.inputs
    if isinstance(synapse, DenseSynapse | BranchedDense):
        return synapse.weight.shape[-1]
    if isinstance(network.inputs, int):  # blocks and synapses of other kinds cannot be asked
        return network.inputs
    raise CExportError(
        f"blocks.0 ({type(first).__name__})", "it does not tell how many numbers a step of the input has."
    )


@lowers(Block)
def _block(build: Builder, block: Block, source: Part, path: str) -> Part:
    current = build.lower(block.synapse, source, f"{path}.synapse")
    if block.norm is not None:
        current = build.lower(block.norm, current, f"{path}.norm")
    return build.lower(block.neuron, current, f"{path}.neuron")


@lowers(TimeTiedDropout)
def _nothing(build: Builder, module: nn.Module, source: Part, path: str) -> Part:
    return source


# -- synapses ------------------------------------------------------------------------------


@lowers(DenseSynapse)
def _dense(build: Builder, synapse: DenseSynapse, source: Part, path: str) -> Part:
    return build.dense(source, synapse.weight, synapse.bias, path)


@lowers(BranchedDense)
def _branched(build: Builder, synapse: BranchedDense, source: Part, path: str) -> Part:
    weight = synapse.weight if synapse.mask is None else synapse.weight * synapse.mask
    bias = None if synapse.bias is None else synapse.bias.flatten()
    return build.dense(source, weight.flatten(0, 1), bias, path)


@lowers(DelayLinear)
def _delayed(build: Builder, synapse: DelayLinear, source: Part, path: str) -> Part:
    if synapse.inputs != source.size:
        raise CExportError(path, f"weights for {synapse.inputs} inputs stand behind {source.size} outputs.")
    delays = synapse.whole_delays()
    target = build.scratch(f"{path}.current", synapse.outputs)
    ring = build.state(f"{path}.ring", (int(delays.max()) + 1) * synapse.outputs)
    place = build.state(f"{path}.place", 1, "count")
    bias = None if synapse.bias is None else synapse.bias.detach()
    build.add(DelayedDense(source, target, ring, place, synapse.weight.detach(), delays, bias, build.name(path)))
    return target


# -- normalisation -------------------------------------------------------------------------


@lowers(BatchNorm, ThresholdBatchNorm)
def _batch_norm(build: Builder, norm: BatchNorm, source: Part, path: str) -> Part:
    scale, shift = norm.folded()
    build.add(Affine(source, scale, shift, build.name(path)))
    return source


@lowers(LayerNorm)
def _layer_norm(build: Builder, norm: LayerNorm, source: Part, path: str) -> Part:
    target = source if source.buffer.life == "scratch" else build.scratch(f"{path}.normalised", source.size)
    return build.layer_norm(source, norm.weight, norm.bias, norm.epsilon, path, target)


@lowers(TemporalEffectiveBatchNorm)
def _tebn(build: Builder, norm: TemporalEffectiveBatchNorm, source: Part, path: str) -> Part:
    _batch_norm(build, norm.batch, source, f"{path}.batch")
    build.clock(norm.steps)
    build.add(Affine(source, norm.step_weight.unsqueeze(1), None, build.name(path)))
    return source


@lowers(BatchNormThroughTime)
def _bntt(build: Builder, norm: BatchNormThroughTime, source: Part, path: str) -> Part:
    scale = norm.weight * torch.rsqrt(norm.variance + norm.epsilon)
    build.clock(norm.steps)
    build.add(Affine(source, scale, -norm.mean * scale, build.name(path)))
    return source


@lowers(EachInput, EachInputStepwise)
def _each_input(build: Builder, norms: nn.ModuleList, source: Part, path: str) -> Part:
    size = source.size // len(norms)
    for k, norm in enumerate(norms):
        build.lower(norm, source.slice(k * size, size), f"{path}.{k}")
    return source


# -- neurons -------------------------------------------------------------------------------


def output_kind(neuron: Neuron) -> Kind:
    """What the output of neurons is kept as."""
    return "spike" if neuron.binary else "real"


@lowers(Neuron, family=True)
def lower_neuron(build: Builder, neuron: Neuron, source: Part, path: str, target: Part | None = None) -> Part:
    """The neurons of any class, from their trace; their output in scratch, or in ``target`` of :func:`output_kind`.

    Raises:
        CExportError: there is no trace, or no state is carried.
    """
    who = f"{path} ({type(neuron).__name__})"
    if getattr(neuron, "whole_sequence", False):
        raise CExportError(who, "it reads a whole sequence at once and cannot run step by step.", "take sliding-psn")
    if type(neuron).forward is not Neuron.forward:
        raise CExportError(who, "it has a forward of its own.", "register a lowering for it")
    if not neuron.credit.carry:
        raise CExportError(who, "its credit carries no state from step to step.", "set its credit back to Credit()")
    traced = neuron._trace(build.dtype)
    if not isinstance(traced, TracedStep):
        raise CExportError(who, f"its step has no trace. {traced}", "write the step in elementwise operations")
    count = len(neuron.inputs)
    if source.size != neuron.size * count:
        raise CExportError(who, f"{neuron.size} neurons with {count} inputs got {source.size} currents.")
    graph, kept = needed_states(traced)
    names = [f"s{k}" for k in kept]
    rest = neuron.rest(torch.zeros(1, 1, neuron.size, dtype=build.dtype))
    binary = graph.binary()
    states = {}
    for k, name in zip(kept, names, strict=True):
        initial = rest[k][0]
        held = Ref(graph.inputs.index(name)) in binary and bool(((initial == 0) | (initial == 1)).all())
        states[name] = build.state(f"{path}.{neuron.states[k]}", neuron.size, "spike" if held else "real", initial)
    coefficients = flatten(neuron._coefficients())
    parameters = {f"p{k}": _one_if_equal(value.detach().to(build.dtype)) for k, value in enumerate(coefficients)}
    tables = _tables(build, neuron)
    target = target or build.scratch(f"{path}.output", neuron.size, output_kind(neuron))
    build.add(Neurons(source, target, graph, states, parameters, tables, build.name(path)))
    return target


def _one_if_equal(values: Tensor) -> Tensor:
    """One number where all neurons have the same: it is a constant of the code, and takes no table."""
    first = values.flatten()[0]
    return first if bool((values == first).all()) else values


def needed_states(traced: TracedStep) -> tuple[Graph, list[int]]:
    """The step without states that reach no output, such as a count of steps that only counts on."""
    kept: list[int] = []
    while True:
        graph = traced.forward.keep((0, *(1 + k for k in kept)))
        found = sorted(int(name[1:]) for name in graph.reads() if name.startswith("s"))
        if found == kept:
            return graph, kept
        kept = sorted({*found, *kept})


def _tables(build: Builder, neuron: Neuron) -> dict[str, Tensor]:
    """Inputs that a neuron makes itself, one row a step."""
    if not neuron.own_inputs:
        return {}
    steps = int(neuron.config.steps)
    rows = neuron.drive(torch.zeros(steps, 1, neuron.size, dtype=build.dtype), None)
    build.clock(steps)
    return {f"x{len(neuron.inputs) + k}": row[:, 0].detach().clone() for k, row in enumerate(rows)}


@lowers(Recurrent)
def _recurrent(build: Builder, layer: Recurrent, source: Part, path: str) -> Part:
    if source.buffer.life != "scratch":
        raise CExportError(f"{path} (Recurrent)", "its current is no result of a synapse.")
    neuron = layer.neuron
    output = build.state(f"{path}.output", neuron.size, output_kind(neuron))
    build.dense(output, layer.weight, layer.synapse.bias, f"{path}.recurrent", onto=source, add=True)
    return lower_neuron(build, neuron, source, path, output)


# -- readout -------------------------------------------------------------------------------


@lowers(Readout)
def _readout(build: Builder, readout: Readout, source: Part, path: str) -> Part:
    config, linear = readout.config, readout.linear
    bias = None if linear.bias is None else linear.bias * config.scale
    answer = build.dense(source, linear.weight * config.scale, bias, path)
    if config.kind in ("every", "last"):
        return answer
    total = build.state(f"{path}.total", answer.size)
    if config.kind == "mean":
        build.clock()
    decay = config.decay if config.kind == "leaky" else 1.0
    target = build.scratch(f"{path}.answer", answer.size) if config.kind == "mean" else total
    build.add(Accumulate(answer, total, target, "mean" if config.kind == "mean" else "sum", decay))
    return target
