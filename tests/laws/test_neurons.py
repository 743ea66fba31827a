"""Laws that every registered neuron keeps; a new one is tested without a line here."""

from __future__ import annotations

import copy
import functools
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.config import canonical_json, from_dict, to_dict
from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.neurons import NEURONS, Neuron, NeuronConfig, Reset, config_for

NAMES = NEURONS.names()
WHOLE = [n for n in NAMES if getattr(NEURONS.get(n), "whole_sequence", False)]
"""Neurons without a step: a sequence is fed in one call, in the parallel form."""
STEPPED = [n for n in NAMES if n not in WHOLE]
FUSED = [n for n in STEPPED if not getattr(NEURONS.get(n), "mixes_neurons", False)]
"""Neurons with an elementwise step, for which kernels are made."""
BACKENDS = [(n, b) for n in FUSED for b in ("c", "torch", "parallel") if b != "parallel" or NEURONS.get(n).parallel]


def build(name: str, size: int, dtype: torch.dtype = torch.float64, **values) -> Neuron:
    """A neuron as it runs in evaluation, where nothing is drawn at random."""
    return config_for(name, **values).build(size, torch.Generator().manual_seed(3)).to(dtype).eval()


@functools.cache
def traced_once(name: str, size: int) -> Neuron:
    """A neuron for many small examples; tracing takes longer than running them."""
    return build(name, size)


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def current(neuron: Neuron, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """What drives a neuron, its inputs along a last axis: ``[T, B, ..., inputs]``."""
    return (0.8 * noise(*shape, len(neuron.inputs)) + 0.3).to(dtype)


def feed(neuron: Neuron, x: torch.Tensor, state=None, call=None):
    """Call the neuron, or ``call``, with the inputs that :func:`current` made."""
    signals = x.unbind(-1)
    return (call or neuron)(signals[0] if len(signals) == 1 else signals, state)


def run(neuron: Neuron, backend: str, x: torch.Tensor, state=None):
    """Spikes, states, and gradients of a random functional of both, for x and all parameters."""
    x = x.clone().requires_grad_()
    neuron.zero_grad()
    with kernels.use(backend):
        y, after = feed(neuron, x, state)
    loss = (y * noise(*y.shape, dtype=y.dtype, seed=5)).sum() + sum((0.3 * s).sum() for s in after if s.requires_grad)
    loss.backward()
    return y.detach(), [s.detach() for s in after], [x.grad, *(p.grad for p in neuron.parameters())]


@pytest.mark.parametrize("steps, batch, size", [(1, 1, 1), (63, 2, 33), (67, 5, 130)], ids=str)
@pytest.mark.parametrize("name, backend", BACKENDS)
def test_fast_form_equals_step_in_float64(name, backend, steps, batch, size):
    neuron = build(name, size)
    x = current(neuron, steps, batch, size)
    loop, fast = run(neuron, "loop", x), run(neuron, backend, x)
    assert torch.equal(loop[0], fast[0])
    assert loop[0].mean() > 0 or steps == 1
    assert_close(loop[1], fast[1], rtol=1e-10, atol=1e-11)
    assert_close(loop[2], fast[2], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", FUSED)
def test_kernel_equals_step_in_float32_bit_for_bit(name):
    neuron = build(name, 77, torch.float32)
    x = current(neuron, 100, 3, 77, dtype=torch.float32)
    loop, fast = run(neuron, "loop", x), run(neuron, "c", x)
    assert torch.equal(loop[0], fast[0])
    if neuron.graph().operations().specials:  # libraries round exponentials and their like differently
        assert_close(loop[1], fast[1], rtol=1e-5, atol=1e-5)
    else:
        assert all(torch.equal(a, b) for a, b in zip(loop[1], fast[1], strict=True))
    for a, b in zip(loop[2], fast[2], strict=True):
        assert (a - b).abs().max() <= 1e-5 * a.abs().max()


@pytest.mark.parametrize("name, backend", [*BACKENDS, *((n, "loop") for n in STEPPED)])
def test_chunks_equal_the_whole_with_gradients(name, backend):
    neuron = build(name, 6)
    x, weights = current(neuron, 40, 3, 6), noise(40, 3, 6, seed=9)
    gradients = []
    for cuts in ([40], [17, 1, 22]):
        signal, state, outputs = x.clone().requires_grad_(), None, []
        neuron.zero_grad()
        with kernels.use(backend):
            for part in signal.split(cuts):
                y, state = feed(neuron, part, state)
                outputs.append(y)
        y = torch.cat(outputs)
        (y * weights).sum().backward()
        gradients.append([y.detach(), signal.grad, *(p.grad for p in neuron.parameters())])
    assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", STEPPED)
@settings(max_examples=12, deadline=None)
@given(steps=st.integers(1, 70), batch=st.integers(1, 4), size=st.sampled_from([1, 7, 33]), cut=st.integers(0, 70))
def test_any_shape_and_cut(name, steps, batch, size, cut):
    neuron = traced_once(name, size)
    x = current(neuron, steps, batch, size)
    with torch.no_grad():
        with kernels.use("loop"):
            expected, end = feed(neuron, x)
        cut = min(max(cut, 1), steps)
        first, state = feed(neuron, x[:cut])
        outputs = [first]
        if cut < steps:
            second, state = feed(neuron, x[cut:], state)
            outputs.append(second)
    assert torch.equal(torch.cat(outputs), expected)
    assert_close(list(state), list(end), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", STEPPED)
def test_streaming_equals_forward(name):
    neuron = build(name, 5)
    x = current(neuron, 30, 2, 5)
    whole, end = feed(neuron, x)
    state, outputs = None, []
    for x_t in x:
        y, state = feed(neuron, x_t, state, neuron.advance)
        outputs.append(y)
    assert torch.equal(torch.stack(outputs), whole)
    assert state._fields == end._fields == tuple(neuron.states)


@pytest.mark.parametrize("name", [n for n in STEPPED if n not in FUSED])
def test_a_neuron_that_mixes_its_layer_runs_in_the_loop_and_says_why(name):
    neuron = build(name, 5)
    backend, reason = neuron.backend_report("cpu", torch.float64)
    assert backend == "loop" and "neurons" in reason
    with kernels.use("c"), pytest.raises(ConfigError, match="C kernel was asked for, but"):
        feed(neuron, current(neuron, 4, 2, 5))
    x = current(neuron, 4, 2, 5)
    assert neuron.operations(x, feed(neuron, x)[0]).macs > 4 * 5 * 40


@pytest.mark.parametrize("name", WHOLE)
def test_a_neuron_without_a_step_refuses_parts_of_a_sequence(name):
    neuron = build(name, 5)
    x = current(neuron, 30, 2, 5)
    _, state = feed(neuron, x[:10])
    with pytest.raises(ShapeError, match="whole sequence at once"):
        feed(neuron, x[10:], state)
    with pytest.raises(ConfigError, match="cannot be streamed"):
        feed(neuron, x[0], None, neuron.advance)
    assert neuron.backend_report("cpu", torch.float64)[0] == "parallel"


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_a_batch_do_not_meet(name):
    neuron = build(name, 5)
    x = current(neuron, 30, 4, 5)
    whole, _ = feed(neuron, x)
    alone, _ = feed(neuron, x[:, 2:3])
    assert torch.equal(whole[:, 2:3], alone)


@pytest.mark.parametrize("name, backend", BACKENDS)
def test_channels_before_a_spatial_axis(name, backend):
    neuron = build(name, 4)
    x = current(neuron, 20, 2, 4, 3)
    loop, fast = run(neuron, "loop", x), run(neuron, backend, x)
    assert torch.equal(loop[0], fast[0])
    assert_close(loop[2], fast[2], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_places_of_a_spatial_axis_do_not_meet(name):
    neuron = build(name, 4)
    x = current(neuron, 20, 2, 4, 3)
    each = torch.stack([feed(neuron, x[:, :, :, k])[0] for k in range(3)], -1)
    assert torch.equal(feed(neuron, x)[0], each)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_input_keeps_float32_states(name):
    neuron = build(name, 5, torch.float32)
    x = current(neuron, 20, 2, 5, dtype=torch.bfloat16)
    y, state = feed(neuron, x)
    assert y.dtype == torch.bfloat16
    assert all(s.dtype == torch.float32 for s in state)
    assert torch.equal(y.float(), feed(neuron, x.float())[0])


@pytest.mark.parametrize("name", NAMES)
def test_copies_and_descriptions_round_trip(name):
    neuron = build(name, 5, torch.float32)
    x = current(neuron, 20, 2, 5, dtype=torch.float32)
    feed(neuron, x)
    twins = [copy.deepcopy(neuron), pickle.loads(pickle.dumps(neuron))]
    rebuilt = from_dict(NeuronConfig, to_dict(neuron.config)).build(5).eval()
    assert canonical_json(rebuilt.config) == canonical_json(neuron.config)
    rebuilt.load_state_dict(neuron.state_dict())
    for twin in [*twins, rebuilt]:
        assert torch.equal(feed(twin, x)[0], feed(neuron, x)[0])


@pytest.mark.parametrize("name", NAMES)
def test_wrong_inputs_are_named(name):
    neuron = build(name, 5, torch.float32)
    inputs = len(neuron.inputs)
    with pytest.raises(ShapeError, match=r"expected x of shape \[T, B, 5, \.\.\.\], got \[7, 2, 4\]"):
        feed(neuron, torch.zeros(7, 2, 4, inputs))
    with pytest.raises(ShapeError, match="zero length"):
        feed(neuron, torch.zeros(0, 2, 5, inputs))
    with pytest.raises(ShapeError, match="floating-point"):
        feed(neuron, torch.zeros(7, 2, 5, inputs, dtype=torch.int64))
    with pytest.raises(ShapeError, match=f"got {inputs + 1} tensors"):
        feed(neuron, torch.zeros(7, 2, 5, inputs + 1))
    if neuron.states:
        _, state = feed(neuron, torch.zeros(7, 2, 5, inputs))
        with pytest.raises(ShapeError, match="a state belongs to one batch"):
            feed(neuron, torch.zeros(7, 3, 5, inputs), state)


@pytest.mark.parametrize("name", FUSED)
def test_counted_operations_follow_the_graph(name):
    neuron = build(name, 5, torch.float32)
    x = current(neuron, 20, 2, 5, dtype=torch.float32)
    counted = neuron.operations(x, feed(neuron, x)[0])
    per_step = neuron.graph().operations()
    assert counted.macs == per_step.macs * 200 and counted.acs == per_step.acs * 200
    assert counted.state_reads == len(neuron.states) * 200


@pytest.mark.parametrize("name", [n for n in NAMES if "reset" in NEURONS.get(n).options_declared])
def test_detached_reset_changes_gradients_only(name):
    neurons = [build(name, 5, reset=Reset(detach=d)) for d in (False, True)]
    kept, cut = (run(neuron, "c", current(neuron, 60, 2, 5)) for neuron in neurons)
    assert torch.equal(kept[0], cut[0])
    assert not torch.allclose(kept[2][0], cut[2][0])
