"""The traced gradient of every neuron against finite differences.

A spike has no derivative, so it is replaced by the primitive whose derivative is the surrogate's; the
neuron becomes a smooth function, and all that its graph does in backward must be its derivative.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.func import functional_call

from spikeworks import kernels
from spikeworks.neurons import NEURONS, Neuron, Reset, Surrogate, config_for

WIDTH = 2.0
PRIMITIVES = {
    "sigmoid": lambda x: torch.sigmoid(4.0 / WIDTH * x),
    "arctan": lambda x: torch.atan(torch.pi / WIDTH * x) / torch.pi,
    "gaussian": lambda x: 0.5 * torch.erf(x / WIDTH),
}
COUNTS = {"i-lif": lambda neuron, x: x.clamp(0, neuron.levels)}
"""Neurons whose output is no spike, with the primitive of what they send."""

PLAIN = {
    "pmsn": {"output_reset": "none"},  # by definition the reset passes no gradient
    "izhikevich": {"detach_reset": False},
}


@pytest.mark.parametrize("kind", PRIMITIVES)
def test_primitives_belong_to_their_surrogates(kind):
    x = torch.linspace(-3, 3, 41, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(PRIMITIVES[kind](x).sum(), x)
    torch.testing.assert_close(slope, Surrogate(kind=kind, width=WIDTH).derivative(x.detach()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NEURONS.names())
def test_gradients_are_those_of_the_smooth_neuron(name, monkeypatch):
    cls, primitive = NEURONS.get(name), COUNTS.get(name, lambda neuron, x: PRIMITIVES["sigmoid"](x))
    for owner in cls.__mro__:
        if "fire" in vars(owner):
            monkeypatch.setattr(owner, "fire", primitive)
    values = dict(PLAIN.get(name, {}))
    if "reset" in cls.options_declared:
        values["reset"] = dataclasses.replace(cls.options_declared["reset"].default, detach=False)
    if "steps" in cls.options_declared:
        values["steps"] = 6
    neuron = config_for(name, **values).build(2, torch.Generator().manual_seed(3)).double().eval()
    x = torch.randn(6, 1, 2, len(neuron.inputs), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    names, parameters = zip(*neuron.named_parameters(), strict=True) if list(neuron.parameters()) else ((), ())

    def whole(x: torch.Tensor, *parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        signals = x.unbind(-1)
        signal = signals[0] if len(signals) == 1 else signals
        y, state = functional_call(neuron, dict(zip(names, parameters, strict=True)), (signal,))
        return (y, *(s for s in state if s.requires_grad))

    leaves = [x.requires_grad_(), *(p.detach().clone().requires_grad_() for p in parameters)]
    with kernels.use("torch" if neuron.decide(x[..., 0]).backend == "c" else "auto"):
        assert torch.autograd.gradcheck(whole, leaves, eps=1e-6, atol=1e-6, rtol=1e-5)


def test_a_wrong_gradient_would_be_found(monkeypatch):
    monkeypatch.setattr(Neuron, "fire", lambda neuron, x: PRIMITIVES["sigmoid"](x))
    neuron = NEURONS.get("lif")(2, reset=Reset(detach=True)).double()
    x = torch.randn(6, 1, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    with kernels.use("torch"):
        assert not torch.autograd.gradcheck(lambda x: neuron(x)[0], [x], raise_exception=False)
