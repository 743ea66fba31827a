"""What can be traced, what cannot, and how that is said."""

from __future__ import annotations

import pytest
import torch

from spikeworks.core.errors import TraceError
from spikeworks.kernels import FusedStep, trace_step, use
from spikeworks.kernels.graph import Graph, Node, Ref, simplify
from spikeworks.neurons import LIF, Neuron, Parameter


def test_lif_traces_to_a_handful_of_nodes():
    graph = LIF(4, decay=0.9).graph()
    assert [n.op for n in graph.nodes] == ["mul", "add", "sub", "ge", "cast", "mul", "sub"]
    assert dict(graph.counts()) == {"mul": 1, "add": 3, "compare": 1, "free": 2}
    assert graph.reads() == {"x0", "s0", "p0", "p1"}
    assert str(graph).startswith("v0 = mul(p0, s0)\n")


def _changed_view(x):
    doubled = 2 * x
    view = doubled.view_as(doubled)
    view += 1
    return doubled * x


@pytest.mark.parametrize(
    "step, message",
    [
        (lambda x, v: (x, v + x.sum()), "Operation 'aten.sum' is not elementwise"),
        (lambda x, v: (x, v.cumsum(0)), "Operation 'aten.cumsum' is not elementwise"),
        (lambda x, v: (x, v / x.shape[0]), "depends on the number of neurons"),
        (lambda x, v: (x, v if x.max() > 0 else x), "cannot be traced"),
        (lambda x, v: (x, v * torch.tensor([1.0, 2.0, 3.0])[: len(x)]), "cannot be traced|no argument of it"),
        (lambda x, v: (x, v.add_(x)), "changes one of its inputs in place"),
        (lambda x, v: (x, _changed_view(x)), "not known to the emitters"),
        (lambda x, v: (x,), "returned 1 tensors, expected 1 output and 1 states"),
    ],
)
def test_what_cannot_be_fused_is_named(step, message):
    with pytest.raises(TraceError, match=message):
        trace_step(step, 1, 0)


def _with_a_sum(x, v):
    scaled = 2 * x
    return scaled.sum() + x, v


@pytest.mark.parametrize(
    "step, line",
    [
        (_with_a_sum, "return scaled.sum() + x, v"),
        (lambda x, v: (x, v if x.max() > 0 else x), "(lambda x, v: (x, v if x.max() > 0 else x)"),
    ],
)
def test_the_line_that_cannot_be_fused_is_named(step, line):
    with pytest.raises(TraceError) as caught:
        trace_step(step, 1, 0)
    assert "test_trace.py, line " in str(caught.value) and line in str(caught.value)


def test_a_neuron_that_cannot_be_traced_runs_in_the_loop_and_says_why(caplog):
    class Mixing(Neuron):
        states = ("voltage",)
        threshold = Parameter(1.0)

        def step(self, x, voltage, *, threshold):
            voltage = voltage + x - x.mean(-1, keepdim=True)
            return self.fire(voltage - threshold), voltage

    neuron, x = Mixing(4), torch.rand(6, 2, 4)
    assert neuron(x)[0].shape == x.shape
    backend, reason = neuron.backend_report()
    assert backend == "loop" and "aten.mean" in reason
    neuron(x)
    assert sum("aten.mean" in r.message for r in caplog.records) == 1
    assert neuron.operations(x, x).macs != neuron.operations(x, x).macs  # unknown is not zero


