"""Laws that every registered neuron keeps; a new one is tested without a line here."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.config import canonical_json, from_dict, to_dict
from spikeworks.core.errors import ShapeError
from spikeworks.neurons import NEURONS, Neuron, NeuronConfig, Reset, config_for

NAMES = NEURONS.names()
BACKENDS = [(n, b) for n in NAMES for b in ("c", "torch", "parallel") if b != "parallel" or NEURONS.get(n).parallel]


def build(name: str, size: int, dtype: torch.dtype = torch.float64, **values) -> Neuron:
    return config_for(name, **values).build(size, torch.Generator().manual_seed(3)).to(dtype)


def current(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> torch.Tensor:
    noise = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (0.8 * noise + 0.3).to(dtype)


def run(neuron: Neuron, backend: str, x: torch.Tensor, state=None):
    """Spikes, states, and gradients of a random functional of both, for x and all parameters."""
    x = x.clone().requires_grad_()
    neuron.zero_grad()
    with kernels.use(backend):
        y, after = neuron(x, state)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64).to(y.dtype)
    loss = (y * weights).sum() + sum((0.3 * s).sum() for s in after if s.requires_grad)
    loss.backward()
    return y.detach(), [s.detach() for s in after], [x.grad, *(p.grad for p in neuron.parameters())]


@pytest.mark.parametrize("steps, batch, size", [(1, 1, 1), (63, 2, 33), (67, 5, 130)], ids=str)
@pytest.mark.parametrize("name, backend", BACKENDS)
def test_fast_form_equals_step_in_float64(name, backend, steps, batch, size):
    neuron, x = build(name, size), current(steps, batch, size)
    loop, fast = run(neuron, "loop", x), run(neuron, backend, x)
    assert torch.equal(loop[0], fast[0])
    assert loop[0].mean() > 0 or steps == 1
    assert_close(loop[1], fast[1], rtol=1e-10, atol=1e-11)
    assert_close(loop[2], fast[2], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_kernel_equals_step_in_float32_bit_for_bit(name):
    neuron, x = build(name, 77, torch.float32), current(100, 3, 77, dtype=torch.float32)
    loop, fast = run(neuron, "loop", x), run(neuron, "c", x)
    assert torch.equal(loop[0], fast[0])
    assert all(torch.equal(a, b) for a, b in zip(loop[1], fast[1], strict=True))
    for a, b in zip(loop[2], fast[2], strict=True):
        assert (a - b).abs().max() <= 1e-5 * a.abs().max()


@pytest.mark.parametrize("name, backend", [*BACKENDS, *((n, "loop") for n in NAMES)])
def test_chunks_equal_the_whole_with_gradients(name, backend):
    neuron, x = build(name, 6), current(40, 3, 6)
    weights = current(40, 3, 6, seed=9)
    gradients = []
    for cuts in ([40], [17, 1, 22]):
        signal, state, outputs = x.clone().requires_grad_(), None, []
        neuron.zero_grad()
        with kernels.use(backend):
            for part in signal.split(cuts):
                y, state = neuron(part, state)
                outputs.append(y)
        y = torch.cat(outputs)
        (y * weights).sum().backward()
        gradients.append([y.detach(), signal.grad, *(p.grad for p in neuron.parameters())])
    assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12, deadline=None)
@given(steps=st.integers(1, 70), batch=st.integers(1, 4), size=st.integers(1, 40), cut=st.integers(0, 70))
def test_any_shape_and_cut(name, steps, batch, size, cut):
    neuron, x = build(name, size), current(steps, batch, size)
    with torch.no_grad():
        with kernels.use("loop"):
            expected, end = neuron(x)
        cut = min(max(cut, 1), steps)
        first, state = neuron(x[:cut])
        outputs = [first]
        if cut < steps:
            second, state = neuron(x[cut:], state)
            outputs.append(second)
    assert torch.equal(torch.cat(outputs), expected)
    assert_close(list(state), list(end), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_streaming_equals_forward(name):
    neuron, x = build(name, 5), current(30, 2, 5)
    whole, end = neuron(x)
    state, outputs = None, []
    for x_t in x:
        y, state = neuron.advance(x_t, state)
        outputs.append(y)
    assert torch.equal(torch.stack(outputs), whole)
    assert state._fields == end._fields == tuple(neuron.states)


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_a_batch_do_not_meet(name):
    neuron, x = build(name, 5), current(30, 4, 5)
    whole, _ = neuron(x)
    alone, _ = neuron(x[:, 2:3])
    assert torch.equal(whole[:, 2:3], alone)


@pytest.mark.parametrize("name, backend", BACKENDS)
def test_channels_before_a_spatial_axis(name, backend):
    neuron, x = build(name, 4), current(20, 2, 4, 3)
    loop, fast = run(neuron, "loop", x), run(neuron, backend, x)
    assert torch.equal(loop[0], fast[0])
    assert_close(loop[2], fast[2], rtol=1e-8, atol=1e-10)
    each = torch.stack([neuron(x[..., k])[0] for k in range(3)], -1)
    assert torch.equal(loop[0], each)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_input_keeps_float32_states(name):
    neuron, x = build(name, 5, torch.float32), current(20, 2, 5, dtype=torch.bfloat16)
    y, state = neuron(x)
    assert y.dtype == torch.bfloat16
    assert all(s.dtype == torch.float32 for s in state)
    assert torch.equal(y.float(), neuron(x.float())[0])


@pytest.mark.parametrize("name", NAMES)
def test_copies_and_descriptions_round_trip(name):
    neuron, x = build(name, 5, torch.float32), current(20, 2, 5, dtype=torch.float32)
    neuron(x)
    twins = [copy.deepcopy(neuron), pickle.loads(pickle.dumps(neuron))]
    rebuilt = from_dict(NeuronConfig, to_dict(neuron.config)).build(5)
    assert canonical_json(rebuilt.config) == canonical_json(neuron.config)
    rebuilt.load_state_dict(neuron.state_dict())
    for twin in [*twins, rebuilt]:
        assert torch.equal(twin(x)[0], neuron(x)[0])


@pytest.mark.parametrize("name", NAMES)
def test_wrong_inputs_are_named(name):
    neuron = build(name, 5, torch.float32)
    with pytest.raises(ShapeError, match=r"expected x of shape \[T, B, 5, \.\.\.\], got \[7, 2, 4\]"):
        neuron(torch.zeros(7, 2, 4))
    with pytest.raises(ShapeError, match="zero length"):
        neuron(torch.zeros(0, 2, 5))
    with pytest.raises(ShapeError, match="floating-point"):
        neuron(torch.zeros(7, 2, 5, dtype=torch.int64))
    if neuron.states:
        _, state = neuron(torch.zeros(7, 2, 5))
        with pytest.raises(ShapeError, match="a state belongs to one batch"):
            neuron(torch.zeros(7, 3, 5), state)


@pytest.mark.parametrize("name", NAMES)
def test_counted_operations_follow_the_graph(name):
    neuron, x = build(name, 5, torch.float32), current(20, 2, 5, dtype=torch.float32)
    counted = neuron.operations(x, neuron(x)[0])
    per_step = neuron.graph().operations()
    assert counted.macs == per_step.macs * 200 and counted.acs == per_step.acs * 200
    assert counted.state_reads == len(neuron.states) * 200


@pytest.mark.parametrize("name", [n for n in NAMES if "reset" in NEURONS.get(n).options_declared])
def test_detached_reset_changes_gradients_only(name):
    x = current(60, 2, 5)
    kept, cut = (run(build(name, 5, reset=Reset(detach=d)), "c", x) for d in (False, True))
    assert torch.equal(kept[0], cut[0])
    assert not torch.allclose(kept[2][0], cut[2][0])
