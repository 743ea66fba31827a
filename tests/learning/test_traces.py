"""Traces by hand: the recursions of the sources for LIF, ALIF and TC-LIF, against those derived from the step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from spikeworks.layers import Dense
from spikeworks.learning.jacobian import Spikes, coefficients_of, jacobian_of
from spikeworks.learning.traces import Bundle, Eligibility, weight_gradient
from spikeworks.learning.traces_watch import watched
from spikeworks.models import StackConfig
from spikeworks.neurons import ALIF, LIF, TCLIF, Neuron, Reset


def followed(neuron: Neuron, x: Tensor, weight: Tensor, spikes: Spikes = "neuron") -> tuple[list[Tensor], list[Tensor]]:
    """Traces of all states after every step, and what the output feels of all steps so far, ``[B, N, I]``."""
    jacobian = jacobian_of(neuron, spikes, x.dtype)
    bundle = Bundle(jacobian.states, weights=[0])
    states = [torch.zeros(x.shape[1], len(weight), dtype=x.dtype) for _ in neuron.states]
    bundle.start(states[0])
    kept, felt = [], []
    for now in x:
        here = jacobian.at([now @ weight.t()], states, [c.detach() for c in coefficients_of(neuron)])
        past, direct = bundle.past(here)["weight", 0], bundle.now(here, now, None)["weight", 0]
        assert direct is not None
        felt.append(direct if past is None else past + direct)
        bundle.advance(here, now, None)
        kept.append(list(bundle.traces["weight", 0].values))
        states = here.next_states
    return kept, felt


def example(inputs: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(8, 2, inputs, generator=generator, dtype=torch.float64)
    return x, torch.rand(4, inputs, generator=generator, dtype=torch.float64)


def test_lif_with_a_detached_reset_keeps_one_trace_an_input() -> None:
    """OTTT: ``a <- lam a + s``, for all neurons the same."""
    x, weight = example()
    kept, _ = followed(LIF(4, decay=0.7, reset=Reset(detach=True)).double(), x, weight)
    a = torch.zeros(2, 3, dtype=torch.float64)
    for t, now in enumerate(x):
        a = 0.7 * a + now
        assert kept[t][0].shape == (2, 1, 3)
        assert_close(kept[t][0].squeeze(1), a, rtol=1e-7, atol=1e-7)  # the decay is kept in float32


def test_lsnn_has_the_adaptive_eligibility_of_eprop() -> None:
    """``eps_a <- psi eps_v + (rho - psi beta) eps_a``, ``e = psi (eps_v - beta eps_a)``; sheet order of the update."""
    x, weight = example()
    neuron = ALIF(4, trace="sum", reset=Reset(detach=True), decay=0.75, adaptation_decay=0.5, strength=0.25).double()
    _, felt = followed(neuron, x, weight)
    eps_v, eps_a = torch.zeros(2, 1, 3, dtype=torch.float64), torch.zeros(2, 4, 3, dtype=torch.float64)
    v, b, z = (torch.zeros(2, 4, dtype=torch.float64) for _ in range(3))
    e = torch.zeros(2, 4, 3, dtype=torch.float64)
    for t, now in enumerate(x):
        b = 0.5 * b + z
        eps_a = 0.5 * eps_a + e
        charged = 0.75 * v + now @ weight.t()
        distance = (charged - 1.0 - 0.25 * b).requires_grad_()
        psi = torch.autograd.grad(neuron.fire(distance).sum(), distance)[0].unsqueeze(-1)
        z = (distance.detach() >= 0).double()
        v = charged - (1.0 + 0.25 * b) * z
        # the reset takes the raised threshold away, which depends on the adaptation where the spike is a constant
        eps_v = 0.75 * eps_v + now.unsqueeze(1)
        e = psi * (eps_v - 0.25 * eps_a)
        assert_close(felt[t], e, rtol=1e-6, atol=1e-7)
        eps_v = eps_v - (0.25 * eps_a) * z.unsqueeze(-1)


def test_tc_lif_paper_form_has_the_recursion_of_its_online_rule() -> None:
    """Sheet order: dendrite first, the soma reads the new one; reset path kept."""
    x, weight = example()
    gamma, theta, b1, b2 = 0.5, 1.0, -0.5, 0.5
    neuron = TCLIF(4, reset_form="paper", trainable=()).double()
    _, felt = followed(neuron, x, weight)
    d, u, s = (torch.zeros(2, 4, dtype=torch.float64) for _ in range(3))
    eps_d, eps_s = (torch.zeros(2, 4, 3, dtype=torch.float64) for _ in range(2))
    psi = torch.zeros(2, 4, 1, dtype=torch.float64)
    for t, now in enumerate(x):
        d = d + b1 * u + now @ weight.t() - gamma * s
        u = u + b2 * d - theta * s
        eps_d = eps_d + (b1 - gamma * psi) * eps_s + now.unsqueeze(1)
        eps_s = (1 - theta * psi) * eps_s + b2 * eps_d
        s = (u >= theta).double()
        psi = (1 - (u - theta).abs()).clamp(min=0).unsqueeze(-1)
        assert_close(felt[t], psi * eps_s, rtol=1e-10, atol=1e-12)
    assert psi.max() > 0


@pytest.mark.parametrize("spikes", ["neuron", "cut"])
def test_tc_lif_traces_are_shared_where_the_reset_is_cut(spikes: Spikes) -> None:
    x, weight = example()
    kept, _ = followed(TCLIF(4, trainable=()).double(), x, weight, spikes)
    assert kept[-1][0].shape == ((2, 1, 3) if spikes == "cut" else (2, 4, 3))


def test_a_loss_at_the_end_needs_the_sum_of_what_was_felt() -> None:
    """F form of the terminal loss: the full gradient of the last hidden layer from one kept sum."""
    x, weight = example()
    neuron = TCLIF(4, trainable=()).double()
    _, felt = followed(neuron, x, weight)
    total = torch.stack(felt).sum(0)
    w = weight.clone().requires_grad_()
    y, _ = neuron(x @ w.t())
    signal = torch.rand(2, 4, dtype=torch.float64)
    (wanted,) = torch.autograd.grad((y.sum(0) * signal).sum(), w)
    found = weight_gradient(signal, total)
    assert found is not None
    assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_numbers_and_tensors_weigh_alike() -> None:
    one, two = torch.rand(2, 4, 3), torch.rand(2, 4, 3)
    trace = Eligibility(3, inner=1)
    trace.values = [one, two, None]
    assert trace.past([0.0, 0.0, 5.0]) is None
    found = trace.past([0.5, torch.full((2, 4), 0.25), 1.0])
    assert found is not None
    assert_close(found, 0.5 * one + 0.25 * two)
    trace.advance([[0.0, 1.0, 0.0], [torch.tensor(2.0), 0.0, 0.0], [0.0, 0.0, 0.0]], [one, None, None])
    assert_close(trace.values[0], two + one)
    assert_close(trace.values[1], 2 * one)
    assert trace.values[2] is None


def test_calls_are_seen_in_order_with_their_synapses() -> None:
    network = StackConfig(hidden=(4, 5), recurrent=(False, True), norm="layer").build(3, 2, torch.Generator())
    with watched(network.blocks) as calls:
        network(torch.rand(6, 2, 3))
    assert [call.name for call in calls] == ["0.neuron", "1.neuron"]
    assert [s.name for call in calls for s in call.synapses] == ["0.synapse", "1.synapse"]
    assert not calls[0].direct and isinstance(calls[1].neuron, LIF) and isinstance(calls[0].synapses[0].module, Dense)
    assert not any(m._forward_hooks for m in network.modules())
    plain = StackConfig(hidden=(4,)).build(3, 2, torch.Generator())
    with watched(plain.blocks, Tensor.detach) as calls:
        output, _ = plain(torch.rand(6, 2, 3))
    assert calls[0].direct and calls[0].y.requires_grad
    output.sum().backward()
    assert plain.blocks[0].synapse.weight.grad is None
