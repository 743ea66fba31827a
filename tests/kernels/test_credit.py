"""Cut credit in kernels and recurrent layers, against plain programs; steps without memory."""

from __future__ import annotations

import functools
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.credit import Credit, Credited, set_credit
from spikeworks.kernels import FusedStep, TorchStep, trace_step
from spikeworks.kernels.memoryless import clocks, memoryless
from spikeworks.kernels.run_triton import TritonStep
from spikeworks.layers import Recurrent
from spikeworks.models import StackConfig
from spikeworks.neurons import LIF, Neuron, Parameter, config_for


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Gated(Neuron):
    """A membrane whose leak is opened by a second input."""

    inputs = ("current", "gate")
    states = ("voltage",)
    decay = Parameter(0.9)
    threshold = Parameter(1.0)

    def step(self, current, gate, voltage, *, decay, threshold):
        charged = decay * torch.sigmoid(gate) * voltage + current
        fired = self.fire(charged - threshold)
        return fired, charged - threshold * fired


KINDS = {
    "lif": lambda size: config_for("lif", trainable=("decay", "threshold"), per_channel=("decay",)).build(size),
    "lmh": lambda size: config_for("lmh").build(size),  # its rest is made of a parameter
    "glif": lambda size: config_for("glif").build(size),  # has an input of its own
    "gated": Gated,
    "gsn": lambda size: config_for("gsn", shared=False).build(size, torch.Generator().manual_seed(0)),
    "dh-lif": lambda size: config_for("dh-lif").build(size, torch.Generator().manual_seed(0)),
}


@functools.cache
def neuron_of(kind: str, size: int) -> Neuron:
    return KINDS[kind](size).double().eval()


def layer(kind: str, size: int, **options) -> Recurrent:
    return Recurrent(neuron_of(kind, size), generator=torch.Generator().manual_seed(2), **options).double()


def by_hand(module: Recurrent, x: list[Tensor], credit: Credit, state=None):
    """A recurrent layer as a plain program, one call of the neurons a step."""
    neuron, count = module.neuron, len(module.neuron.inputs)
    weights, biases = module.weight.chunk(count), module.synapse.bias.chunk(count)
    neuron.credit = Credit()
    y = torch.zeros_like(x[0][0]) if state is None else state.output
    now = None if state is None else state.neuron
    outputs = []
    for t in range(len(x[0])):
        cut = credit.window is not None and t % credit.window == 0
        heard = y.detach() if cut or not credit.feedback else y
        if not credit.carry:
            heard = torch.zeros_like(y)
            rest = neuron.rest(x[0])
            now = rest if now is None or "position" not in neuron.states else rest._replace(position=now.position)
        elif cut:
            now = [s.detach() for s in (neuron.rest(x[0]) if now is None else now)]
        drive = tuple(one[t] + heard @ w.t() + b for one, w, b in zip(x, weights, biases, strict=True))
        with kernels.use("loop"):
            y, now = neuron.advance(drive[0] if count == 1 else drive, now)
        outputs.append(y)
    return torch.stack(outputs), now


def values_and_gradients(module: Recurrent, y: Tensor, x: list[Tensor]) -> list[Tensor]:
    leaves = [*x, *module.parameters()]
    loss = (y * noise(*y.shape, seed=5)).sum()
    return [y.detach(), *torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)]


def currents(kind: str, steps: int, batch: int, size: int) -> list[Tensor]:
    count = len(neuron_of(kind, size).inputs)
    return [(0.8 * noise(steps, batch, size, seed=10 + k) + 0.4).requires_grad_() for k in range(count)]


# -- recurrent layers ----------------------------------------------------------------------


