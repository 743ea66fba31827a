"""Temporal credit of every registered neuron: each form equals the step with explicit cuts, values and gradients."""

from __future__ import annotations

import copy
import functools
import pickle

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.credit import Credit, set_credit
from spikeworks.core.errors import ConfigError
from spikeworks.core.state import detach
from spikeworks.neurons import NEURONS, Neuron, config_for

WHOLE = [n for n in NEURONS.names() if getattr(NEURONS.get(n), "whole_sequence", False)]
STEPPED = [n for n in NEURONS.names() if n not in WHOLE]
CLOCKS = ("position", "phase")
"""States that tell the time; they go on where no memory is carried."""
STEPS = 8
CREDITS = [Credit(window=1), Credit(window=3), Credit(window=STEPS), Credit(window=50), Credit(carry=False)]


@functools.cache
def traced_once(name: str) -> Neuron:
    """Tracing and compiling take longer than all else here."""
    return config_for(name).build(3, torch.Generator().manual_seed(3)).double().eval()


def build(name: str) -> Neuron:
    neuron = traced_once(name)
    neuron.credit = Credit()
    return neuron


def forms(neuron: Neuron, credit: Credit) -> list[str]:
    """The forms of a neuron; kernels without memory are a new text, so few of them are compiled here."""
    if isinstance(neuron._trace(torch.float64), str):
        return ["loop"]
    compiled = credit.carry or neuron.config.label in ("lif", "pmsn", "glif", "izhikevich", "stochastic-psn", "gsn")
    return ["loop", "torch", *["c"] * compiled, *["parallel"] * (neuron.parallel is not None)]


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def current(neuron: Neuron, steps: int = STEPS, batch: int = 2) -> Tensor:
    return 0.8 * noise(steps, batch, neuron.size, len(neuron.inputs)) + 0.4


def signal(neuron: Neuron, x: Tensor):
    parts = x.unbind(-1)
    return parts[0] if len(neuron.inputs) == 1 else parts


def given_state(neuron: Neuron, x: Tensor):
    """A state in the middle of a sequence, as a leaf that wants gradients."""
    _, state = neuron(signal(neuron, x.flip(0).detach()))
    return neuron.state_class(*(s.detach().clone().requires_grad_() for s in state))


def functional(y: Tensor, state) -> Tensor:
    return (y * noise(*y.shape, seed=5)).sum() + sum((0.3 * s).sum() for s in state if s.requires_grad)


def gradients(neuron: Neuron, y: Tensor, after, leaves: list[Tensor]) -> list[Tensor]:
    leaves = [*leaves, *neuron.parameters()]
    return list(torch.autograd.grad(functional(y, after), leaves, allow_unused=True, materialize_grads=True))


def by_hand(neuron: Neuron, x: Tensor, state, credit: Credit):
    """The definition: calls of one step each, between which states are detached or put to rest."""
    neuron.credit, outputs = Credit(), []
    for t in range(len(x)):
        now = signal(neuron, x[t : t + 1])
        if not credit.carry:
            rest = neuron.rest(x[t : t + 1, ..., 0])
            state = rest._replace(**{name: getattr(state, name) for name in CLOCKS if name in neuron.states})
        elif credit.window is not None and t % credit.window == 0:
            state = detach(state)
        with kernels.use("loop"):
            y, state = neuron(now, state)
        outputs.append(y)
    if not credit.carry:
        rest = neuron.rest(x[..., 0])
        state = rest._replace(**{name: getattr(state, name) for name in CLOCKS if name in neuron.states})
    return torch.cat(outputs), state


@pytest.mark.parametrize("credit", CREDITS, ids=lambda c: c.label)
@pytest.mark.parametrize("name", STEPPED)
def test_every_form_equals_the_step_with_explicit_cuts(name, credit):
    neuron = build(name)
    x = current(neuron).requires_grad_()
    state = given_state(neuron, x)
    y, after = by_hand(neuron, x, state, credit)
    expected = [y.detach(), [s.detach() for s in after], gradients(neuron, y, after, [x, *state])]
    for form in forms(neuron, credit):
        neuron.credit = credit
        with kernels.use(form):
            y, after = neuron(signal(neuron, x), state)
        assert torch.equal(y, expected[0])
        found = [[s.detach() for s in after], gradients(neuron, y, after, [x, *state])]
        assert_close(found, expected[1:], rtol=1e-8, atol=1e-10, msg=lambda text, form=form: f"{form}: {text}")


