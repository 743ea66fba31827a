"""Neurons in exported C: what their traced step says, step by step, spike by spike."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.deploy.c_device import Device, every_step, showing_spikes

from spikeworks.deploy.c import CExportError, export_c
from spikeworks.models import Network, StackConfig
from spikeworks.neurons import LTC, NEURONS, PSN, MaskedPSN

UNTRACED = ("psn", "masked-psn", "ltc")
CHOSEN = ("lif", "plif", "alif", "i-lif", "tc-lif", "gsn", "dh-lif", "glif", "pmsn", "stochastic-psn", "izhikevich")
STEPS = 40


def lively(name: str, dtype: torch.dtype, *, recurrent: bool) -> Network:
    """Two layers, with strong weights."""
    neuron = NEURONS.get(name).Config()
    options = {"recurrent": (True, True)} if recurrent else {}
    drawn = torch.Generator().manual_seed(5)
    network = StackConfig(hidden=(11, 7), neuron=neuron, **options).build(6, 3, drawn)
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            if key.endswith("synapse.weight"):
                tensor.mul_(3.0)
    return network.to(dtype).eval()


def signal(dtype: torch.dtype) -> torch.Tensor:
    scale = 2.5
    return scale * torch.rand(STEPS, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("name", CHOSEN)
def test_spikes_and_answers_of_recurrent_layers_in_float32(name: str, tmp_path: Path) -> None:
    shown, count = showing_spikes(lively(name, torch.float32, recurrent=True))
    x = signal(torch.float32)
    found, expected = Device(export_c(shown), tmp_path).run(x), every_step(shown, x)
    assert torch.equal(found[:, :count], expected[:, :count])
    assert 0 < expected[:, :count].count_nonzero() < expected[:, :count].numel()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_every_traced_neuron_in_float64(tmp_path: Path) -> None:
    """In double precision nothing is left to rounding: the same spikes, and answers to 1e-12."""
    x, fired = signal(torch.float64), 0
    for name in NEURONS.names():
        if name in UNTRACED:
            continue
        shown, count = showing_spikes(lively(name, torch.float64, recurrent=False))
        expected = every_step(shown, x)
        made = export_c(shown, name.replace("-", "_"), dtype=torch.float64)
        found = Device(made, tmp_path).run(x)
        assert torch.equal(found[:, :count], expected[:, :count]), name
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12, msg=name)
        fired += bool(expected[:, :count].any())
    assert fired > 20


@pytest.mark.parametrize("kind", [PSN, MaskedPSN, LTC])
def test_neurons_without_a_step_of_their_own_are_refused_by_name(kind: type) -> None:
    network = StackConfig(hidden=(5,), neuron=kind.Config()).build(3, 2, torch.Generator())
    with pytest.raises(CExportError, match=rf"blocks\.0\.neuron \({kind.__name__}\)"):
        export_c(network)


def test_a_neuron_that_carries_no_state_is_refused() -> None:
    network = lively("lif", torch.float32, recurrent=False)
    neuron = network.blocks[1].neuron
    neuron.credit = type(neuron.credit)(carry=False)
    with pytest.raises(CExportError, match=r"blocks\.1\.neuron \(LIF\): its credit"):
        export_c(network)


def test_what_only_counts_steps_takes_no_memory() -> None:
    network = lively("ce-lif", torch.float32, recurrent=False)
    names = {b.name for b in export_c(network).program.buffers}
    assert "blocks_0_neuron_shift" in names and not any("position" in n for n in names)
