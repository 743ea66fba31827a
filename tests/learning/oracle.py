"""What online rules compute, written as plain autograd over the whole sequence: the truth for their tests."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spikeworks.core.batch import Batch
from spikeworks.layers import Recurrent
from spikeworks.learning.stepwise import counted, step_loss, step_outputs
from spikeworks.models import Network


class CrossEntropy:
    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(output.flatten(0, -2), batch.target.flatten())


def run(neuron: Any, current: Tensor, held: Tensor, *, cut_spikes: bool = False, cut_heard: bool = True) -> Tensor:
    """A layer by its step: outputs feel ``current``, later steps feel ``held``, which is the same or a constant."""
    recurrent = neuron if isinstance(neuron, Recurrent) else None
    plain: Any = neuron.neuron if recurrent is not None else neuron
    silent = copy.copy(plain)
    if cut_spikes:
        object.__setattr__(silent, "fire", lambda d: plain.fire(d).detach())
    coefficients: Any = plain._broadcast(current)
    states: Sequence[Tensor] = plain.rest(current)
    own = plain.drive(current, None)
    outputs: list[Tensor] = []
    last = torch.zeros_like(current[0])
    for t in range(len(current)):
        heard = 0.0
        if recurrent is not None:
            before = last.detach() if cut_heard else last
            heard = nn.functional.linear(before, recurrent.weight, recurrent.synapse.bias)
        drives = [one[t] for one in own]
        last, *_ = plain.step(current[t] + heard, *drives, *states, **coefficients)
        _, *states = silent.step(held[t] + heard, *drives, *states, **coefficients)
        outputs.append(last)
    return torch.stack(outputs)


def outputs_of(
    network: Network, x: Tensor, *, cut_later: bool = True, cut_spikes: bool = False, cut_heard: bool = True
) -> Tensor:
    """Spikes of the last layer. ``cut_later`` cuts what a spike does to later steps of the layers above."""
    for block in network.blocks:
        current = block.synapse(x)
        held = block.synapse(x.detach()) if cut_later else current
        x = run(block.neuron, current, held, cut_spikes=cut_spikes, cut_heard=cut_heard)
    return x


def loss_of(network: Network, x: Tensor, batch: Batch) -> Tensor:
    """The loss of every step, for the last layer's spikes ``x``."""
    counts = counted(network.readout, batch, len(x))
    return step_loss(CrossEntropy(), step_outputs(network.readout, x)[0], batch, counts, 0, int(counts.sum()))


def gradients(network: Network, loss: Tensor) -> dict[str, Tensor]:
    """Of all parameters by name; zero where there is none."""
    names, parameters = zip(*network.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for n, p, g in zip(names, parameters, found, strict=True)}


def oracle(network: Network, batch: Batch, **cuts: bool) -> dict[str, Tensor]:
    """Gradients of the loss of every step with the named paths cut."""
    return gradients(network, loss_of(network, outputs_of(network, batch.x, **cuts), batch))


def bptt(network: Network, batch: Batch) -> dict[str, Tensor]:
    """Gradients by the network's own kernels through all of time."""
    x, mask = batch.x, batch.mask
    for block in network.blocks:
        x, _ = block(x, None, mask)
    return gradients(network, loss_of(network, x, batch))
