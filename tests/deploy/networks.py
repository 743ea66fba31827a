"""Small networks with lively spikes, and their input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spikeworks.layers import BatchNorm, Conv2d, DelayConfig, DelayLinear, Dense, Readout, ReadoutConfig, Recurrent
from spikeworks.layers import TimeTiedDropout as Dropout
from spikeworks.models import Block, Network, StackConfig
from spikeworks.neurons import IF, LIF, PLIF, CubaLIF, NeuronConfig, Reset

HARD = Reset(kind="hard")
NEURONS: dict[str, NeuronConfig] = {
    "lif": LIF.Config(decay=0.8, reset=HARD),
    "lif low-pass": LIF.Config(decay=0.6, threshold=0.3, gain="one_minus_decay", reset=HARD),
    "lif reset below": LIF.Config(reset=Reset(kind="hard", potential=-0.4)),
    "lif delayed reset": LIF.Config(reset=Reset(kind="hard", order="before_charge")),
    "plif per channel": PLIF.Config(per_channel=("decay", "threshold"), threshold=0.6, reset=HARD),
    "if": IF.Config(reset=HARD),
    "lif without leak": LIF.Config(decay=1.0, reset=HARD),
    "cuba": CubaLIF.Config(threshold=2.0, reset=HARD),
    "cuba low-pass": CubaLIF.Config(current_decay=0.7, threshold=0.3, gain="one_minus_decay", reset=HARD),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stack(neuron: NeuronConfig, *, inputs: int = 6, hidden: tuple[int, ...] = (9, 7), **options: Any) -> Network:
    """In float64, with strong weights, and parameters that differ between channels where they may."""
    network = StackConfig(hidden=hidden, neuron=neuron, **options).build(inputs, 3, generator()).double()
    drawn = generator(1)
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.epsilon = 0.3  # large enough to be missed
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if "stored" in name and tensor.dim():
                tensor.add_(0.3 * torch.rand(tensor.shape, generator=drawn, dtype=tensor.dtype))
            if name.endswith("synapse.weight"):
                tensor.mul_(2.0)
            if name.endswith(("norm.mean", "norm.variance", "norm.bias")):
                tensor.copy_(0.2 + torch.rand(tensor.shape, generator=drawn, dtype=tensor.dtype))
    return network.eval()


def network(*blocks: Block, last: int, kind: Any = "every") -> Network:
    return Network(list(blocks), Readout(last, 3, ReadoutConfig(kind=kind), generator=generator())).double().eval()


def block(synapse: torch.nn.Module, neuron: LIF | Recurrent) -> Block:
    return Block(Dropout(0.0), synapse, None, neuron)


def images(groups: int = 1) -> Network:
    """Two convolutions over two axes and a dense block."""
    first = Conv2d(2, 4, kernel=3, stride=2, groups=groups, generator=generator(1))
    second = Conv2d(4, 6, kernel=2, padding=0, groups=groups, generator=generator(2))
    dense = Dense(6 * 2 * 3, 5, generator=generator(3))
    options: dict[str, Any] = {"reset": HARD, "decay": 0.7, "threshold": 0.4}
    neurons = [LIF(4, **options), CubaLIF(6, **options), LIF(5, **options)]
    return network(*map(block, (first, second, dense), neurons), last=5)


def delayed(granularity: Any, taps: int) -> Network:
    config = DelayConfig(max_delay=5, taps=taps, granularity=granularity, learned=False)
    first = DelayLinear(6, 8, config, generator=generator(4))
    second = DelayLinear(8, 7, config, generator=generator(5), bias=False)
    recurrent = Recurrent(LIF(7, reset=HARD, threshold=0.2), generator=generator(6))
    return network(block(first, LIF(8, reset=HARD, threshold=0.5)), block(second, recurrent), last=7)


def signal(*shape: int, seed: int = 3) -> Tensor:
    return 2.5 * torch.rand(*shape, generator=generator(seed), dtype=torch.float64)


def spikes(net: Network, x: Tensor) -> list[Tensor]:
    """Of every block."""
    found: list[Tensor] = []
    hooks = [b.register_forward_hook(lambda module, args, output: found.append(output[0])) for b in net.blocks]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return found
