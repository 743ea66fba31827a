"""NIR files mean what the network does: by NIR's own equations, and after a round trip."""

from __future__ import annotations

import importlib
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.errors import ConfigError
from spikeworks.deploy import Clock, NIRError, export_nir, import_nir, nir_common, write_nir
from spikeworks.layers import BatchNorm, ReadoutConfig, TimeTiedDropout
from spikeworks.models import Block, ConvConfig, EmbeddingConfig, Network, StackConfig
from spikeworks.neurons import IF, LIF, NEURONS, PLIF, CubaLIF, Neuron, Reset, config_for

nir = pytest.importorskip("nir", reason="needs the package nir: pip install 'spikeworks[nir]'")

HERE = Path(__file__).parent
nets = SimpleNamespace(**runpy.run_path(str(HERE / "networks.py")))
simulate = runpy.run_path(str(HERE / "nir_reference.py"))["simulate"]

DT = 1e-3


@pytest.fixture(autouse=True)
def _definition(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The step itself in a loop, untraced; that kernels equal it is tested with the kernels."""
    monkeypatch.setattr(Neuron, "_trace", lambda neuron, dtype: "untraced")
    with kernels.use("loop"):
        yield


WIRINGS: dict[str, dict[str, Any]] = {
    "dense": {},
    "recurrent": {"recurrent": (True, True)},
    "norm": {"norm": "batch"},
    "batch per step": {"norm": "batch-step"},
    "tdbn": {"norm": "tdbn"},
    "norm, recurrent": {"norm": "batch", "recurrent": (False, True)},
    "convolution": {"conv": ConvConfig(kernel=3, stride=2), "inputs": 11},
}


def check(network: Network, x: torch.Tensor, tmp_path: Path, **options: Any) -> None:
    """Same spikes and outputs from NIR's equations and from the file read back; some, but not all, neurons fire."""
    with torch.no_grad():
        expected, _ = network(x)
    kind = network.readout.config.kind
    graph = export_nir(network, dt=DT, **options)
    for b in range(x.shape[1]):
        found = simulate(graph, x[:, b].numpy(), DT)
        found = found if kind == "every" else found.mean(0) if kind == "mean" else found[-1]
        np.testing.assert_allclose(found, expected[:, b] if kind == "every" else expected[b], rtol=1e-9, atol=1e-9)
    back = import_nir(write_nir(network, tmp_path / "net.nir", dt=DT, **options))
    with torch.no_grad():
        assert_close(back(x)[0], expected, rtol=1e-9, atol=1e-9)
    for ours, theirs in zip(nets.spikes(network, x), nets.spikes(back, x), strict=True):
        assert torch.equal(ours.flatten(2), theirs.flatten(2))
        assert 0.01 < ours.mean() < 0.95
    assert [type(b.neuron) for b in back.blocks] == [type(b.neuron) for b in network.blocks] or _merged(network)


def _merged(network: Network) -> bool:
    """Kinds of neurons that NIR does not tell apart."""
    kinds = {type(module) for _, module in network.neurons()}
    return bool(kinds & {PLIF}) or any(n.decay.eq(1).all() for _, n in network.neurons() if type(n) is LIF)


EACH = [(neuron, "dense") for neuron in nets.NEURONS]
EACH += [(neuron, wiring) for wiring in WIRINGS for neuron in ("lif", "plif per channel", "cuba") if wiring != "dense"]


@pytest.mark.parametrize(("neuron", "wiring"), EACH)
def test_neurons_and_wirings(neuron: str, wiring: str, tmp_path: Path) -> None:
    options = {"inputs": 6, "hidden": (9,) if wiring == "dense" else (9, 7), **WIRINGS[wiring]}
    network = nets.stack(nets.NEURONS[neuron], **options, readout=ReadoutConfig(kind="every"))
    check(network, nets.signal(40, 2, options["inputs"]), tmp_path)


@pytest.mark.parametrize("kind", ["mean", "last", "sum", "leaky", "every"])
def test_readouts(kind: Any, tmp_path: Path) -> None:
    readout = ReadoutConfig(kind=kind, scale=3.0, decay=0.7)
    network = nets.stack(nets.NEURONS["lif"], hidden=(9,), readout=readout)
    check(network, nets.signal(30, 2, 6), tmp_path)
    assert import_nir(tmp_path / "net.nir").readout.config.kind == kind


@pytest.mark.parametrize("groups", [1, 2])
def test_images(groups: int, tmp_path: Path) -> None:
    check(nets.images(groups), nets.signal(30, 2, 2, 5, 7), tmp_path, input_shape=(2, 5, 7))


@pytest.mark.parametrize("taps", [1, 3])
@pytest.mark.parametrize("granularity", ["synapse", "axon", "dendrite"])
def test_delays(granularity: str, taps: int, tmp_path: Path) -> None:
    network = nets.delayed(granularity, taps)
    check(network, nets.signal(40, 2, 6), tmp_path)
    back = import_nir(tmp_path / "net.nir")
    assert [b.synapse.config.taps <= taps for b in back.blocks] == [True, True]


def test_exact_discretisation_keeps_the_steps_and_changes_the_time_constants(tmp_path: Path) -> None:
    network = nets.stack(nets.NEURONS["cuba"], readout=ReadoutConfig(kind="leaky"))
    path = write_nir(network, tmp_path / "net.nir", dt=DT, discretisation="exact")
    graph = nir.read(path)
    decay = network.blocks[0].neuron.decay.item()
    np.testing.assert_allclose(np.exp(-DT / graph.nodes["block0_neuron"].tau_mem), decay)
    x = nets.signal(30, 2, 6)
    assert_close(import_nir(path)(x)[0], network(x)[0], rtol=1e-9, atol=1e-9)


def test_metadata_say_step_method_and_readout(tmp_path: Path) -> None:
    graph = nir.read(write_nir(nets.stack(nets.NEURONS["lif"]), tmp_path / "net.nir", dt=DT))
    assert {k: graph.metadata[k] for k in ("dt", "discretisation", "readout", "producer")} == {
        "dt": DT,
        "discretisation": "euler",
        "readout": "mean",
        "producer": "spikeworks",
    }


def test_float32_stays_float32() -> None:
    graph = export_nir(nets.stack(nets.NEURONS["cuba"]).float())
    node = graph.nodes["block0_neuron"]
    assert {a.dtype.name for a in (node.tau_mem, node.w_in, node.v_reset, graph.nodes["readout"].weight)} == {"float32"}
    assert next(import_nir(graph).parameters()).dtype == torch.float32


def test_a_potential_at_the_threshold_fires_here_and_not_by_the_definition_of_nir() -> None:
    network = nets.stack(IF.Config(reset=nets.HARD), inputs=1, hidden=(1,), readout=ReadoutConfig(kind="every"))
    with torch.no_grad():
        network.blocks[0].synapse.weight.fill_(0.5)
        network.blocks[0].synapse.bias.fill_(0.0)
    x = torch.ones(4, 1, 1, dtype=torch.float64)
    graph = export_nir(network, dt=0.25)  # a power of two: no rounding
    weight, bias = network.readout.linear.weight, network.readout.linear.bias
    assert torch.equal(nets.spikes(network, x)[0].flatten(), torch.tensor([0.0, 1, 0, 1], dtype=torch.float64))
    by_nir = torch.tensor([[0.0], [0], [1], [0]], dtype=torch.float64) @ weight.T + bias
    np.testing.assert_allclose(simulate(graph, x[:, 0].numpy(), 0.25), by_nir.detach())
    assert_close(import_nir(graph)(x)[0], network(x)[0])


# -- refusals ------------------------------------------------------------------------------------------


def expressible(name: str) -> bool:
    return NEURONS.get(name) in (LIF, PLIF, IF, CubaLIF)


@pytest.mark.parametrize("name", NEURONS.names())
def test_every_registered_neuron_is_exported_or_refused_by_name(name: str) -> None:
    options = {"reset": nets.HARD} if expressible(name) else {}
    network = StackConfig(hidden=(4,), neuron=config_for(name, **options)).build(3, 2, nets.generator())
    if expressible(name):
        export_nir(network)
        return
    with pytest.raises(NIRError, match=r"NIR: blocks\.0\.(neuron|synapse) \(\w+\): "):
        export_nir(network)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"neuron": LIF.Config()}, r"blocks.0.neuron \(LIF\): .*a soft reset subtracts the threshold.\n.*kind='hard'"),
        ({"neuron": LIF.Config(reset=Reset(kind="none"))}, "a none reset keeps the potential"),
        (
            {"neuron": LIF.Config(reset=Reset(kind="hard", order="before_charge", potential=0.5))},
            "a potential other than 0 differs",
        ),
        ({"neuron": CubaLIF.Config(reset=nets.HARD, current_decay=1.0)}, "current_decay at least 0 and below 1, got 1"),
        ({"neuron": config_for("tc-lif")}, r"blocks.0.neuron \(TCLIF\): .*with the states .* is none of them"),
        ({"neuron": config_for("pmsn")}, r"blocks.0.neuron \(PMSN\)"),
        ({"neuron": LIF.Config(reset=nets.HARD), "norm": "layer"}, r"blocks.0.norm \(LayerNorm\): only batch"),
        ({"neuron": config_for("dh-lif")}, r"blocks.0.synapse \(BranchedDense\)|blocks.0.neuron \(DHLIF\)"),
    ],
)
def test_what_nir_cannot_express_is_refused(config: dict[str, Any], message: str) -> None:
    network = StackConfig(hidden=(4,), **config).build(3, 2, nets.generator())
    with pytest.raises(NIRError, match=message):
        export_nir(network)


