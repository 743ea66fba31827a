"""Recurrent weights without a diagonal, and those that start orthogonal."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.errors import ConfigError
from spikeworks.layers import Recurrent
from spikeworks.neurons import LIF


def layer(size: int = 6, **options) -> Recurrent:
    return Recurrent(LIF(size), generator=torch.Generator().manual_seed(0), **options).double()


def current(*shape: int) -> torch.Tensor:
    return 0.9 * torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.4


@pytest.mark.parametrize("backend", ["c", "loop"])
def test_no_neuron_hears_itself(backend):
    module, x = layer(zero_diagonal=True), current(20, 3, 6)
    with torch.no_grad():
        module.synapse.weight.fill_diagonal_(7.0)  # what a checkpoint may hold there does not matter
    plain = layer()
    with torch.no_grad():
        plain.synapse.weight.copy_(module.synapse.weight).fill_diagonal_(0.0)
        plain.synapse.bias.copy_(module.synapse.bias)
    found = []
    for one in (module, plain):
        with kernels.use(backend):
            y, state = one(x)
        (y * x).sum().backward()
        found.append((y.detach(), state.neuron[0].detach(), one.synapse.bias.grad, one.synapse.weight.grad))
    assert found[0][0].any()
    assert_close(found[0][:3], found[1][:3])
    off = ~torch.eye(6, dtype=torch.bool)
    assert_close(found[0][3][off], found[1][3][off])
    assert not found[0][3].diagonal().any() and found[1][3].diagonal().any()


def test_the_diagonal_starts_at_zero():
    assert not layer(zero_diagonal=True).synapse.weight.diagonal().any()
    assert layer().synapse.weight.diagonal().all()


def test_orthogonal_start_depends_on_the_generator():
    weight = layer(start="orthogonal").weight
    assert_close(weight @ weight.t(), torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-6)
    assert torch.equal(weight, layer(start="orthogonal").weight)
    both = layer(start="orthogonal", zero_diagonal=True).weight
    assert_close(both, weight - weight.diagonal().diag())


def test_operations_leave_the_diagonal_out():
    module, x = layer(zero_diagonal=True).float(), current(20, 2, 6).float()
    y, _ = module(x)
    heard = module.operations(x, y).acs - module.neuron.operations(x, y).acs
    assert heard == pytest.approx(y[:-1].sum().item() * 5) and heard > 0


def test_another_start_is_refused():
    with pytest.raises(ConfigError, match="uniform or orthogonal, got 'identity'"):
        layer(start="identity")  # type: ignore[arg-type]
