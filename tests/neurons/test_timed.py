"""Neurons with a parameter that changes over time: its table, its end, and the limits of GLIF and CE-LIF."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.layers import Recurrent
from spikeworks.neurons import CELIF, GLIF, LIF, Neuron, Parameter, Reset, Timed, real


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Follows(Timed):
    """Sends what its table says."""

    own_inputs = ("value",)
    states = ("position",)
    value = Parameter(
        None, real, per="step", initial=lambda n, shape, g: torch.arange(shape[0] * shape[1]).reshape(shape)
    )

    def step(self, x, value, position):
        return x + value, position + 1.0


def current(*shape: int, seed: int = 1) -> torch.Tensor:
    return 0.8 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 0.3


@pytest.mark.parametrize("backend", ["loop", "torch", "c"])
@pytest.mark.parametrize("shape", [(7, 2, 3), (7, 2, 3, 4)], ids=str)
def test_each_step_reads_its_row(backend, shape):
    neuron = Follows(3, steps=7)
    table = torch.arange(21.0).reshape(7, 1, 3, *(1,) * (len(shape) - 3)).expand(shape)
    with kernels.use(backend):
        whole, _ = neuron(torch.zeros(shape))
        first, state = neuron(torch.zeros(shape)[:3])
        second, _ = neuron(torch.zeros(shape)[3:], state)
        weights = current(*shape)
        (whole * weights).sum().backward()
    assert torch.equal(whole, table) and torch.equal(torch.cat([first, second]), table)
    assert_close(neuron.stored_value.grad, weights.flatten(3).sum((1, 3)) if len(shape) > 3 else weights.sum(1))


def test_rows_of_a_batch_may_stand_at_different_steps():
    neuron = Follows(3, steps=9)
    _, early = neuron(torch.zeros(2, 1, 3))
    _, late = neuron(torch.zeros(5, 1, 3))
    joined = [torch.cat([a, b]) for a, b in zip(early, late, strict=True)]
    y, _ = neuron(torch.zeros(3, 2, 3), joined)
    assert y[:, 0, 0].tolist() == [6.0, 9.0, 12.0] and y[:, 1, 0].tolist() == [15.0, 18.0, 21.0]


@pytest.mark.parametrize("cls", [GLIF, CELIF])
def test_the_end_of_the_table_is_named(cls):
    neuron = cls(4, steps=10)
    x = current(11, 2, 4)
    with pytest.raises(
        ShapeError, match=f"{cls.__name__} was built for sequences of up to 10 steps, this one reaches 11"
    ):
        neuron(x)
    _, state = neuron(x[:8])
    with pytest.raises(ShapeError, match="reaches 11(.|\n)*build it with steps=11 or more"):
        neuron(x[8:], state)
    _, state = neuron(x[8:10], state)
    with pytest.raises(ShapeError, match="reaches 11"):
        neuron.advance(x[10], state)
    with pytest.raises(ConfigError, match="at least one step, got steps=0"):
        cls(4, steps=0)


@pytest.mark.parametrize("cls", [GLIF, CELIF])
def test_feedback_by_kernel_equals_the_loop(cls):
    x = current(33, 3, 5)
    found = {}
    for backend in ("loop", "c"):
        layer = Recurrent(cls(5, steps=40), generator=torch.Generator().manual_seed(2))
        signal, weights = (2 * x).requires_grad_(), current(33, 3, 5, seed=4)
        with kernels.use(backend):
            first, state = layer(signal[:20])
            second, _ = layer(signal[20:], state)
        y = torch.cat([first, second])
        (y * weights).sum().backward()
        found[backend] = [y.detach(), signal.grad, *(p.grad for p in layer.parameters())]
    assert found["c"][0].mean() > 0.05
    assert_close(found["loop"], found["c"], rtol=1e-9, atol=1e-10)


HARD, SOFT = Reset(kind="hard"), Reset(order="before_charge")
GATED = {"decay": 0.8, "threshold": 1.0, "input_gate": 0.0, "trainable": (), "steps": 80}
LIMITS = {
    "glif, gates 1 0 1": (GLIF, {**GATED, "leak_gate": 1.0, "reset_gate": 1.0}, {"decay": 0.8, "reset": HARD}),
    "glif, gates 1 0 0": (
        GLIF,
        {**GATED, "leak_gate": 1.0, "reset_gate": 0.0, "reset_amount": 1.0},
        {"decay": 0.8, "reset": SOFT},
    ),
    "glif, half conductance": (
        GLIF,
        {**GATED, "leak_gate": 1.0, "reset_gate": 1.0, "input_gate": 1.0, "conductance": 0.5},
        {"decay": 0.8, "threshold": 2.0, "reset": HARD},
    ),
    "ce-lif without context": (CELIF, {"context": 0.0, "steps": 80}, {"reset": HARD}),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_to_lif(name):
    cls, settings, others = LIMITS[name]
    x, scale = 2 * current(80, 3, 6), others.get("threshold", 1.0)

    def outcome(neuron: Neuron):
        signal = x.clone().requires_grad_()
        y, _ = neuron(signal)
        (y * current(80, 3, 6, seed=7)).sum().backward()
        return y.detach(), signal.grad

    one, other = outcome(cls(6, **settings)), outcome(LIF(6, **others))
    assert other[0].mean() > 0.05
    assert_close(one[0], other[0], rtol=0, atol=1e-10)
    if scale == 1.0:  # another threshold is another distance for the surrogate
        assert_close(one[1], other[1], rtol=1e-8, atol=1e-10)


def test_a_context_shifts_the_threshold():
    neuron = CELIF(1, decay=1.0, relaxation=0.5, context=0.25, steps=3)
    _, state = neuron(torch.tensor([0.8, 0.1]).reshape(2, 1, 1))
    assert_close(state.shift.item(), 0.2)  # 0.8 * 0.25
    fired, state = neuron.advance(torch.full((1, 1), 0.2), state)
    assert_close(state.shift.item(), 0.1 + 0.9 * 0.25)
    assert state.voltage.item() > 1.0 and fired.item() == 0.0
