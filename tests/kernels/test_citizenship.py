"""Kernels among torch's own tools: compiled, exported, under autocast, copied, in several processes."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.errors import ConfigError, KernelError
from spikeworks.core.state import detach, leaves
from spikeworks.kernels.run import FusedStep
from spikeworks.layers import Recurrent
from spikeworks.models import ConvConfig, Network, StackConfig
from spikeworks.models.flat import FlatState
from spikeworks.neurons import Neuron, Parameter, Reset, Surrogate, config_for

# torch's own: it makes an instance of every autograd function that it compiles
pytestmark = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def current(*shape: int) -> Tensor:
    return 0.8 * torch.randn(*shape, generator=seeded(1), dtype=torch.float64) + 0.3


def neuron(name: str, size: int = 5, **values) -> Neuron:
    return config_for(name, **values).build(size, seeded()).double()


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


def recurrent(size: int = 5) -> Recurrent:
    return Recurrent(neuron("alif", size), generator=seeded()).double()


def stack(**fields) -> Network:
    return StackConfig(hidden=(8, 6), **fields).build(4, 3, seeded()).double()


def results(run, module: nn.Module, x: Tensor, state=None) -> list[Tensor | None]:
    """Output, state and gradients of one call, and the output without autograd."""
    module.zero_grad()
    x = x.clone().requires_grad_()
    y, after = run(x, state)
    after = [s for _, s in leaves(after)]
    (
        (y * torch.linspace(0, 1, y.numel(), dtype=y.dtype).reshape(y.shape)).sum() + sum(map(torch.sum, after))
    ).backward()
    with torch.no_grad():
        inferred, _ = run(x, state)
    return [y.detach(), inferred, *(s.detach() for s in after), x.grad, *(p.grad for p in module.parameters())]


# -- operators ---------------------------------------------------------------------------------


@pytest.mark.parametrize("differentiate", [False, True])
def test_operators_keep_the_rules_of_torch(differentiate):
    lif = neuron("lif", 8)
    lif(current(2, 1, 8))
    fused: FusedStep = lif._forms["c", torch.float64]
    x, values, wanted = current(70, 16), [torch.tensor(0.9).double(), torch.rand(16).double()], [0, 1]
    arguments = ([x], [None], values, fused.key, wanted, differentiate, True)
    torch.library.opcheck(torch.ops.spikeworks.fused.default, arguments)
    y, _, borders, bits = torch.ops.spikeworks.fused(*arguments)
    assert bits.shape == (70, 2) and borders.shape == (-(-70 // fused.tiling.chunk) * differentiate, 1, 16)
    assert torch.equal(bits[..., None] >> torch.arange(8, dtype=torch.uint8) & 1, y.reshape(70, 2, 8).to(torch.uint8))
    weight, last = torch.rand(8, 8).double(), torch.zeros(2, 8).double()
    around = (
        [current(7, 2, 8)] * 2,
        torch.stack([weight, -weight]),
        weight[:2],
        last,
        [],
        [torch.rand(16).double()],
        values,
    )
    pair = Gated(8).double()
    pair((current(2, 1, 8), current(2, 1, 8)))
    key = pair._forms["c", torch.float64].key
    torch.library.opcheck(torch.ops.spikeworks.feedback.default, (*around, key, wanted, differentiate))
    if differentiate:
        backward = ([x], values, borders, torch.rand_like(y), [None], fused.key, wanted, 3)
        torch.library.opcheck(torch.ops.spikeworks.fused_backward.default, backward)
        y, _, currents, borders = torch.ops.spikeworks.feedback(*around, key, wanted, True)
        gradients = (currents, around[1], [], values, borders, torch.rand_like(y), [None])
        torch.library.opcheck(torch.ops.spikeworks.feedback_backward.default, (*gradients, key, wanted, 3, False))


def test_equal_steps_share_a_key():
    one, other, third = neuron("lif"), neuron("lif", 9, decay=0.5), neuron("lif", gain="one_minus_decay")
    for module in (one, other, third):
        module(current(2, 1, module.size))
    keys = [module._forms["c", torch.float64].key for module in (one, other, third)]
    assert keys[0] == keys[1] != keys[2]


def test_a_graph_outlives_the_module_it_came_from():
    x = current(30, 2, 5)

    def recorded():
        module = neuron("lif", surrogate=Surrogate(kind="gaussian", width=0.37))
        return make_fx(lambda x: module(x)[0])(x), module(x)[0], module(-x)[0]

    graph, *expected = recorded()
    gc.collect()
    assert "spikeworks.fused" in graph.code
    assert torch.equal(graph(x), expected[0]) and torch.equal(graph(-x), expected[1])


# -- torch.compile -----------------------------------------------------------------------------


def as_compiled(module: nn.Module, backend="aot_eager", **options):
    torch.compiler.reset()
    return torch.compile(module, fullgraph=True, backend=backend, **options)


def recording(graphs: list):
    """A compiler that keeps the graphs it gets and runs them as they are."""

    def compiler(graph, examples):
        graphs.append(graph)
        return graph.forward

    return compiler


MODULES = {
    "feature maps": (lambda: neuron("lif", per_channel=("decay",), trainable=("decay",)), (9, 2, 5, 3)),
    "inner axis": (lambda: neuron("pmsn", 3, compartments=2), (5, 2, 3)),
    "recurrent": (recurrent, (9, 2, 5)),
    "network": (lambda: stack(norm="batch", recurrent=(True, False)), (9, 2, 4)),
    "little memory": (lambda: stack(conv=ConvConfig(kernel=3), memory="packed"), (9, 2, 4)),
}


@pytest.mark.parametrize("name", MODULES)
def test_one_compiled_graph_equals_eager(name):
    build, shape = MODULES[name]
    module = build()
    compiled, x = as_compiled(module), current(*shape)
    assert_close(results(compiled, module, x), results(module, module, x), rtol=1e-9, atol=1e-10)
    _, state = module(x)
    assert_close(compiled(x, detach(state)), module(x, detach(state)))
    assert type(compiled(x)[1]) is type(state)


@pytest.mark.parametrize("name, backend", [("tc-lif", "loop"), ("sliding-psn", "parallel")])
def test_other_forms_compile_too(name, backend):
    module, x = neuron(name), current(4, 2, 5)
    with kernels.use(backend):
        assert_close(results(as_compiled(module), module, x), results(module, module, x), rtol=1e-9, atol=1e-10)


def test_a_compiled_function_tells_neurons_apart():
    graphs, x = [], current(9, 2, 5).requires_grad_()
    torch.compiler.reset()
    compiled = torch.compile(lambda module, x: module(x)[0], fullgraph=True, backend=recording(graphs))
    several = [neuron("lif"), neuron("lif", surrogate=Surrogate(kind="sigmoid")), neuron("lif", gain="one_minus_decay")]
    for module in (*several, several[0]):
        (found,) = torch.autograd.grad(compiled(module, x).square().sum(), x)
        (expected,) = torch.autograd.grad(module(x)[0].square().sum(), x)
        assert torch.equal(found, expected)
    assert len(graphs) == 3


def test_sizes_may_change_without_another_graph():
    graphs, module = [], neuron("lif")
    compiled = as_compiled(module, recording(graphs), dynamic=True)
    for shape in ((9, 2, 5, 4), (70, 3, 5, 6), (33, 7, 5, 3)):
        assert torch.equal(compiled(current(*shape))[0], module(current(*shape))[0])
    assert len(graphs) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_inductor_equals_eager():
    module, x = stack(norm="batch", recurrent=(True, False)), current(40, 3, 4)
    compiled = as_compiled(module, "inductor")
    assert_close(results(compiled, module, x), results(module, module, x), rtol=1e-8, atol=1e-9)


# -- torch.export ------------------------------------------------------------------------------

ELSEWHERE = """
import sys, torch
program, given, expected = (torch.export.load(sys.argv[1]).module(), *torch.load(sys.argv[2]))
state, outputs = given[1:], []
for x in given[0]:
    output, *state = program(x, *state)
    outputs.append(output)
