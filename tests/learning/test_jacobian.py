"""The step's Jacobian against torch's own, for every neuron with an elementwise step."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from spikeworks.core.errors import TraceError
from spikeworks.learning.jacobian import Filter, Spikes, StepJacobian, coefficients_of, filter_form, jacobian_of
from spikeworks.neurons import ALIF, LIF, NEURONS, TCLIF, Neuron, Reset, config_for

NAMES = [
    name
    for name in NEURONS.names()
    if not getattr(NEURONS.get(name), "whole_sequence", False)
    and not getattr(NEURONS.get(name), "mixes_neurons", False)
]


def point(neuron: Neuron) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and states ``[40, 3]``, some of them near the threshold."""
    generator = torch.Generator().manual_seed(2)
    inputs = len(neuron.inputs) + len(neuron.own_inputs)
    drawn = torch.rand(inputs + len(neuron.states), 40, 3, generator=generator, dtype=torch.float64) * 1.6 - 0.2
    return list(drawn[:inputs]), list(drawn[inputs:])


def truth(neuron: Neuron, x: Sequence[Tensor], states: Sequence[Tensor]) -> list[list[Tensor]]:
    """Rows output, states; columns inputs, states: by autograd on the step, one column of ones at a time."""
    given = [t.clone().requires_grad_() for t in (*x, *states)]
    results = neuron.step(*given, **neuron._broadcast(x[0].unsqueeze(0)))
    rows = []
    for result in results:
        found = [None] * len(given)
        if result.requires_grad:
            found = torch.autograd.grad(result.sum(), given, retain_graph=True, allow_unused=True)
        rows.append([torch.zeros_like(t) if g is None else g for t, g in zip(given, found, strict=True)])
    return rows


def full(value: Any, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=like.dtype).expand_as(like)


@pytest.mark.parametrize("name", NAMES)
def test_the_jacobian_is_that_of_torch(name: str) -> None:
    neuron = config_for(name).build(3, torch.Generator().manual_seed(0)).double().eval()
    x, states = point(neuron)
    found = jacobian_of(neuron, "neuron", torch.float64).at(x, states, coefficients_of(neuron, x[0].unsqueeze(0)))
    table = [[*found.output_input, *found.output_state]]
    table += [[*a, *b] for a, b in zip(found.state_input, found.state_state, strict=True)]
    for row, wanted in zip(table, truth(neuron, x, states), strict=True):
        for value, expected in zip(row, wanted, strict=True):
            assert_close(full(value, expected), expected, rtol=1e-10, atol=1e-12)
    _, *after = neuron.step(*x, *states, **neuron._broadcast(x[0].unsqueeze(0)))
    assert_close(found.next_states, list(after), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["lif", "alif", "tc-lif", "lstm-lif", "clif", "brf"])
def test_cut_spikes_are_constants_of_the_state_and_not_of_the_output(name: str) -> None:
    neuron = config_for(name).build(3, torch.Generator().manual_seed(0)).double()
    silent = copy.copy(neuron)
    object.__setattr__(silent, "fire", lambda d: neuron.fire(d).detach())
    x, states = point(neuron)
    found = jacobian_of(neuron, "cut", torch.float64).at(x, states, coefficients_of(neuron, x[0].unsqueeze(0)))
    whole, cut = truth(neuron, x, states), truth(silent, x, states)
    assert_close([full(v, x[0]) for v in (*found.output_input, *found.output_state)], whole[0])
    for r, wanted in enumerate(cut[1:]):
        assert_close([full(v, x[0]) for v in (*found.state_input[r], *found.state_state[r])], wanted)
    pairs = ((a, b) for one, two in zip(whole[1:], cut[1:], strict=True) for a, b in zip(one, two, strict=True))
    assert any(not torch.equal(a, b) for a, b in pairs)


def test_derivatives_by_coefficients_are_made_on_demand() -> None:
    neuron = LIF(3, decay=0.8, trainable=("decay", "threshold")).double()
    x, states = point(neuron)
    decay, threshold = (c.detach() for c in coefficients_of(neuron))
    found = jacobian_of(neuron, "cut", torch.float64).at(x, states, [decay, threshold], wanted=(0, 1))
    spike = (decay * states[0] + x[0] >= threshold).double()
    assert_close(full(found.state_parameter[0][0], x[0]), states[0])
    assert_close(full(found.state_parameter[0][1], x[0]), -spike)
    assert_close(found.output_parameter[0], found.output_input[0] * states[0])


