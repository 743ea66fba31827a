"""Kernels emitted for GPUs, against the loop: in Triton's interpreter, or on a GPU where there is one."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import re
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.credit import Credit
from spikeworks.core.errors import ConfigError, KernelError, TraceError
from spikeworks.kernels import TracedStep, feedback_triton, run_triton, trace_step
from spikeworks.kernels.emit_triton import LONGEST_CHUNK, Pipeline, choose_pipeline, emit_triton
from spikeworks.kernels.graph import PRIMITIVES, Graph, Node, Ref
from spikeworks.kernels.run_triton import TritonStep, kernels_of, obstacle_to_triton
from spikeworks.neurons import NEURONS, Neuron, config_for

if importlib.util.find_spec("triton") is None:
    pytest.skip("triton is not installed here: make test-triton runs these tests", allow_module_level=True)
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ON_HOST = pytest.mark.skipif(torch.cuda.is_available(), reason="the interpreter is not used where there is a GPU")
NO_MEMORY = Credit(carry=False)
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    """New memory holds NaN, so that an element which a kernel forgets is seen."""

    def poison(make):
        def made(*arguments, **keywords):
            tensor = make(*arguments, **keywords)
            return tensor.fill_(math.nan) if tensor.is_floating_point() else tensor

        return made

    for owner, name in ((torch, "empty"), (torch, "empty_like"), (torch.Tensor, "new_empty")):
        monkeypatch.setattr(owner, name, poison(getattr(owner, name)))


@pytest.fixture
def pipeline(monkeypatch):
    """Set how the kernels run through time, whatever the size."""
    return lambda *values: monkeypatch.setattr(run_triton, "choose_pipeline", lambda *arguments: Pipeline(*values))


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> torch.Tensor:
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return made.to(DEVICE, dtype)


def traceable() -> list[str]:
    def has_graph(name: str) -> bool:
        try:
            config_for(name).build(1).graph()
        except TraceError:
            return False
        return True

    return [name for name in NEURONS.names() if has_graph(name)]


def build(name: str, size: int, dtype: torch.dtype) -> Neuron:
    return config_for(name).build(size, torch.Generator().manual_seed(3)).to(DEVICE, dtype).eval()


def run(neuron: Neuron, backend: str, signals: torch.Tensor, cuts: tuple[int, ...] = ()):
    """Spikes, states, and gradients of a random functional of both, for the signals ``[T, B, N, inputs]``,
    the states before the first step and all parameters."""
    neuron.zero_grad()
    x = signals.clone().requires_grad_()
    state = [
        (noise(*x.shape[1:3], dtype=x.dtype, seed=20 + k) * (0.1 if name != "position" else 0.0)).requires_grad_()
        for k, name in enumerate(neuron.states)
    ]
    now, outputs = neuron.state_class(*state), []
    for part in x.split(list(cuts) or [len(x)]):
        with kernels.use(backend):
            y, now = neuron(part[..., 0] if len(neuron.inputs) == 1 else part.unbind(-1), now)
        outputs.append(y)
    y = torch.cat(outputs)
    loss = (y * noise(*y.shape, dtype=y.dtype, seed=5)).sum() + sum((0.3 * s).sum() for s in now if s.requires_grad)
    loss.backward()
    gradients = [x.grad, *(s.grad for s in state), *(p.grad for p in neuron.parameters())]
    return y.detach(), [s.detach() for s in now], gradients


def assert_equal_runs(found, expected) -> None:
    single = expected[0].dtype == torch.float32
    assert torch.equal(found[0], expected[0])
    assert_close(found[1], expected[1], rtol=1e-5 if single else 1e-10, atol=1e-6 if single else 1e-11)
    for a, b in zip(found[2], expected[2], strict=True):
        if b is None:  # a state that the output does not depend on
            assert a is None or not a.any()
            continue
        assert torch.isfinite(a).all()
        assert (a - b).abs().max() <= (1e-5 if single else 1e-10) * b.abs().max()


# -- laws ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "steps, batch, size, form, dtype",
    [
        (1, 1, 1, (1, 0, 0), torch.float32),
        (5, 1, 7, (2, 2, 1), torch.float64),
        (7, 3, 11, (4, 1, 1), torch.float32),  # 33 neurons are two programs
    ],
    ids=["smallest", "two-ahead-f64", "two-programs"],
)
@pytest.mark.parametrize("name", traceable())
def test_kernel_equals_the_loop(name, steps, batch, size, form, dtype, pipeline):
    pipeline(*form)
    neuron = build(name, size, dtype)
    signals = 0.8 * noise(steps, batch, size, len(neuron.inputs), dtype=dtype) + 0.3
    assert_equal_runs(run(neuron, "triton", signals), run(neuron, "loop", signals))


@pytest.mark.parametrize("steps", [LONGEST_CHUNK, 2 * LONGEST_CHUNK + 3])
def test_the_form_that_is_chosen_equals_the_loop(steps):
    neuron, signals = build("lif", 3, torch.float32), 0.8 * noise(steps, 1, 3, 1, dtype=torch.float32) + 0.3
    assert_equal_runs(run(neuron, "triton", signals), run(neuron, "loop", signals))


@pytest.mark.parametrize("name", ["lif", "tc-lif"])
def test_chunks_fed_with_the_state_equal_the_whole(name, pipeline):
    pipeline(2, 1, 1)
    neuron, signals = build(name, 3, torch.float64), 0.8 * noise(8, 2, 3, 1) + 0.3
    whole, parts = run(neuron, "triton", signals), run(neuron, "triton", signals, cuts=(3, 1, 4))
    assert_equal_runs(parts, whole)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.integers(1, 6), batch=st.integers(1, 3), size=st.integers(1, 17), chunk=st.sampled_from([1, 2, 4]),
    forward=st.integers(1, 3), backward=st.integers(1, 3), single=st.booleans(),
)  # fmt: skip
def test_any_shape_and_form(pipeline, steps, batch, size, chunk, forward, backward, single):
    pipeline(chunk, forward, backward)
    dtype = torch.float32 if single else torch.float64
    neuron, signals = build("lif", size, dtype), 0.8 * noise(steps, batch, size, 1, dtype=dtype) + 0.3
    assert_equal_runs(run(neuron, "triton", signals), run(neuron, "loop", signals))


@pytest.mark.parametrize(
    "credit, form", [(Credit(1), (4, 1, 1)), (Credit(3), (2, 1, 2)), (Credit(7), (1, 2, 2)), (NO_MEMORY, (2, 1, 1))]
)
@pytest.mark.parametrize("name", ["lif", "tc-lif", "gsn", "lmh", "glif", "stochastic-psn"])
def test_cut_credit_equals_the_loop(name, credit, form, pipeline):
    pipeline(*form)
    neuron = build(name, 3, torch.float64)
    neuron.credit = credit
    signals = 0.8 * noise(7, 2, 3, len(neuron.inputs)) + 0.3
    assert_equal_runs(run(neuron, "triton", signals), run(neuron, "loop", signals))


def test_what_is_not_wanted_is_not_computed(pipeline):
    pipeline(2, 1, 1)
    step = TritonStep(trace_step(lambda x, v, w, p, q: (x * p + v, v * p + x, w * q + v), 2, 2), torch.float32)
    x, p, q = noise(5, 3, dtype=torch.float32), torch.tensor(0.5, device=DEVICE), noise(3, dtype=torch.float32)
    y, end = step([x], [None, None], [p, q])
    assert not y.requires_grad and len(end) == 2
    q.requires_grad_()
    _, (_, w) = step([x], [None, x[0]], [p, q])  # neither y nor the first state is used
    w.sum().backward()
    v, w, expected = torch.zeros(3, device=DEVICE), x[0], q.detach().clone().requires_grad_()
    for row in x:
        v, w = v * p + row, w * expected + v
    w.sum().backward()
    assert_close(q.grad, expected.grad)


def test_one_gradient_for_all_steps(pipeline):
    pipeline(2, 1, 1)
    step = TritonStep(trace_step(lambda x, v, p: (x * p + v, v * p + x), 1, 1), torch.float32)
    x, p = noise(5, 3, dtype=torch.float32).requires_grad_(), noise(3, dtype=torch.float32).requires_grad_()
    weights = noise(3, dtype=torch.float32, seed=3)
    y, _ = step([x], [None], [p])
    spread = torch.autograd.grad((y.sum(0) * weights).sum(), [x, p], retain_graph=True)
    assert_close(spread, torch.autograd.grad((y * weights.expand(5, 3).clone()).sum(), [x, p]), rtol=0, atol=0)


def test_several_inputs_and_states_that_change_places(pipeline):
    pipeline(2, 2, 2)

    def step(a, b, v, w, p):
        return v + 2 * a, w, v * p + a * b

    traced = trace_step(step, 2, 1, torch.float64, inputs=2)
    given = [noise(7, 5, seed=k).requires_grad_() for k in range(2)]
    state = [noise(5, seed=2 + k).requires_grad_() for k in range(2)]
    p = noise(5, seed=4).requires_grad_()
    found, expected = TritonStep(traced, torch.float64)(given, state, [p]), []
    v, w = state
    for a, b in zip(*given, strict=True):
        y, v, w = step(a, b, v, w, p)
        expected.append(y)
    assert_close(found, (torch.stack(expected), (v, w)), rtol=0, atol=1e-14)
    weights = noise(7, 5, seed=6)
    leaves = [*given, *state, p]
    gradients = [
        torch.autograd.grad((y * weights).sum() + (end[0] * 0.3).sum() + end[1].sum(), leaves)
        for y, end in (found, (torch.stack(expected), (v, w)))
    ]
    assert_close(*gradients, rtol=1e-12, atol=1e-13)


def test_a_second_derivative_is_refused(pipeline):
    pipeline(2, 1, 1)
    x = noise(3, 2, dtype=torch.float32).requires_grad_()
    y, _ = TritonStep(trace_step(lambda x: (x * x,), 0, 0), torch.float32)([x], [], [])
    (gradient,) = torch.autograd.grad((y * y).sum(), x, create_graph=True)
    with pytest.raises(KernelError, match="first derivatives only"):
        gradient.sum().backward()


def test_a_parameter_of_another_size_is_named():
    step = TritonStep(trace_step(lambda x, p: (x * p,), 0, 1), torch.float32)
    with pytest.raises(KernelError, match=r"shape \[4\], expected \[\] or \[3\]"):
        step([torch.zeros(2, 3)], [], [torch.zeros(4)])


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch warns of itself
def test_torch_compiles_around_the_kernels(pipeline):
    pipeline(2, 1, 1)
    neuron, x = build("plif", 3, torch.float32), 0.8 * noise(5, 2, 3, dtype=torch.float32) + 0.3
    with kernels.use("triton"):
        compiled = torch.compile(neuron, backend="aot_eager", fullgraph=True)
        found = [torch.autograd.grad(call(x)[0].sum(), [*neuron.parameters()]) for call in (compiled, neuron)]
    assert_close(*found, rtol=0, atol=0)


@pytest.mark.parametrize("name, window, feedback", [("plif", 0, True), ("tc-lif", 2, True), ("gsn", 3, False)])
def test_a_recurrent_layer_equals_the_loop(name, window, feedback):
    neuron = config_for(name, **({"shared": False} if name == "gsn" else {})).build(3).to(DEVICE, torch.float64)
    heard = len(neuron.inputs)
    step, dtype = TritonStep(neuron._trace(torch.float64), torch.float64), torch.float64
    x, weight, bias = noise(heard, 5, 2, 3), 0.3 * noise(heard, 3, 3, seed=2), noise(heard, 3, seed=3)
    last = noise(2, 3, seed=4).abs()
    coefficients = {k: c.detach() for k, c in neuron.coefficients(**neuron.values()).items()}
    flat = [c.expand(2, 3).flatten() if c.dim() else c for c in coefficients.values()]
    start = [0.1 * noise(6, seed=5 + k) for k in range(len(neuron.states))]
    start = [None, *start[1:]] if name == "tc-lif" else start
    wanted = tuple(range(len(flat)))
    y, end, currents, borders = feedback_triton.forward(
        list(x), weight, bias, last, [], start, flat, step.key, wanted, True
    )

    leaves = [x.requires_grad_(), *(c.requires_grad_() for c in flat)]
    before = [(torch.zeros(6, dtype=dtype, device=DEVICE) if s is None else s.clone()).requires_grad_() for s in start]
    now, out, outputs = before, last, []
    for t, x_t in enumerate(x.unbind(1)):
        cut = window > 0 and t % window == 0
        now = [s.detach() for s in now] if cut else now
        out = out.detach() if cut or not feedback else out
        drive = [(x_t[k] + torch.nn.functional.linear(out, weight[k], bias[k])).flatten() for k in range(heard)]
        out, *now = neuron.step(*drive, *now, **dict(zip(coefficients, flat, strict=True)))
        out = out.reshape(2, 3)
        outputs.append(out)
    assert_close((y, end), (torch.stack(outputs).detach(), [s.detach() for s in now]), rtol=0, atol=1e-13)

    gy, gend = noise(5, 2, 3, seed=8), [noise(6, seed=9 + k) for k in range(len(now))]
    expected = torch.autograd.grad(
        [torch.stack(outputs), *now], [*leaves, *before], [gy, *gend], allow_unused=True, materialize_grads=True
    )
    gx, grest, totals = feedback_triton.backward(
        currents, weight, [], [c.detach() for c in flat], borders, gy, gend, step.key, wanted, window, feedback
    )
    totals = [total if c.dim() else total.sum() for total, c in zip(totals, flat, strict=True)]
    assert_close([torch.stack(gx), *totals, *grest], list(expected), rtol=1e-10, atol=1e-12)
    for operator in ("launched", "launched_backward", "feedback", "feedback_backward"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"spikeworks::{operator}", "CUDA")


# -- primitives ----------------------------------------------------------------------------

NAN, INF = math.nan, math.inf
SPECIAL = [0.0, -0.0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 0.3, -0.7, 1.0, -1.0, 3.0, -4.0, 1e-6, -1e-6]
EXTREME = [NAN, INF, -INF, 8388609.0, -8388607.5, 60.0, -80.0, 88.5, -104.0, 1e30, -1e30, 1e-30]
VALUES = torch.tensor(SPECIAL + EXTREME, dtype=torch.float64)
OF_TRUTH = {"and", "or", "not", "cast"}
EXACT = {"add", "sub", "mul", "div", "neg", "abs", "floor", "ceil", "round", "trunc", "minimum", "maximum"}
TORCH = {"and": "logical_and", "or": "logical_or", "not": "logical_not"}
TERNARY = {"where"}
BINARY = {"add", "sub", "mul", "div", "pow", "minimum", "maximum", "ge", "gt", "le", "lt", "eq", "ne", "and", "or"}


def without_gradient(graph: Graph) -> TracedStep:
    count = len(graph.inputs)
    return TracedStep(graph, Graph(graph.inputs, (), (0.0,) * count), inputs=count, states=0, parameters=0)


def evaluate(op: str, *arguments: torch.Tensor) -> torch.Tensor:
    """One primitive in a kernel of its own; truth values go in and come out as 0 and 1."""
    names = tuple(f"x{k}" for k in range(len(arguments)))
    nodes, refs = [], [Ref(k) for k in range(len(names))]
    for k in range(len(names)):
        if op in OF_TRUTH or (op == "where" and k == 0):
            nodes.append(Node("ne", (Ref(k), 0.0)))
            refs[k] = Ref(len(names) + len(nodes) - 1)
    nodes.append(Node(op, tuple(refs)))
    if PRIMITIVES[op].boolean:
        nodes.append(Node("cast", (Ref(len(names) + len(nodes) - 1),)))
    graph = Graph(names, tuple(nodes), (Ref(len(names) + len(nodes) - 1),))
    step = TritonStep(without_gradient(graph), arguments[0].dtype)
    return step([a.reshape(1, -1).contiguous().to(DEVICE) for a in arguments], [], [])[0][0].cpu()


@DTYPES
@pytest.mark.parametrize("op", sorted(PRIMITIVES))
def test_every_primitive_agrees_with_torch(op, dtype):
    values = (VALUES[VALUES.ne(0) | ~VALUES.signbit()] if op == "pow" else VALUES).to(dtype)  # -0 counts as 0
    pairs = torch.cartesian_prod(values, values)
    chosen = torch.tensor([0.0, 1.0, NAN, -2.0], dtype=dtype).repeat(len(pairs) // 4)
    arguments = [*pairs.T] if op in BINARY else [chosen, *pairs.T] if op in TERNARY else [values]
    found = evaluate(op, *arguments)
    if op == "cast":
        expected = (values != 0).to(dtype)
    elif op == "where":
        expected = torch.where(chosen != 0, *pairs.T)
    else:
        expected = getattr(torch, TORCH.get(op, op))(*arguments).to(dtype)
    exact = op in EXACT or op in OF_TRUTH or PRIMITIVES[op].boolean
    tolerance = (
        {"rtol": 0.0, "atol": 0.0} if exact else {"rtol": 1e-6 if dtype == torch.float32 else 5e-14, "atol": 1e-37}
    )
    assert_close(found, expected, equal_nan=True, **tolerance)


@DTYPES
def test_constants_are_exact_in_the_dtype(dtype):
    def step(x):
        return (torch.where(x > 1e-300, x * 0.1 + 1 / 3, x - 1e-7),)

    x = noise(1, 40, dtype=dtype)
    y, _ = TritonStep(trace_step(step, 0, 0, dtype), dtype)([x], [], [])
    assert torch.equal(y, step(x)[0])


# -- choices -------------------------------------------------------------------------------


def test_long_chunks_for_few_values_and_more_loads_ahead_for_few_neurons():
    small, large = (build(name, 1, torch.float32)._trace(torch.float32) for name in ("lif", "pmsn"))
    assert choose_pipeline(small, 4, 1000, 1 << 20) == Pipeline(16, 1, 1)
    assert choose_pipeline(small, 4, 1000, 4096) == Pipeline(16, 4, 2)
    assert choose_pipeline(small, 4, 4, 1 << 20) == Pipeline(4, 0, 0)
    assert choose_pipeline(small, 8, 1000, 1 << 20).chunk == 8
    assert choose_pipeline(large, 4, 1000, 1 << 20).chunk == 4
    assert choose_pipeline(small, 4, 1000, 1 << 29).chunk == 2  # places inside a chunk fit 32 bits


def test_layers_of_one_kind_share_their_kernels():
    first, second = (
        TritonStep(build("lif", size, torch.float32)._trace(torch.float32), torch.float32) for size in (2, 3)
    )
    form = first.pipeline(100, 64)
    assert kernels_of(first, form, (0,)) is kernels_of(second, form, (0,))
    assert kernels_of(first, form, ()) is not kernels_of(second, form, (0,))


@ON_HOST
def test_obstacles_are_named(monkeypatch):
    host, gpu = torch.device("cpu"), torch.device("cuda")
    assert obstacle_to_triton(host, torch.float32, None) is None
    assert "float32 and float64" in (obstacle_to_triton(host, torch.float16, None) or "")
    assert obstacle_to_triton(host, torch.float32, "it mixes neurons") == "it mixes neurons"
    monkeypatch.setattr(run_triton, "_import", lambda: "the package triton is not installed")
    assert obstacle_to_triton(host, torch.float32, None) == "the package triton is not installed"
    with pytest.raises(KernelError, match="pip install triton"):
        kernels_of(TritonStep(trace_step(lambda x: (x,), 0, 0), torch.float32), Pipeline(1, 0, 0), ())
    monkeypatch.undo()
    monkeypatch.delenv("TRITON_INTERPRET")
    assert "the input is on cpu" in (obstacle_to_triton(host, torch.float32, None) or "")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert "8.0 and later, the device has 7.5" in (obstacle_to_triton(gpu, torch.float32, None) or "")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert obstacle_to_triton(gpu, torch.float32, None) is None
    with kernels.use("triton"), pytest.raises(ConfigError, match="the input is on cpu"):
        build("lif", 2, torch.float32)(torch.zeros(3, 1, 2))


# -- the compiler, which needs no GPU ------------------------------------------------------


def compiled(text: str, name: str, dtype: torch.dtype, absent: str, window: int = 0) -> str:
    """PTX of a kernel for compute capability 9.0; arguments that match ``absent`` are None."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.compiler import compile as compile_kernel
    from triton.runtime.jit import JITFunction

    function = JITFunction(getattr(run_triton._module(text), name).fn, do_not_specialize=["T", "M", "G"])
    signature, constants = {}, {}
    for place, argument in enumerate(function.arg_names):
        if argument in ("T", "M", "G"):
            signature[argument] = "i32"
        elif argument.isupper() or re.fullmatch(absent, argument):
            signature[argument] = "constexpr"
            constants[place,] = {"BLOCK": 32, "WINDOW": window}.get(argument, argument.isupper() or None)
        else:
            signature[argument] = "*fp32" if dtype == torch.float32 else "*fp64"
    options = {"num_warps": 1, "num_stages": 1, "enable_fp_fusion": False}
    target = GPUTarget("cuda", 90, 32)
    return compile_kernel(ASTSource(function, signature, constants), target=target, options=options).asm["ptx"]