def test_tokens_are_refused() -> None:
    config = StackConfig(hidden=(4,), neuron=LIF.Config(reset=nets.HARD), embedding=EmbeddingConfig(size=4))
    with pytest.raises(NIRError, match="embedding: NIR has no node that looks up tokens"):
        export_nir(config.build(9, 9, nets.generator(), tokens=True))


def test_a_subclass_of_batch_norm_is_not_folded_blindly() -> None:
    class Other(BatchNorm):
        pass

    network = nets.stack(nets.NEURONS["lif"])
    first = network.blocks[0]
    network.blocks[0] = Block(TimeTiedDropout(0.0), first.synapse, Other(9), first.neuron)
    with pytest.raises(NIRError, match=r"blocks.0.norm \(Other\)"):
        export_nir(network)


def test_the_input_shape_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"shape of one step of the input, got None.\n.*input_shape=\(channels, H, W"):
        export_nir(nets.images())
    with pytest.raises(ConfigError, match=r"blocks.0.synapse expected an input of 2 channels and 2 axes, got \(3, 5"):
        export_nir(nets.images(), input_shape=(3, 5, 7))


def test_other_networks_are_refused() -> None:
    with pytest.raises(NIRError, match=r"the network \(Linear\): only a Network of blocks"):
        export_nir(nn.Linear(2, 3))