def test_layers_described_alike_share_what_is_derived() -> None:
    a, b = (LIF(n, decay=0.8, trainable=("decay",)) for n in (3, 5))
    assert jacobian_of(a) is jacobian_of(b) is not jacobian_of(LIF(3, decay=0.7, trainable=("decay",)))
    assert isinstance(jacobian_of(a), StepJacobian)


# -- memory as a filter ----------------------------------------------------------------------------

DETACHED = Reset(detach=True)


@pytest.mark.parametrize(
    "config, spikes, forgets",
    [
        (LIF.Config(decay=0.8, reset=DETACHED), "neuron", [[0.8]]),
        (LIF.Config(decay=0.8), "cut", [[0.8]]),
        (config_for("if"), "cut", [[1.0]]),
        (config_for("cuba-lif", current_decay=0.5, decay=0.25), "cut", [[0.5, 0.0], [0.5, 0.25]]),
        (TCLIF.Config(), "cut", [[1.0, -0.5], [0.5, 0.75]]),
    ],
    ids=str,
)
def test_the_filter_of_a_neuron(config: Any, spikes: Spikes, forgets: list[list[float]]) -> None:
    neuron = config.build(3)
    form = filter_form(neuron, spikes)
    assert not isinstance(form, str), form
    assert_close(form.at(coefficients_of(neuron)).transition, torch.tensor(forgets))


@pytest.mark.parametrize("config", [LIF.Config(decay=0.8), TCLIF.Config(), config_for("cuba-lif"), config_for("if")])
def test_the_filter_is_what_the_output_feels(config: Any) -> None:
    """``D = psi c`` at every point: the weights of the filter against the Jacobian's own."""
    neuron = config.build(3).double()
    form = filter_form(neuron, "cut", torch.float64)
    assert not isinstance(form, str)
    found = form.at(coefficients_of(neuron))
    x, states = point(neuron)
    here = jacobian_of(neuron, "cut", torch.float64).at(x, states, coefficients_of(neuron))
    for weight, felt in zip(found.weight, here.output_state, strict=True):
        assert_close(full(felt, x[0]), weight * here.output_input[0])
    assert isinstance(here.output_input[0], Tensor) and here.output_input[0].abs().max() > 0


@pytest.mark.parametrize(
    "config, spikes, why",
    [
        (LIF.Config(), "neuron", "a reset that is differentiated"),
        (LIF.Config(reset=Reset(kind="hard", detach=True)), "cut", "how LIF forgets depends on its state"),
        (ALIF.Config(), "cut", "how ALIF forgets depends on its state"),
        (config_for("adlif"), "cut", "parameter per channel"),
        (LIF.Config(per_channel=("decay",)), "cut", "parameter per channel"),
        (config_for("rf"), "cut", "one sum passes a threshold"),
        (config_for("dh-lif"), "cut", "4 inputs"),
        (config_for("ltc"), "cut", "no elementwise kernel"),
    ],
    ids=str,
)
def test_a_memory_that_is_no_filter_is_told_why(config: Any, spikes: Spikes, why: str) -> None:
    found = filter_form(config.build(3, torch.Generator().manual_seed(0)), spikes)
    assert isinstance(found, str) and why in found


def test_a_neuron_without_a_step_has_no_jacobian() -> None:
    with pytest.raises(TraceError):
        jacobian_of(config_for("ltc").build(3, torch.Generator()))


@given(st.integers(1, 3), st.integers(1, 9), st.integers(0, 9))
@settings(max_examples=20)
def test_a_filter_in_chunks_is_the_filter_of_the_whole(states: int, steps: int, cut: int) -> None:
    generator = torch.Generator().manual_seed(states)
    a, b, c = (
        torch.rand(*shape, generator=generator, dtype=torch.float64) for shape in ((states,) * 2, (states,), (states,))
    )
    memory = Filter(transition=a / states, entry=b, weight=c)
    x = torch.rand(steps, 2, 3, generator=generator, dtype=torch.float64)
    past, end = memory.run(x)
    e = torch.zeros(states, 2, 3, dtype=torch.float64)
    for t in range(steps):
        assert_close(past[t], torch.einsum("s,sij->ij", c, e))
        e = torch.einsum("rs,sij->rij", a / states, e) + b.reshape(-1, 1, 1) * x[t]
    assert_close(end, e)
    cut = min(cut, steps - 1)
    if cut:
        first, middle = memory.run(x[:cut])
        second, last = memory.run(x[cut:], middle)
        assert_close(torch.cat([first, second]), past)
        assert_close(last, end)
