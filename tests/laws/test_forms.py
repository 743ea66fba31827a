"""Steps with several inputs and inputs whose axes lie in another order: every form agrees with the loop."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.errors import ShapeError
from spikeworks.neurons import LIF, Neuron, Parameter, unit_interval


class Gated(Neuron):
    """A membrane whose leak is opened by a second input."""

    inputs = ("current", "gate")
    states = ("voltage",)
    decay = Parameter(0.9, unit_interval)
    threshold = Parameter(1.0)

    def step(self, current, gate, voltage, *, decay, threshold):
        charged = decay * torch.sigmoid(gate) * voltage + current
        fired = self.fire(charged - threshold)
        return fired, charged - threshold * fired


def run(neuron, backend, signals, state=None):
    signals = [s.clone().requires_grad_() for s in signals]
    neuron.zero_grad()
    with kernels.use(backend):
        y, (voltage,) = neuron(signals[0] if len(signals) == 1 else tuple(signals), state)
    (y * torch.linspace(0, 1, y.shape[-1], dtype=y.dtype)).sum().backward(retain_graph=True)
    voltage.square().sum().backward()
    return y.detach(), voltage.detach(), [s.grad for s in signals], [p.grad for p in neuron.parameters()]


@pytest.mark.parametrize("backend", ["c", "torch"])
@pytest.mark.parametrize("shape", [(7, 2, 5), (70, 3, 33), (9, 2, 5, 4)], ids=str)
def test_two_inputs(backend, shape):
    neuron = Gated(5 if shape[2] == 5 else 33).double()
    signals = [torch.randn(shape, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in (1, 2)]
    assert_close(run(neuron, backend, signals), run(neuron, "loop", signals), rtol=1e-10, atol=1e-10)


def test_two_inputs_stream_and_are_checked():
    neuron = Gated(3)
    a, b = torch.rand(6, 2, 3), torch.rand(6, 2, 3)
    whole, _ = neuron((a, b))
    state, steps = None, []
    for t in range(6):
        y, state = neuron.advance((a[t], b[t]), state)
        steps.append(y)
    assert torch.equal(torch.stack(steps), whole)
    with pytest.raises(ShapeError, match="has the inputs \\('current', 'gate'\\), got 1 tensors"):
        neuron(a)
    with pytest.raises(ShapeError, match="input 'gate' expected"):
        neuron((a, b[:3]))
    with pytest.raises(ShapeError, match="expected recurrent weights"):
        neuron.recur((a, b), torch.zeros(3, 3), torch.zeros(3), torch.zeros(2, 3))


@pytest.mark.parametrize("backend", ["c", "torch"])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 1, 3, 2), (0, 3, 1, 2), (1, 0, 2, 3), (3, 2, 1, 0)], ids=str)
def test_axes_in_any_order_of_memory(backend, order):
    neuron = LIF(5, per_channel=("decay",), trainable=("decay", "threshold")).double()
    shape = (70, 2, 5, 3)
    base = torch.randn([shape[k] for k in order], generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    x = base.permute([order.index(k) for k in range(4)])
    assert x.shape == shape
    state = (torch.rand(2, 5, 3, dtype=torch.float64),)
    found, expected = run(neuron, backend, [x], state), run(neuron, "loop", [x.contiguous()], state)
    assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_channels_last_is_not_copied():
    x = torch.rand(6, 2, 3, 5).transpose(2, 3)  # [T, B, C=5, L], channels innermost
    y, _ = LIF(5)(x)
    assert y.stride() == x.stride()