@given(
    steps=st.integers(1, 9), batch=st.integers(1, 3), size=st.sampled_from([1, 4, 9]),
    window=st.none() | st.integers(1, 10), feedback=st.booleans(), kind=st.sampled_from(["lif", "gated"]),
)  # fmt: skip
def test_a_recurrent_layer_equals_a_plain_program(kind, steps, batch, size, window, feedback):
    module, x, credit = layer(kind, size), currents(kind, steps, batch, size), Credit(window, feedback=feedback)
    expected = values_and_gradients(module, by_hand(module, x, credit)[0], x)
    for form in ("c", "loop"):
        set_credit(module, credit)
        with kernels.use(form):
            y, _ = module(x[0] if len(x) == 1 else tuple(x))
        assert_close(values_and_gradients(module, y, x), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("options", [{}, {"zero_diagonal": True, "start": "orthogonal"}], ids=["plain", "sparch"])
@pytest.mark.parametrize("credit", [Credit(), Credit(2), Credit(carry=False), Credit(feedback=False)])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_neuron_hears_itself(kind, credit, options):
    module, x = layer(kind, 4, **options), currents(kind, 7, 2, 4)
    signal = x[0] if len(x) == 1 else tuple(x)
    expected = values_and_gradients(module, by_hand(module, x, credit)[0], x)
    assert any(g.any() for g in expected[1:])
    set_credit(module, credit)
    for form in ("c", "loop"):
        with kernels.use(form):
            y, state = module(signal)
            first, middle = module(tuple(one[:4] for one in x) if len(x) > 1 else signal[:4])
            second, end = module(tuple(one[4:] for one in x) if len(x) > 1 else signal[4:], middle)
        assert_close(values_and_gradients(module, y, x), expected, rtol=1e-9, atol=1e-11)
        assert torch.equal(torch.cat([first, second]), y)
        assert_close(list(end.neuron), list(state.neuron))


@pytest.mark.parametrize("kind", ["lif", "gated"])
def test_credit_in_space_alone_is_diagonal_in_recurrent_layers_too(kind):
    module, (x, *more) = layer(kind, 4), currents(kind, 6, 1, 4)
    with torch.no_grad():
        module.synapse.weight.mul_(3.0)
    set_credit(module, Credit())
    whole, _ = module((x, *more) if more else x)
    set_credit(module, Credit(window=1))
    y, _ = module((x, *more) if more else x)
    assert torch.equal(y, whole) and whole.any()
    reached = torch.stack(
        [torch.autograd.grad(y[t].sum(), x, retain_graph=True)[0].abs().sum((1, 2)) for t in range(6)]
    )
    assert reached.diagonal().any() and not (reached - reached.diagonal().diag()).any()
    through = torch.stack(
        [torch.autograd.grad(whole[t].sum(), x, retain_graph=True)[0].abs().sum((1, 2)) for t in range(6)]
    )
    assert through.tril(-1).any()


@pytest.mark.parametrize("form", ["c", "loop"])
def test_without_memory_nothing_is_heard(form):
    module, (x,) = layer("lif", 4), currents("lif", 8, 2, 4)
    set_credit(module, Credit(carry=False))
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    with kernels.use(form):
        y, mixed = module(x)[0], module(x[order])[0]
    assert torch.equal(y[order], mixed)
    gradients = torch.autograd.grad(y.sum(), [module.synapse.weight, module.synapse.bias], allow_unused=True)
    assert gradients[0] is None and gradients[1].any()


def test_one_weight_for_each_input():
    module = layer("gsn", 5, start="orthogonal", zero_diagonal=True)
    assert module.synapse.weight.shape == (10, 5) and module.synapse.bias.shape == (10,)
    assert not module.weight.unflatten(0, (2, 5)).diagonal(dim1=1, dim2=2).any()
    for part in layer("gsn", 5, start="orthogonal").weight.split(5):
        assert_close(part @ part.t(), torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-6)
    x = currents("gsn", 6, 2, 5)
    y, _ = module(tuple(x))
    extra = module.operations(tuple(x), y).acs - module.neuron.operations(tuple(x), y).acs
    assert extra == y[:-1].sum().item() * 4 * 2


# -- kernels -------------------------------------------------------------------------------


@functools.cache
def stepped():
    """Two inputs, two states that change places, a parameter; nothing of a spike, so that gradients are exact."""

    def step(a, b, v, w, p):
        return v + torch.sin(2 * a), torch.sin(w) * w + a, torch.sin(v) * p + a * b

    return step, trace_step(step, 2, 1, torch.float64, inputs=2)


@given(steps=st.integers(1, 70), neurons=st.integers(1, 70), window=st.integers(1, 72), torch_form=st.booleans())
def test_kernels_cut_where_a_plain_program_does(steps, neurons, window, torch_form):
    step, traced = stepped()
    inputs = [0.3 * noise(steps, neurons, seed=k).requires_grad_() for k in range(2)]
    state = [0.3 * noise(neurons, seed=2 + k).requires_grad_() for k in range(2)]
    p = (0.5 * noise(neurons, seed=4)).requires_grad_()
    form = TorchStep(traced) if torch_form else FusedStep(traced, torch.float64)
    y, end = form(inputs, state, [p], window)
    expected, (v, w) = [], state
    for t, (a, b) in enumerate(zip(*inputs, strict=True)):
        if t % window == 0:
            v, w = v.detach(), w.detach()
        out, v, w = step(a, b, v, w, p)
        expected.append(out)
    found = []
    for out, last in ((y, end), (torch.stack(expected), (v, w))):
        loss = (out * noise(steps, neurons, seed=6)).sum() + last[0].sum() - last[1].sum()
        found.append(torch.autograd.grad(loss, [*inputs, p, *state], allow_unused=True))
    assert found[0][3:] == found[1][3:] == (None, None)  # credit ends where the call begins
    assert_close(found[0][:3], found[1][:3], rtol=1e-10, atol=1e-12)


def test_cut_credit_needs_no_second_kernel():
    fused = FusedStep(stepped()[1], torch.float64)
    text = fused.source((0,))
    assert "int64_t window" in text and fused.source((0,)) == text


@pytest.mark.parametrize("memory", ["full", "packed"])
@pytest.mark.parametrize("recurrent", [(), (True, False)], ids=["forward", "recurrent"])
def test_networks_that_compute_again_cut_as_well(memory, recurrent):
    config = StackConfig(hidden=(8, 8), recurrent=recurrent, neuron=LIF.Config(trainable=("decay",)))
    network = config.build(5, 3, torch.Generator().manual_seed(0)).double()

    def gradients(memory: str, credit: Credit) -> list[Tensor]:
        set_credit(network, credit)
        for block in network.blocks:
            block.memory = memory
        loss = network(2 * noise(9, 2, 5).abs())[0].square().sum()
        return list(torch.autograd.grad(loss, [*network.parameters()], allow_unused=True, materialize_grads=True))

    found = {}
    for credit in (Credit(), Credit(1), Credit(4), Credit(carry=False), Credit(feedback=False)):
        with kernels.use("loop"):
            expected = gradients("full", credit)
        found[credit] = gradients(memory, credit)
        assert_close(found[credit], expected, rtol=1e-9, atol=1e-11)
    same = [
        (a, b) for a, b in itertools.combinations(found, 2)
        if all(torch.allclose(g, h) for g, h in zip(found[a], found[b], strict=True))
    ]  # fmt: skip
    assert same == ([] if recurrent else [(Credit(), Credit(feedback=False))])


def test_backward_runs_a_block_again_with_the_credit_that_it_had():
    def gradient(later: Credit) -> list[Tensor]:
        network = StackConfig(hidden=(8,), memory="packed").build(5, 3, torch.Generator().manual_seed(0)).double()
        set_credit(network, Credit(window=1))
        loss = network(2 * noise(9, 2, 5).abs())[0].square().sum()
        set_credit(network, later)
        loss.backward()
        assert all(m.credit == later for m in network.modules() if isinstance(m, Credited))
        return [p.grad for p in network.parameters()]

    assert_close(gradient(Credit()), gradient(Credit(window=1)), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("kind", ["lif", "recurrent"])
def test_torch_compiles_each_credit(kind):
    module = LIF(4).double() if kind == "lif" else layer("lif", 4)
    x = (noise(7, 2, 4) + 0.5).requires_grad_()
    torch.compiler.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    for credit in (Credit(), Credit(2), Credit(3), Credit(carry=False), Credit(1, feedback=False), Credit(2)):
        set_credit(module, credit)
        pairs = [call(x) for call in (compiled, module)]
        assert torch.equal(pairs[0][0], pairs[1][0])
        assert_close(*[torch.autograd.grad((y * noise(7, 2, 4, seed=3)).sum(), x) for y, _ in pairs], rtol=0, atol=0)


# -- steps without memory ------------------------------------------------------------------


def test_clocks_follow_from_themselves_alone():
    def step(x, count, phase, other, voltage, copied, p):
        return x + phase, count + 1.0, phase + 0.5 * count, other * p, voltage + x, voltage

    assert clocks(trace_step(step, 5, 1)) == (0, 1)


def test_a_step_without_memory_has_no_states():
    neuron = LIF(3)
    traced = neuron._trace(torch.float32)
    assert not isinstance(traced, str)
    still = memoryless(traced, ())
    assert (still.inputs, still.states, still.parameters) == (1, 0, traced.parameters)
    assert still.binary and len(still.forward.outputs) == 1
    assert memoryless(traced, (0,)).parameters == traced.parameters + 1
    assert "s0" not in TritonStep(still, torch.float32).source().replace("places0", "")


@pytest.mark.parametrize("form", ["c", "torch"])
def test_what_depends_on_rest_alone_is_computed(form):
    """Nodes that become constants of every kind of primitive."""

    def step(x, v, w):
        still = torch.exp(v) + torch.sigmoid(w) + torch.minimum(v, w) + torch.where(v > w, v, 1.0 - w) / (1.0 + v)
        return x * still, v + x, torch.tanh(w) + x

    still = memoryless(trace_step(step, 2, 0, torch.float64), ())
    x = noise(5, 3).requires_grad_()
    y, end = (FusedStep(still, torch.float64) if form == "c" else TorchStep(still))([x], [], [])
    assert end == ()
    assert_close(y, 2.5 * x, rtol=1e-14, atol=0)
    assert_close(torch.autograd.grad(y.sum(), x)[0], torch.full_like(x, 2.5), rtol=1e-14, atol=0)


def test_drawn_spikes_take_the_same_draws_in_every_credit():
    neuron = config_for("stochastic-psn", window=3).build(4).double()
    x = (noise(9, 2, 4) * 2).requires_grad_()
    for credit in (Credit(), Credit(1), Credit(4), Credit(carry=False)):
        neuron.credit, found = credit, []
        for form in ("auto", "loop"):
            neuron.generator = torch.Generator().manual_seed(1)
            with kernels.use(form):
                y, _ = neuron(x)
            found.append(
                [y.detach(), *torch.autograd.grad((y * noise(9, 2, 4, seed=2)).sum(), [x, *neuron.parameters()])]
            )
        assert_close(*found, rtol=1e-10, atol=1e-12)


def test_where_credit_is_cut_at_single_steps_no_parallel_form_is_chosen(monkeypatch):
    neuron = config_for("sliding-psn").build(4)
    monkeypatch.setattr(kernels.policy, "_obstacle_to_c", lambda *arguments: "there is no compiler")
    assert neuron.backend_report()[0] == "parallel"
    neuron.credit = Credit(window=64)
    assert neuron.backend_report()[0] == "parallel"
    for credit in (Credit(window=2), Credit(carry=False)):
        neuron.credit = credit
        backend, reason = neuron.backend_report()
        assert backend == "torch" and reason.endswith("in parallel no credit can be cut at single steps")


def test_binary_spikes_keep_their_bits_without_memory():
    from spikeworks.kernels.marks import bits_of

    neuron = LIF(16)
    neuron.credit = Credit(carry=False)
    with torch.no_grad():
        y, _ = neuron(3 * noise(40, 8, 16).float())
    packed = bits_of(y)
    assert packed is not None and packed.shape == y.shape