@pytest.mark.parametrize("name", STEPPED)
def test_credit_in_space_alone_keeps_the_spikes_and_no_gradient_through_time(name):
    neuron = build(name)
    x = (current(neuron, 5) + 0.5).requires_grad_()
    whole, _ = neuron(signal(neuron, x))
    set_credit(neuron, Credit(window=1))
    y, _ = neuron(signal(neuron, x))
    assert torch.equal(y, whole)
    for t in range(5):
        (g,) = torch.autograd.grad(y[t].sum(), x, retain_graph=True)
        assert not g[:t].any() and not g[t + 1 :].any()


@pytest.mark.parametrize("name", STEPPED)
def test_a_window_as_long_as_the_call_is_backpropagation_from_rest(name):
    neuron = build(name)
    x = current(neuron).requires_grad_()
    found = []
    for credit in (Credit(), Credit(window=STEPS)):
        neuron.credit = credit
        y, after = neuron(signal(neuron, x))
        found.append(gradients(neuron, y, after, [x]))
    if neuron._rests() and name != "stochastic-psn":  # what rest is made of is cut off with it
        found = [g[:1] for g in found]
    assert_close(*found, rtol=0, atol=0)


@pytest.mark.parametrize("name", STEPPED)
def test_parts_of_whole_windows_equal_the_whole(name):
    neuron = build(name)
    neuron.credit = Credit(window=2)
    x, weights, found = current(neuron, 9).requires_grad_(), noise(9, 2, neuron.size, seed=4), []
    for cuts in ([9], [4, 2, 3]):
        state, outputs = None, []
        for part in x.split(cuts):
            y, state = neuron(signal(neuron, part), state)
            outputs.append(y)
        y = torch.cat(outputs)
        found.append([y, *gradients(neuron, y * weights, (), [x])])
    assert_close(*found, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in STEPPED if not set(CLOCKS) & set(build(n).states)])
def test_without_memory_the_order_of_time_does_not_matter(name):
    neuron = build(name)
    neuron.credit = Credit(carry=False)
    x = current(neuron, 12) + 0.5
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), kernels.use(forms(neuron, neuron.credit)[:2][-1]):
        y, mixed = neuron(signal(neuron, x))[0], neuron(signal(neuron, x[order]))[0]
    assert torch.equal(y[order], mixed)


@pytest.mark.parametrize("name", WHOLE)
def test_a_neuron_without_steps_refuses_in_words(name):
    neuron, lif = build(name), build("lif")
    network = torch.nn.Sequential(lif, neuron)
    for credit in (Credit(window=2), Credit(carry=False)):
        with pytest.raises(
            ConfigError, match="mixes all steps at once; temporal credit cannot be cut(.|\n)*sliding-psn"
        ):
            set_credit(network, credit)
        assert lif.credit == neuron.credit == Credit()  # all or none
        neuron.credit = credit
        with pytest.raises(ConfigError, match="mixes all steps at once"):
            neuron(signal(neuron, current(neuron)))
        neuron.credit = Credit()
    set_credit(network, Credit(feedback=False))
    neuron(signal(neuron, current(neuron)))


@pytest.mark.parametrize("name", ["lif", "pmsn"])
def test_copies_keep_their_credit(name):
    neuron = build(name)
    neuron.credit = Credit(window=4, feedback=False)
    assert copy.deepcopy(neuron).credit == pickle.loads(pickle.dumps(neuron)).credit == neuron.credit


@pytest.mark.parametrize("window", [0, -3, 1.5])
def test_a_window_is_a_number_of_steps(window):
    with pytest.raises(ConfigError, match=f"a number of steps from 1 on, got {window}"):
        Credit(window=window)