@pytest.mark.parametrize("dt", [0.0, -1.0])
def test_a_step_is_positive(dt: float) -> None:
    with pytest.raises(ConfigError, match="time step must be above 0"):
        export_nir(nets.stack(nets.NEURONS["lif"]), dt=dt)
    with pytest.raises(ConfigError, match="'euler' or 'exact'"):
        Clock(1.0, "rk4")  # type: ignore[arg-type]


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(nir_common.importlib, "import_module", absent)
    for call in (lambda: export_nir(nets.stack(nets.NEURONS["lif"])), lambda: import_nir("net.nir")):
        with pytest.raises(ConfigError, match=r"package 'nir', which is not installed.\n.*'spikeworks\[nir\]'"):
            call()
    assert importlib.import_module is absent


# -- graphs of others ----------------------------------------------------------------------------------


def lif(n: int, **values: float) -> Any:
    chosen = {"tau": 0.005, "r": 1.0, "v_leak": 0.0, "v_threshold": 0.4, "v_reset": 0.0, **values}
    return nir.LIF(**{k: np.full(n, v) if np.isscalar(v) else np.asarray(v) for k, v in chosen.items()})


def affine(n: int, m: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return nir.Affine(weight=rng.normal(size=(n, m)), bias=0.3 * rng.normal(size=n))


def graph(nodes: dict[str, Any], *edges: str, inputs: Any = 3, outputs: Any = 4) -> Any:
    nodes = {"in": nir.Input(np.atleast_1d(inputs)), **nodes, "out": nir.Output(np.atleast_1d(outputs))}
    pairs = [tuple(pair) for edge in edges for pair in zip(edge.split()[:-1], edge.split()[1:], strict=True)]
    return nir.NIRGraph(nodes=nodes, edges=pairs, type_check=False)


def same_as_equations(given: Any, inputs: int = 3, start: float = 0.0) -> Network:
    x = nets.signal(50, 1, inputs)
    network = import_nir(given, dt=DT)
    with torch.no_grad():
        found = network(x)[0][:, 0].numpy()
    np.testing.assert_allclose(found, simulate(given, x[:, 0].numpy(), DT), rtol=1e-9, atol=1e-9)
    assert found.std() > 0.05
    return network


def test_gains_and_scales_are_folded_into_weights() -> None:
    nodes = {"w": affine(4, 3), "s": nir.Scale(scale=np.array([1.0, 2.0, 0.5, 3.0])), "n": lif(4, r=[3.0, 1, 2, 5])}
    same_as_equations(graph(nodes, "in w s n out"))
    nodes = {"s": nir.Scale(scale=np.array([1.0, 2.0, 0.5])), "w": affine(4, 3), "n": lif(4, r=2.0)}
    same_as_equations(graph(nodes, "in s w n out"))
    cuba = nir.CubaLIF(
        **{k: np.full(4, v) for k, v in {"tau_syn": 0.004, "tau_mem": 0.006, "r": 1.7, "v_leak": 0.0}.items()},
        v_threshold=np.full(4, 0.5),
        w_in=np.full(4, 2.2),
    )
    same_as_equations(graph({"w": affine(4, 3), "n": cuba}, "in w n out"))


def test_feedback_with_bias_and_gain() -> None:
    nodes = {"w": affine(4, 3), "n": lif(4, r=2.0), "back": affine(4, 4, 1)}
    network = import_nir(graph(nodes, "in w n out", "n back n"), dt=DT)
    nodes["back"] = nir.Linear(weight=nodes["back"].weight)
    bare = import_nir(graph(nodes, "in w n out", "n back n"), dt=DT)
    assert_close(network.blocks[0].neuron.synapse.weight, bare.blocks[0].neuron.synapse.weight)
    assert network.blocks[0].neuron.synapse.bias.abs().sum() > 0 == bare.blocks[0].neuron.synapse.bias.abs().sum()
    nodes["back"] = nir.Affine(weight=nodes["back"].weight, bias=np.zeros(4))
    same_as_equations(graph(nodes, "in w n out", "n back n"))


def test_a_leak_potential_shifts_all_others() -> None:
    """The equations start at 0, this library at the leak: equal once the first transient is over."""
    given = graph({"w": affine(4, 3), "n": lif(4, v_leak=-0.1, v_reset=-0.2)}, "in w n out")
    network = import_nir(given, dt=DT)
    neuron = network.blocks[0].neuron
    assert neuron.threshold.item() == pytest.approx(0.5) and neuron.reset.potential == pytest.approx(-0.1)
    x = nets.signal(60, 1, 3)
    found, expected = network(x)[0][:, 0].detach().numpy(), simulate(given, x[:, 0].numpy(), DT)
    np.testing.assert_array_equal(found[40:], expected[40:])
    assert 0.05 < found[40:].mean() < 0.95


def test_graphs_in_graphs_and_neurons_without_weights() -> None:
    inner = graph({"n": lif(4, r=2.0), "back": affine(4, 4, 1)}, "in n out", "n back n", inputs=4)
    nested = graph({"w": affine(4, 3), "layer": inner}, "in w layer out")
    flat = graph({"w": affine(4, 3), "n": lif(4, r=2.0), "back": affine(4, 4, 1)}, "in w n out", "n back n")
    x = nets.signal(40, 2, 3)
    assert_close(import_nir(nested, dt=DT)(x)[0], import_nir(flat, dt=DT)(x)[0])
    same_as_equations(graph({"n": lif(3, r=1.5)}, "in n out", outputs=3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: graph({"w": affine(4, 3), "t": nir.Threshold(np.ones(4))}, "in w t out"),
            r"t \(Threshold\): no layer",
        ),
        (
            lambda: graph({"w": affine(4, 3), "n": lif(4), "u": affine(4, 4), "m": lif(4)}, "in w n u m out", "m n"),
            "one other layer here, this one hears in, m",
        ),
        (
            lambda: graph({"w": affine(4, 3), "n": lif(4), "m": lif(4)}, "in w n out", "n m"),
            r"m \(LIF\): it does not lie",
        ),
        (
            lambda: graph({"a": affine(4, 3), "b": affine(4, 4), "n": lif(4)}, "in a b n out"),
            "cannot stand between|two maps",
        ),
        (lambda: graph({"w": affine(4, 3), "n": lif(4)}, "in w n out", "n n"), "a bare edge"),
        (lambda: graph({"w": affine(4, 3), "n": lif(4, v_reset=[0.0, 0, 0, 0.1])}, "in w n out"), "one potential"),
        (lambda: graph({"w": affine(4, 3), "n": lif(4, v_leak=0.5)}, "in w n out"), "fires at rest"),
        (lambda: graph({"w": affine(4, 3), "n": lif(4, tau=1e-4)}, "in w n out"), r"0.0001 s is no decay with steps"),
        (lambda: graph({"w": affine(4, 3), "n": lif(5)}, "in w n out"), "5 values for an input of 4 channels"),
        (
            lambda: graph(
                {"w": affine(4, 3), "n": nir.LI(*(np.ones(4),) * 2, np.zeros(4)), "m": lif(4)}, "in w n m out"
            ),
            r"n \(LI\): neurons without spikes stand only at the end",
        ),
        (
            lambda: graph({"d": nir.Delay(np.full(3, 0.00042)), "w": affine(4, 3), "n": lif(4)}, "in d w n out"),
            r"d \(Delay\): delays are whole steps",
        ),
        (
            lambda: graph({"w": affine(4, 3), "d": nir.Delay(np.full(4, 0.002)), "n": lif(4)}, "in w d n out"),
            r"d \(Delay\): one delay, before the weights",
        ),
        (
            lambda: graph(
                {"c": nir.Conv1d(6, np.ones((2, 1, 3)), 1, 0, 1, 1, np.zeros(2)), "n": lif(2)},
                "in c n out",
                inputs=(1, 6),
            ),
            r"c \(Conv1d\): one axis is padded by kernel // 2 = 1",
        ),
        (
            lambda: graph(
                {"c": nir.Conv2d((6, 6), np.ones((2, 1, 3, 2)), 1, 0, 1, 1, np.zeros(2)), "n": lif(2)},
                "in c n out",
                inputs=(1, 6, 6),
            ),
            r"c \(Conv2d\): square kernels",
        ),
    ],
)
def test_graphs_that_no_network_here_can_be_are_refused(make: Any, message: str) -> None:
    with pytest.raises(NIRError, match=message):
        import_nir(make(), dt=DT)


def test_a_graph_without_a_step_is_refused() -> None:
    with pytest.raises(NIRError, match=r"does not say how long a step is.*\n.*snnTorch and SpikingJelly .*dt=1e-4"):
        import_nir(graph({"w": affine(4, 3), "n": lif(4)}, "in w n out"))


def test_modules_of_torch_are_no_synapse() -> None:
    network = nets.stack(nets.NEURONS["lif"])
    first = network.blocks[0]
    network.blocks[0] = Block(TimeTiedDropout(0.0), nn.Identity(), None, first.neuron)
    with pytest.raises(NIRError, match=r"blocks.0.synapse \(Identity\): NIR has affine maps"):
        export_nir(network, input_shape=(9,))
