"""NIR graphs written here run in other libraries, and theirs run here, with the same spikes."""

from __future__ import annotations

import contextlib
import importlib
import io
import runpy
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spikeworks import kernels
from spikeworks.deploy import NIRError, export_nir, import_nir
from spikeworks.layers import ReadoutConfig
from spikeworks.models import Network
from spikeworks.neurons import IF, LIF, CubaLIF, Neuron

nir = pytest.importorskip("nir", reason="needs the package nir: pip install 'spikeworks[nir]'")
nets = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("networks.py"))))

OTHERS = "of the environment of the benchmarks: benchmarks/requirements.txt"
EVERY = ReadoutConfig(kind="every")


@pytest.fixture(autouse=True)
def _definition(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The step itself in a loop, untraced; that kernels equal it is tested with the kernels."""
    monkeypatch.setattr(Neuron, "_trace", lambda neuron, dtype: "untraced")
    with kernels.use("loop"):
        yield


def peer(name: str) -> Any:
    """A module of another library; skips where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        try:
            return importlib.import_module(name)
        except ImportError:
            pytest.skip(f"needs {name.split('.')[0]}, {OTHERS}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Their warnings and what they print are not ours."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        yield


def stepped(module: Any, x: Tensor) -> Tensor:
    """A graph module of nirtorch: ``(output, state)`` a step."""
    found, state = [], None
    for x_t in x:
        y, state = module(x_t, state)
        found.append(y)
    return torch.stack(found)


def same(network: Network, found: Tensor, x: Tensor) -> None:
    with torch.no_grad():
        expected, _ = network(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.05


SPIKINGJELLY = {"lif": {}, "lif low-pass": {}, "if": {}, "cuba": {}, "recurrent": {"recurrent": (True, False)}}
SPIKINGJELLY |= {"norm": {"norm": "batch"}}


@pytest.mark.parametrize("case", SPIKINGJELLY)
def test_spikingjelly_reads_what_is_written_here(case: str) -> None:
    exchange = peer("spikingjelly.activation_based.nir_exchange.from_nir")
    neuron = nets.NEURONS.get(case, nets.NEURONS["lif"])
    network = nets.stack(neuron, readout=EVERY, **SPIKINGJELLY[case])
    x = nets.signal(40, 2, 6)
    with quiet():
        module = exchange.import_from_nir(export_nir(network, dt=1e-4), dt=1e-4, dtype=torch.float64)
        same(network, stepped(module, x), x)


def test_spikingjelly_reads_images() -> None:
    exchange = peer("spikingjelly.activation_based.nir_exchange.from_nir")
    network = nets.images(groups=2)
    x = nets.signal(30, 2, 2, 5, 7)
    with quiet():
        graph = export_nir(network, input_shape=(2, 5, 7))
        same(network, stepped(exchange.import_from_nir(graph, dtype=torch.float64), x), x)


@pytest.mark.parametrize("case", ["lif low-pass", "cuba", "cuba low-pass"])
def test_norse_reads_what_is_written_here(case: str) -> None:
    """It takes dt = 1e-3 and works in float32; of LIF it ignores r, so the gain must be that of a low-pass."""
    reader = peer("norse.torch.utils.import_nir")
    network = nets.stack(nets.NEURONS[case], readout=EVERY).float()
    x = nets.signal(40, 2, 6).float()
    with quiet():
        same(network, stepped(reader.from_nir(export_nir(network, dt=1e-3), dt=1e-3), x), x)


@pytest.mark.parametrize("case", ["lif", "cuba"])
def test_snntorch_reads_what_is_written_here(case: str) -> None:
    """It takes dt = 1e-4, and a gain of 1."""
    reader = peer("snntorch.import_nir")
    network = nets.stack(nets.NEURONS[case], readout=EVERY).float()
    x = nets.signal(40, 2, 6).float()
    with quiet():
        module = reader.import_from_nir(export_nir(network, dt=1e-4))
        same(network, torch.stack([_first(module(x_t)) for x_t in x]), x)


def _first(found: Any) -> Tensor:
    return found[0] if isinstance(found, tuple) else found


@pytest.mark.parametrize("decay_input", [True, False])
def test_a_graph_of_spikingjelly_is_read_here(decay_input: bool) -> None:
    writer = peer("spikingjelly.activation_based.nir_exchange.to_nir")
    neuron = peer("spikingjelly.activation_based.neuron")
    functional = peer("spikingjelly.activation_based.functional")
    torch.manual_seed(4)
    layers = [nn.Linear(6, 9), neuron.LIFNode(tau=3.0, decay_input=decay_input, v_reset=-0.1, v_threshold=0.4)]
    layers += [nn.Linear(9, 7), neuron.CUBALIFNode(v_threshold=0.3), nn.Linear(7, 5), neuron.IFNode(v_threshold=2.0)]
    theirs = nn.Sequential(*layers).double()
    x = nets.signal(40, 2, 6)
    with quiet():
        ours = import_nir(writer.export_to_nir(theirs, x[0]), dt=1e-4)
        functional.reset_net(theirs)
        expected = torch.stack([theirs(x_t) for x_t in x])
    assert [type(block.neuron) for block in ours.blocks] == [LIF, CubaLIF, IF]
    assert torch.equal(ours(x)[0].detach(), expected)
    assert 0.02 < expected.mean() < 0.95


def test_a_graph_of_snntorch_is_read_here_and_its_subtraction_is_not_in_it() -> None:
    """Its writer notes a hard reset whatever the neuron does: only ``reset_mechanism='zero'`` survives."""
    snn, writer = peer("snntorch"), peer("snntorch.export_nir")
    torch.manual_seed(4)
    decay, threshold = torch.full((9,), 0.8), torch.full((9,), 0.4)  # one a neuron, else NIR's type check fails
    options = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True, "output": True}
    leaky = snn.Leaky(beta=decay, threshold=threshold, **options)
    theirs = nn.Sequential(nn.Linear(6, 9), leaky)
    x = nets.signal(40, 2, 6).float()
    with quiet():
        ours = import_nir(writer.export_to_nir(theirs, x[0, 0]), dt=1e-4)
        leaky.reset_mem()
        expected = torch.stack([theirs(x_t)[0] for x_t in x])
    assert torch.equal(ours(x)[0].detach(), expected)
    assert 0.02 < expected.mean() < 0.95


def test_what_spikingjelly_refuses_is_refused_by_us_as_well() -> None:
    with pytest.raises(NIRError, match="a soft reset subtracts the threshold"):
        export_nir(nets.stack(LIF.Config()))