torch.testing.assert_close(outputs, expected)
assert "spikeworks" not in sys.modules
"""


def elsewhere(folder: Path, program: torch.export.ExportedProgram, given: list, expected: list[Tensor]) -> None:
    """A new process without spikeworks feeds the saved program the inputs ``given[0]``, one after the other."""
    torch.export.save(program, folder / "program.pt2")
    torch.save((given, expected), folder / "data.pt")
    command = [sys.executable, "-c", ELSEWHERE, str(folder / "program.pt2"), str(folder / "data.pt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr


def test_an_exported_step_streams_where_spikeworks_is_not(tmp_path):
    network, x = stack(recurrent=(True, False)).eval(), current(6, 2, 4).unsqueeze(1)
    flat = FlatState(network, x[0])
    with torch.no_grad():
        _, *state = flat(x[0])
        program = torch.export.export(flat, (x[0], *state))
        outputs, now = [], state
        for x_t in x:
            output, *now = flat(x_t, *now)
            outputs.append(output)
        assert torch.equal(outputs[-1], network(torch.cat([x[0], *x]))[0])
    assert all("spikeworks" not in str(node.target) for node in program.graph.nodes)
    assert flat.names[0] == "blocks.0.neuron.voltage" and len(flat.names) == len(state)
    elsewhere(tmp_path, program, [list(x), *state], outputs)


@pytest.mark.parametrize("differentiable", [False, True])
def test_an_exported_sequence_takes_any_batch(differentiable):
    network, x = stack(conv=ConvConfig(kernel=3)).eval(), current(5, 3, 4)
    with torch.set_grad_enabled(differentiable):
        shapes = ({1: torch.export.Dim("batch")},)
        program = torch.export.export(FlatState(network, x), (x,), dynamic_shapes=shapes)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for batch in (3, 1, 8):
        wider = current(5, batch, 4)
        assert_close(loaded(wider)[0], network(wider)[0])


def test_export_refuses_the_forms_it_cannot_hold():
    with kernels.use("c"), pytest.raises(ConfigError, match="C kernel was asked for, but an exported program"):
        torch.export.export(neuron("lif"), (current(3, 2, 5),))


# -- autocast ----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["c", "loop", "torch"])
@pytest.mark.parametrize("layer", [lambda: neuron("tc-lif"), recurrent])
def test_autocast_leaves_neurons_in_full_precision(layer, backend):
    module = nn.ModuleDict({"synapse": nn.Linear(4, 5), "neuron": layer()}).float()
    x = current(30, 2, 4).float()
    with kernels.use(backend):
        with torch.autocast("cpu", torch.bfloat16):
            y, state = module["neuron"](module["synapse"](x))
        assert y.dtype == torch.bfloat16 and all(s.dtype == torch.float32 for _, s in leaves(state) if s.dim() < 2)
        (y.float() * torch.linspace(0, 1, 5)).sum().backward()
        found = [y, *(p.grad for p in module.parameters())]
        module.zero_grad()
        weight, bias = (p.bfloat16() for p in module["synapse"].parameters())
        y, _ = module["neuron"](nn.functional.linear(x.bfloat16(), weight, bias))
        (y.float() * torch.linspace(0, 1, 5)).sum().backward()
    assert_close(found, [y, *(p.grad for p in module.parameters())], rtol=0, atol=0)
    assert found[1].abs().sum() > 0


def test_autocast_and_compile_together():
    module, x = StackConfig(hidden=(8,)).build(4, 3, seeded()), current(20, 2, 4).float()
    compiled = as_compiled(module)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(compiled(x)[0], module(x)[0])


# -- torch.func and second derivatives ---------------------------------------------------------


def test_functional_transforms():
    network, x = stack(), current(9, 3, 4)
    parameters = dict(network.named_parameters())

    def loss(parameters, x):
        return torch.func.functional_call(network, parameters, (x,))[0].square().sum()

    expected = torch.autograd.grad(loss(parameters, x), list(parameters.values()))
    assert_close(tuple(torch.func.grad(loss)(parameters, x).values()), expected)
    assert_close(tuple(torch.func.jacrev(loss)(parameters, x).values()), expected)
    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 1))(parameters, x.unsqueeze(2))
    assert_close(tuple(g.sum(0) for g in each.values()), expected)


def test_a_kernel_that_was_asked_for_says_what_transforms_need():
    module = neuron("lif")
    with kernels.use("c"), pytest.raises(ConfigError, match="torch.func transforms see through plain torch"):
        torch.func.grad(lambda x: module(x)[0].sum())(current(3, 2, 5))


@pytest.mark.parametrize("layer", [lambda: neuron("tc-lif"), recurrent])
def test_second_derivatives_are_refused_in_words(layer):
    module, x = layer(), current(9, 2, 5).requires_grad_()
    (gradient,) = torch.autograd.grad(module(x)[0].square().sum(), x, create_graph=True)
    with pytest.raises(KernelError, match=r"first derivatives only.*\n.*kernels\.use\('loop'\)"):
        gradient.square().sum().backward()
    (gradient,) = torch.autograd.grad(module(x)[0].square().sum(), x)
    assert not gradient.requires_grad


def test_the_loop_gives_second_derivatives():
    # the gradient is a smooth function of x between two spikes, if no reset's own gradient adds to it
    module = neuron("lif", surrogate=Surrogate(kind="sigmoid"), reset=Reset(detach=True))
    x = current(9, 2, 5).requires_grad_()
    weights, direction = torch.rand(9, 2, 5, dtype=x.dtype), torch.randn(9, 2, 5, dtype=x.dtype, generator=seeded(3))

    def slope(x):
        with kernels.use("loop"):
            (gradient,) = torch.autograd.grad((module(x)[0] * weights).sum(), x, create_graph=True)
        return (gradient * direction).sum()

    (found,) = torch.autograd.grad(slope(x), x)
    step = 1e-6 * direction
    difference = (slope(x + step) - slope(x - step)) / 2e-6
    assert_close((found * direction).sum(), difference.detach(), rtol=1e-5, atol=1e-7)
    assert found.abs().sum() > 0


# -- copies and processes ----------------------------------------------------------------------


@pytest.mark.parametrize("memory", ["full", "packed"])
def test_networks_that_have_run_are_copied_and_saved(memory):
    network, x = stack(memory=memory, recurrent=(True, False)), current(9, 2, 4)
    expected = results(network, network, x)
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network)), loaded):
        assert_close(results(twin, twin, x), expected, rtol=0, atol=0)


def _share(number: int, folder: str) -> None:
    """Half of the batch, in one of two processes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=number, world_size=2)
    try:
        x, found = current(9, 4, 4)[:, 2 * number : 2 * number + 2], {}
        for memory in ("full", "packed"):
            network = nn.parallel.DistributedDataParallel(stack(memory=memory, recurrent=(True, False)))
            network(x)[0].square().sum().backward()
            found[memory] = [p.grad for p in network.parameters()]
        # torch takes the mean over processes
        torch.save({memory: [2 * g for g in gradients] for memory, gradients in found.items()}, f"{folder}/{number}.pt")
    finally:
        dist.destroy_process_group()


def test_data_parallel_processes_equal_one(tmp_path):
    other = multiprocessing.get_context("spawn").Process(target=_share, args=(1, str(tmp_path)))
    other.start()
    _share(0, str(tmp_path))
    other.join()
    network = stack(recurrent=(True, False))
    network(current(9, 4, 4))[0].square().sum().backward()
    for number in range(2):
        for gradients in torch.load(tmp_path / f"{number}.pt").values():
            assert_close(gradients, [p.grad for p in network.parameters()], rtol=1e-10, atol=1e-12)


# -- uninitialised memory ----------------------------------------------------------------------


def test_memory_that_nobody_wrote_is_poisoned_here():
    inside = {"torch": torch, "__name__": "spikeworks.kernels.example"}
    for text in ("torch.empty(3)", "torch.empty_like(torch.ones(3))", "torch.ones(3).new_empty(3)"):
        assert eval(text, dict(inside)).isnan().all(), text
    assert eval("torch.empty(3, dtype=torch.uint8)", dict(inside)).tolist() == [255] * 3
