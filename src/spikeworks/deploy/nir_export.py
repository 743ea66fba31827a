"""A network as a NIR graph.

Node by node: a dense synapse is ``Affine``, a convolution ``Conv1d`` or ``Conv2d``, neurons are ``LIF``, ``IF`` or
``CubaLIF``, feedback is a cycle through an ``Affine``, delays are ``Delay`` nodes before one ``Affine`` for each
delay that occurs, batch normalisation is folded into the synapse before it. Of the readouts, ``leaky`` ends in ``LI``,
``sum`` in ``I``, both with the answer in the last step; ``mean``, ``last`` and ``every`` end in the linear
map of each step, and the metadata says what is to be done over time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..core.errors import ConfigError
from ..layers import BatchNorm, Conv1d, Conv2d, DelayLinear, Dense, Readout, Recurrent, ThresholdBatchNorm
from ..models import Block, Network
from .nir_common import Clock, Discretisation, NIRError, require_nir
from .nir_neurons import neuron_node


def export_nir(
    network: nn.Module,
    *,
    dt: float = 1e-4,
    discretisation: Discretisation = "euler",
    input_shape: Sequence[int] | None = None,
) -> Any:
    """The graph of a network as it acts in evaluation: no dropout, normalisation by its running averages.

    Args:
        network: a :class:`~spikeworks.models.Network`.
        dt: seconds a step. Time constants are in seconds; a reader that takes the same step and
            method gets the decays of the network back. 1e-4 is what most readers assume.
        discretisation: ``euler`` or ``exact``, see :class:`~.nir_common.Clock`.
        input_shape: of one step without the batch, ``(N,)``, ``(C, L)`` or ``(C, H, W)``; needed
            where the network does not tell, that is before a convolution over two axes.

    Returns:
        A ``nir.NIRGraph`` whose metadata holds ``dt``, ``discretisation`` and ``readout``.

    Conventions that NIR fixes or leaves open:
        * On a spike the potential is set to ``v_reset`` in the same step. A reset that subtracts
          cannot be expressed and is refused.
        * NIR fires where ``v > v_threshold``, this library where ``v >= threshold``. The threshold is
          written as it is; only a potential that equals it tells the two apart.
        * The input gain is ``r``: ``1 / (1 - decay)`` for ``gain="one"``, 1 for ``one_minus_decay``.
        * ``CubaLIF`` updates its current first, and the membrane reads the new one.
        * A feedback delivers the spikes of the step before; its bias is added to that of the
          synapse, where it also acts in the first step.

    Raises:
        NIRError: a part that NIR cannot express, by name and with the reason.
        ConfigError: ``nir`` is not installed, or the input's shape is missing or wrong.
    """
    nir = require_nir()
    if not isinstance(network, Network):
        raise NIRError(f"the network ({type(network).__name__})", "only a Network of blocks and a readout is known.")
    return _Writer(nir, Clock(dt, discretisation)).graph(network, input_shape)


def write_nir(network: nn.Module, path: str | Path, **options: Any) -> Path:
    """Write the graph of :func:`export_nir`, which takes the options, to an HDF5 file; returns its path."""
    graph = export_nir(network, **options)
    require_nir().write(str(path), graph)
    return Path(path)


class _Writer:
    """A chain of nodes that grows; ``ends`` are those whose sum is the signal so far."""

    def __init__(self, nir: Any, clock: Clock) -> None:
        self.nir, self.clock = nir, clock
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.ends: list[str] = []
        self.shape: tuple[int, ...] = ()

    def add(self, name: str, node: Any) -> None:
        """Append a node behind the ends."""
        self.nodes[name] = node
        self.edges += [(end, name) for end in self.ends]
        self.ends = [name]

    def graph(self, network: Network, input_shape: Sequence[int] | None) -> Any:
        if network.embedding is not None:
            raise NIRError("embedding", "NIR has no node that looks up tokens.")
        self.shape = _input_shape(network, input_shape)
        self.add("input", self.nir.Input(np.array(self.shape)))
        with torch.no_grad():
            for i, block in enumerate(network.blocks):
                if not isinstance(block, Block):
                    raise NIRError(f"blocks.{i}", f"{type(block).__name__} is no plain chain of synapse and neurons.")
                self.block(f"block{i}", f"blocks.{i}", block)
            self.readout(network.readout)
        self.add("output", self.nir.Output(np.array(self.shape)))
        metadata = {
            "dt": self.clock.dt,
            "discretisation": self.clock.method,
            "readout": network.readout.config.kind,
            "producer": "spikeworks",
        }
        return self.nir.NIRGraph(nodes=self.nodes, edges=self.edges, metadata=metadata)

    def block(self, name: str, path: str, block: Block) -> None:
        feedback = block.neuron if isinstance(block.neuron, Recurrent) else None
        neuron = feedback.neuron if feedback is not None else block.neuron
        scale, shift = _folded(block.norm, f"{path}.norm")
        if feedback is not None:
            shift = shift + feedback.synapse.bias
        self.synapse(name, f"{path}.synapse", block.synapse, scale, shift)
        node = neuron_node(self.nir, neuron, self.clock, self.shape, f"{path}.neuron")
        self.add(f"{name}_neuron", node)
        if feedback is not None:
            loop = f"{name}_recurrent"
            bias = torch.zeros_like(feedback.synapse.bias)
            self.nodes[loop] = self.nir.Affine(weight=_array(feedback.weight), bias=_array(bias))
            self.edges += [(f"{name}_neuron", loop), (loop, f"{name}_neuron")]

    def synapse(self, name: str, path: str, synapse: nn.Module, scale: Tensor, shift: Tensor) -> None:
        kind = type(synapse)
        if isinstance(synapse, Dense) and kind is Dense:
            self.flatten(name)
            self.affine(f"{name}_synapse", synapse.weight, synapse.bias, scale, shift)
        elif isinstance(synapse, Conv1d | Conv2d) and kind in (Conv1d, Conv2d):
            self.convolution(f"{name}_synapse", path, synapse, scale, shift)
        elif isinstance(synapse, DelayLinear) and kind is DelayLinear:
            self.flatten(name)
            self.delayed(name, synapse, scale, shift)
        else:
            raise NIRError(f"{path} ({kind.__name__})", "NIR has affine maps, convolutions and delays; this is none.")

    def affine(self, name: str, weight: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> None:
        weight, bias = weight * scale.reshape(-1, 1), bias * scale + shift
        self.add(name, self.nir.Affine(weight=_array(weight), bias=_array(bias)))
        self.shape = (weight.shape[0],)

    def convolution(self, name: str, path: str, synapse: Conv1d | Conv2d, scale: Tensor, shift: Tensor) -> None:
        axes = synapse.weight.dim() - 2
        groups = synapse.groups if isinstance(synapse, Conv2d) else 1
        channels = synapse.weight.shape[1] * groups
        if len(self.shape) != axes + 1 or self.shape[0] != channels:
            raise ConfigError(f"{path} expected an input of {channels} channels and {axes} axes, got {self.shape}.")
        weight = _ungrouped(synapse.weight, groups) * scale.reshape(-1, 1, *(1,) * axes)
        padding = synapse.padding if isinstance(synapse, Conv2d) else synapse.kernel // 2
        common = {"weight": _array(weight), "bias": _array(synapse.bias * scale + shift), "groups": 1}
        if axes == 1:
            fixed = {"input_shape": self.shape[1], "stride": synapse.stride, "padding": padding, "dilation": 1}
            node = self.nir.Conv1d(**fixed, **common)
        else:
            pairs = {"stride": (synapse.stride,) * 2, "padding": (padding,) * 2, "dilation": (1, 1)}
            node = self.nir.Conv2d(input_shape=self.shape[1:], **pairs, **common)
        self.add(name, node)
        self.shape = (weight.shape[0], *(synapse.length(length) for length in self.shape[1:]))

    def delayed(self, name: str, synapse: DelayLinear, scale: Tensor, shift: Tensor) -> None:
        """One branch for each delay that occurs: the inputs as they were then, times the weights of that delay."""
        delays, weight = synapse.whole_delays(), synapse.weight * scale.reshape(-1, 1, 1)
        bias = shift if synapse.bias is None else synapse.bias * scale + shift
        (source,), ends = self.ends, []
        for delay in delays.unique().tolist():
            self.ends = [source]
            if delay:
                steps = np.full(synapse.inputs, delay * self.clock.dt)
                self.add(f"{name}_delay{delay}", self.nir.Delay(delay=steps))
            chosen = (weight * (delays == delay)).sum(-1)
            first = bias if not ends else torch.zeros_like(bias)
            self.add(f"{name}_synapse{delay}", self.nir.Affine(weight=_array(chosen), bias=_array(first)))
            ends += self.ends
        self.ends, self.shape = ends, (synapse.outputs,)

    def readout(self, readout: Readout) -> None:
        config, linear = readout.config, readout.linear
        self.flatten("readout")
        one = torch.full_like(linear.bias, config.scale)
        self.affine("readout", linear.weight, linear.bias, one, torch.zeros_like(one))
        ones = np.ones(self.shape, self.nodes["readout"].weight.dtype)
        if config.kind == "sum":
            self.add("readout_sum", self.nir.I(r=ones / self.clock.dt))
        elif config.kind == "leaky":
            tau = self.clock.tau(torch.tensor(config.decay, dtype=torch.float64)).item()
            self.add("readout_leak", self.nir.LI(tau=ones * tau, r=ones / (1.0 - config.decay), v_leak=0 * ones))

    def flatten(self, name: str) -> None:
        if len(self.shape) > 1:
            shape = {"input": np.array(self.shape)}
            self.add(f"{name}_flatten", self.nir.Flatten(input_type=shape, start_dim=0, end_dim=-1))
            self.shape = (math.prod(self.shape),)


def _input_shape(network: Network, given: Sequence[int] | None) -> tuple[int, ...]:
    first = getattr(network.blocks[0], "synapse", None) if len(network.blocks) else network.readout.linear
    shape = tuple(given or ())
    if not shape and isinstance(first, Dense):
        shape = (first.weight.shape[1],)
    elif not shape and isinstance(first, DelayLinear):
        shape = (first.inputs,)
    elif not shape and network.inputs is not None:
        shape = (network.inputs,)
    if isinstance(first, Conv1d) and len(shape) == 1:
        shape = (1, *shape)
    if not shape or min(shape) < 1:
        raise ConfigError(
            f"Export needs the shape of one step of the input, got {given!r}.", "give input_shape=(channels, H, W)"
        )
    return shape


def _folded(norm: nn.Module | None, path: str) -> tuple[Tensor, Tensor]:
    """The affine map ``scale * current + shift`` that a normalisation is in evaluation."""
    if norm is None:
        return torch.ones(()), torch.zeros(())
    if not isinstance(norm, BatchNorm) or type(norm) not in (BatchNorm, ThresholdBatchNorm):
        reason = "only batch normalisation with running averages is an affine map and can be folded."
        hint = "train with norm 'batch', 'batch-step', 'tdbn' or 'none'"
        raise NIRError(f"{path} ({type(norm).__name__})", reason, hint)
    return norm.folded()


def _ungrouped(weight: Tensor, groups: int) -> Tensor:
    """The same convolution in one group, zero where groups do not see each other.

    NIR's type rule counts the channels of one group alone, so that a graph with groups cannot be read back.
    """
    outputs, each = weight.shape[:2]
    whole = weight.new_zeros(outputs, each * groups, *weight.shape[2:])
    for g in range(groups):
        rows = slice(g * outputs // groups, (g + 1) * outputs // groups)
        whole[rows, g * each : (g + 1) * each] = weight[rows]
    return whole


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().contiguous().numpy()
