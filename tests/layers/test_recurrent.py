"""The fused recurrent layer equals the loop, values and gradients, whole and in chunks."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.errors import ShapeError
from spikeworks.layers import Recurrent
from spikeworks.neurons import LIF, NEURONS, config_for

# a layer hears itself through the one input of neurons that run step by step
NAMES = [
    name
    for name, neuron in ((name, NEURONS.get(name)(1)) for name in NEURONS.names())
    if len(neuron.inputs) == 1
    and not getattr(neuron, "whole_sequence", False)
    and not getattr(neuron, "mixes_neurons", False)
]


def layer(name: str, size: int, dtype: torch.dtype = torch.float64) -> Recurrent:
    generator = torch.Generator().manual_seed(0)
    return Recurrent(config_for(name).build(size, generator), generator=generator).to(dtype).eval()


def current(*shape: int) -> torch.Tensor:
    return 0.8 * torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.3


def run(module: Recurrent, backend: str, x: torch.Tensor, cuts: list[int]):
    x = x.clone().requires_grad_()
    module.zero_grad()
    state, outputs = None, []
    with kernels.use(backend):
        for part in x.split(cuts):
            y, state = module(part, state)
            outputs.append(y)
    y = torch.cat(outputs)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=y.dtype)
    loss = (y * weights).sum() + sum((0.3 * s).sum() for s in state.neuron if s.requires_grad)
    loss.backward()
    return y.detach(), [s.detach() for s in state.neuron], [x.grad, *(p.grad for p in module.parameters())]


@pytest.mark.parametrize("steps, batch, size", [(1, 1, 1), (35, 2, 17)], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_fused_equals_loop(name, steps, batch, size):
    module, x = layer(name, size), current(steps, batch, size)
    loop, fused = run(module, "loop", x, [steps]), run(module, "c", x, [steps])
    assert torch.equal(loop[0], fused[0])
    assert_close(loop[1:], fused[1:], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_chunks_equal_the_whole_with_gradients(name):
    module, x = layer(name, 7), current(30, 3, 7)
    assert_close(run(module, "c", x, [30]), run(module, "c", x, [11, 1, 18]), rtol=1e-8, atol=1e-9)


def test_feedback_arrives_one_step_later():
    module = layer("lif", 2, torch.float32)
    with torch.no_grad():
        module.synapse.weight.copy_(torch.tensor([[0.0, 0.0], [5.0, 0.0]]))
        module.synapse.bias.zero_()
    x = torch.zeros(4, 1, 2)
    x[1, 0, 0] = 2.0
    assert module(x)[0][:, 0].tolist() == [[0, 0], [1, 0], [0, 1], [0, 1]]


def test_operations_are_those_of_synapse_and_neurons():
    module, x = layer("lif", 5, torch.float32), current(20, 2, 5).float()
    y, _ = module(x)
    counted, neurons = module.operations(x, y), module.neuron.operations(x, y)
    assert counted.acs - neurons.acs == pytest.approx(y[:-1].sum().item() * 5)
    assert counted.macs == neurons.macs


def test_spatial_input_is_refused():
    with pytest.raises(ShapeError, match=r"expected x of shape \[T, B, 4\]"):
        Recurrent(LIF(4))(torch.zeros(3, 2, 4, 5))