OPERATIONS = {
    "clamp": lambda x: x.clamp(-0.5, 0.7),
    "clamp_min": lambda x: x.clamp(min=0.1),
    "relu": torch.relu,
    "abs": torch.abs,
    "square": torch.square,
    "power": lambda x: x**3,
    "exp": torch.exp,
    "log": lambda x: torch.log(x.abs() + 0.5),
    "sqrt": lambda x: torch.sqrt(x.abs() + 0.5),
    "rsqrt": lambda x: torch.rsqrt(x.abs() + 0.5),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "sin": torch.sin,
    "where": lambda x: torch.where(x > 0.2, x * 2, -x),
    "logical": lambda x: torch.where((x > 0.2) & ~(x > 0.9) | (x < -1), x, 0.5 * x),
    "minimum": lambda x: torch.minimum(x, 0.3 * x + 0.1),
    "maximum": lambda x: torch.maximum(x, -x * 0.5),
    "floor": lambda x: x * torch.floor(3 * x).detach(),
    "round": lambda x: x * torch.round(3 * x).detach(),
    "sign": lambda x: x * torch.sign(x),
    "remainder": lambda x: torch.remainder(x, 0.4).detach() * x,
    "divide": lambda x: x / (1.5 + x.abs()),
    "reciprocal": lambda x: 1.0 / (1.5 + x.abs()),
    "bool": lambda x: x * (x > 0.1),
    "masked_fill": lambda x: x.masked_fill(x > 0.3, 2.0),
    "rsub": lambda x: 1 - x,
    "in_place": lambda x: (2 * x).add_(1.0).mul_(x).detach().clamp_(-1, 1) * x,
    "alpha": lambda x: torch.add(x, x * x, alpha=0.3),
}


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 3e-6)], ids=["f64", "f32"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_agrees_with_torch(name, dtype, tolerance):
    function = OPERATIONS[name]

    def step(x, v):
        y = function(x + 0.25 * v)
        return y, 0.5 * v + y

    x = torch.linspace(-2, 2, 5 * 77, dtype=dtype).reshape(5, 77)
    fused = FusedStep(trace_step(step, 1, 0, dtype), dtype)
    a, b = (x.clone().requires_grad_() for _ in range(2))
    y, (end,) = fused([a], [None], [])
    v, outputs = torch.zeros(77, dtype=dtype), []
    for row in b:
        out, v = step(row, v)
        outputs.append(out)
    expected = torch.stack(outputs)
    torch.testing.assert_close(y, expected, rtol=tolerance, atol=tolerance)
    (y.sum() + end.sum()).backward()
    (expected.sum() + v.sum()).backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=10 * tolerance, atol=10 * tolerance)


def test_nan_and_extremes_pass_as_in_torch():
    def step(x, v):
        return torch.sigmoid(x) + torch.relu(x) + torch.exp(-x.abs()), v

    x = torch.tensor([[float("nan"), -200.0, 200.0, float("inf"), 0.0]])
    y, _ = FusedStep(trace_step(step, 1, 0), torch.float32)([x], [None], [])
    expected, _ = step(x[0], None)
    torch.testing.assert_close(y[0], expected, equal_nan=True)


def test_exponential_is_accurate_to_two_units_in_the_last_place():
    x = torch.linspace(-87, 88, 400_001)
    y, _ = FusedStep(trace_step(lambda x: (torch.exp(x),), 0, 0), torch.float32)([x.unsqueeze(0)], [], [])
    exact = torch.exp(x.double())
    assert ((y[0].double() - exact).abs() / exact).max() < 2.5 * 2**-23


def test_tracing_ignores_what_the_caller_has_set_up():
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t), torch.no_grad():
        assert LIF(2).backend_report()[0] == "c"
    with torch.autocast("cpu", torch.bfloat16):
        assert LIF(2).graph() == LIF(2).graph()


def test_simplify_merges_and_prunes():
    x = Ref(0)
    nodes = (Node("mul", (x, 2.0)), Node("mul", (x, 2.0)), Node("add", (Ref(1), 0.0)), Node("exp", (x,)))
    graph = simplify(Graph(("x",), nodes, (Ref(3), Ref(2))))
    assert graph.nodes == (Node("mul", (x, 2.0)),)
    assert graph.outputs == (Ref(1), Ref(1))


def test_backend_is_forced_by_block_and_variable(monkeypatch):
    neuron = LIF(2)
    assert neuron.backend_report()[0] == "c"
    with use("loop"):
        assert neuron.backend_report() == ("loop", "asked for")
    monkeypatch.setenv("SPIKEWORKS_KERNELS", "loop")
    assert neuron.backend_report() == ("loop", "asked for")
    monkeypatch.setenv("SPIKEWORKS_KERNELS", "lop")
    with pytest.raises(KeyError, match="Did you mean 'loop'"):
        neuron.backend_report()