@ON_HOST
@pytest.mark.parametrize("name", ["lif", "tc-lif", "dh-lif"])
def test_kernels_compile_for_a_gpu_and_load_what_they_should(name, monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    step = build(name, 1, torch.float32)._trace(torch.float32)
    text = emit_triton(step, torch.float32, Pipeline(4, 2, 2), tuple(range(step.parameters)))
    forward = compiled(text, "forward", torch.float32, "s._in")
    backward = compiled(text, "backward", torch.float32, "a._in|a._out|total._in")
    # a queue that loses its values in the compiler would lose their loads with them
    assert forward.count("ld.global") == 4 * step.inputs + step.parameters
    assert forward.count("st.global") == 4 + 2 * step.states
    assert backward.count("ld.global") == 4 * (step.inputs + 1) + step.states + step.parameters
    assert backward.count("st.global") == 4 * step.inputs + step.parameters
    assert "fma" not in forward + backward and "bar.sync" not in forward + backward
    assert not re.search(r"\.shared", forward + backward)
    # credit that is cut costs nothing where it is not, and no access to memory where it is
    assert "rem.s32" not in backward
    cut = compiled(text, "backward", torch.float32, "a._in|a._out|total._in", window=3)
    assert cut.count("ld.global") == backward.count("ld.global")


@ON_HOST
@DTYPES
def test_every_primitive_compiles_for_a_gpu(dtype, monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    nodes = [Node("lt", (Ref(0), Ref(1)))]
    numbers = [Ref(0), Ref(1)]
    for op in sorted(PRIMITIVES):
        first, second = (Ref(2), Ref(2)) if op in OF_TRUTH else (Ref(0), Ref(1))
        nodes.append(Node(op, (Ref(2), first, second) if op in TERNARY else (first, second)[: 1 + (op in BINARY)]))
        result = Ref(1 + len(nodes))
        if PRIMITIVES[op].boolean:
            nodes.append(Node("cast", (result,)))
            result = Ref(1 + len(nodes))
        numbers.append(result)
    for value in numbers:
        nodes.append(Node("add", (Ref(1 + len(nodes)), value)))
    graph = Graph(("x0", "x1"), tuple(nodes), (Ref(1 + len(nodes)),))
    ptx = compiled(emit_triton(without_gradient(graph), dtype, Pipeline(1, 0, 0), ()), "forward", dtype, "border_out")
    if dtype == torch.float32:
        assert "sqrt.rn.f32" in ptx and "div.rn.f32" in ptx and "min.NaN.f32" in ptx


# -- the benchmark -------------------------------------------------------------------------


@ON_HOST
def test_the_benchmark_checks_itself_where_no_gpu_is(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    bench = importlib.import_module("bench_gpu")
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py"])
    with pytest.raises(SystemExit, match="measures on a CUDA device"):
        bench.main()
    monkeypatch.setattr(sys, "argv", f"bench_gpu.py --interpret --rounds 1 --neurons lif --out {tmp_path}".split())
    bench.main()
    assert "left out: SpikingJelly: its GPU kernels need a GPU" in capsys.readouterr().out
    layers = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["layers"]
    assert [tuple(layer["shape"]) for layer in layers] == list(bench.TINY)
    assert {"lif, kernels", "lif, device", "lif, called", "lif, loop"} <= layers[0]["times"].keys()
