"""Layers in exported C against the network: norms, readouts, delays, branches, units that share weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.deploy.c_device import Device, running
from torch import Tensor, nn

from spikeworks.deploy.c import Builder, CExportError, Part, export_c, lowers
from spikeworks.layers import Conv1d, DelayConfig, LayerNorm, Readout, ReadoutConfig, Recurrent
from spikeworks.layers import Dense as DenseSynapse
from spikeworks.models import Network, StackConfig
from spikeworks.models.fullsubnet import FullSubNetConfig
from spikeworks.neurons import ALIF, DHLIF, GLIF, GSN, LIF

STEPS = 30


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stack(**options: Any) -> Network:
    """In float64, with strong weights and norms that have seen something."""
    network = StackConfig(**{"hidden": (9, 7), **options}).build(6, 3, generator(4)).double()
    drawn = generator(1)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("synapse.weight"):
                tensor.mul_(3.0)
            if ".norm" in name:
                tensor.copy_(0.3 + torch.rand(tensor.shape, generator=drawn, dtype=tensor.dtype))
    return network.eval()


def signal(width: int = 6, steps: int = STEPS) -> Tensor:
    return 2.0 * torch.rand(steps, width, generator=generator(2), dtype=torch.float64)


def agrees(network: Network, folder: Path, x: Tensor | None = None) -> Device:
    """The export says what the network says, after every step, in double precision."""
    x = signal() if x is None else x
    device = Device(export_c(network, dtype=torch.float64), folder)
    expected = running(network, x)
    assert expected.std() > 1e-3
    torch.testing.assert_close(device.run(x), expected, rtol=1e-11, atol=1e-11)
    assert device.bytes == device.made.ram_bytes
    return device


@pytest.mark.parametrize("norm", ["batch", "batch-step", "tdbn", "layer", "tebn", "bntt"])
def test_norms(norm: Any, tmp_path: Path) -> None:
    network = stack(neuron=LIF.Config(), norm=norm, norm_steps=STEPS, recurrent=(True, False))
    made = agrees(network, tmp_path).made
    kinds = {type(op).__name__ for op in made.program.operations}
    assert ("Affine" in kinds) == (norm in ("tebn", "bntt")), "batch norms are folded"
    assert ("LayerNorm" in kinds) == (norm == "layer")


@pytest.mark.parametrize("norm", ["batch", "layer", "bntt"])
def test_norms_of_branches(norm: Any, tmp_path: Path) -> None:
    agrees(stack(neuron=DHLIF.Config(), norm=norm, norm_steps=STEPS), tmp_path)


@pytest.mark.parametrize("kind", ["mean", "last", "sum", "leaky", "every"])
def test_readouts(kind: Any, tmp_path: Path) -> None:
    agrees(stack(neuron=ALIF.Config(), readout=ReadoutConfig(kind=kind, decay=0.8, scale=3.0)), tmp_path)


@pytest.mark.parametrize("granularity", ["synapse", "axon", "dendrite"])
def test_delays(granularity: Any, tmp_path: Path) -> None:
    delay = DelayConfig(max_delay=5, taps=2, granularity=granularity)
    agrees(stack(neuron=LIF.Config(), delay=delay, norm="batch", recurrent=(False, True)), tmp_path)


@pytest.mark.parametrize("shared", [True, False])
def test_recurrent_gates(shared: bool, tmp_path: Path) -> None:
    agrees(stack(neuron=GSN.Config(shared=shared), recurrent=(True, True), recurrent_diagonal=False), tmp_path)


def test_streams_are_apart_and_a_reset_begins_anew(tmp_path: Path) -> None:
    network = stack(neuron=ALIF.Config(), recurrent=(True, True))
    device = Device(export_c(network, dtype=torch.float64), tmp_path)
    one, two = signal(), signal().flip(0)
    first, second = device.start(), device.start()
    both = [(device.step(first, a), device.step(second, b)) for a, b in zip(one, two, strict=True)]
    for found, x in zip(zip(*both, strict=True), (one, two), strict=True):
        torch.testing.assert_close(torch.stack(found), device.run(x), rtol=0, atol=0)


def test_a_sequence_ends_where_tables_end(tmp_path: Path) -> None:
    network = stack(neuron=GLIF.Config(steps=STEPS))
    device = agrees(network, tmp_path)
    state = device.start()
    for x in signal():
        last = device.step(state, x)
    held = bytes(state)
    assert last is not None and device.step(state, signal()[0]) is None
    assert bytes(state) == held
    device.function("reset")(state)
    assert device.step(state, signal()[0]) is not None


def test_int8_is_the_rounded_network(tmp_path: Path) -> None:
    """Bytes are exact: the export with bytes is the network whose weights were rounded to the same steps."""
    from spikeworks.deploy.c.quantize import row_codes

    network = stack(neuron=ALIF.Config(), recurrent=(True, True))
    made = export_c(network, weights="int8", dtype=torch.float64)
    rounded = stack(neuron=ALIF.Config(), recurrent=(True, True))
    with torch.no_grad():
        for module in rounded.modules():
            if isinstance(module, DenseSynapse):
                codes, scale = row_codes(module.weight)
                assert codes.abs().max() == 127 and torch.equal(codes, codes.round())
                assert ((codes * scale.unsqueeze(1) - module.weight).abs() <= scale.unsqueeze(1) / 2 + 1e-12).all()
                module.weight.copy_(codes * scale.unsqueeze(1))
    found = Device(made, tmp_path).run(signal())
    torch.testing.assert_close(found, running(rounded, signal()), rtol=1e-9, atol=1e-9)


def test_counts_of_a_network_counted_by_hand() -> None:
    made = export_c(stack(neuron=LIF.Config(), recurrent=(True, False), hidden=(9, 7)))
    silent, full = made.operations(0.0), made.operations(1.0)
    neurons = export_c(stack(neuron=LIF.Config(), hidden=(9, 7))).operations(0.0)
    assert silent.macs == neurons.macs  # recurrence alone adds nothing to a silent step
    assert full.acs - silent.acs == 9 * 9 + 9 * 7 + 7 * 3
    assert made.operations(0.5).acs == (silent.acs + full.acs) / 2
    weights = 6 * 9 + 9 + 9 * 9 + 9 + 9 * 7 + 7 + 7 * 3 + 3
    assert made.weight_bytes == 4 * weights


class SharedUnits(nn.Module):
    """Windows of three inputs, mirrored at both ends, through one recurrent layer that all units share."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = LayerNorm(3)
        self.synapse = DenseSynapse(3, 4, generator=generator(1))
        self.neuron = Recurrent(GSN(4, generator=generator(2)), generator=generator(3))
        padded = [1, 0, 1, 2, 3, 4, 5, 4]
        self.register_buffer("windows", torch.tensor([padded[u : u + 3] for u in range(6)]))

    def forward(self, x: Tensor, state: Any = None, mask: Any = None) -> tuple[Tensor, Any]:
        batch = x.shape[1]
        units = x[:, :, self.windows].flatten(1, 2)
        y, state = self.neuron(self.synapse(self.norm(units)), state)
        return y.unflatten(1, (batch, -1)).flatten(2), state


@lowers(SharedUnits)
def _shared_units(build: Builder, block: SharedUnits, source: Part, path: str) -> Part:
    with build.units(6):
        seen = build.gather(source, block.windows, path)
        current = build.lower(block.norm, seen, f"{path}.norm")
        current = build.lower(block.synapse, current, f"{path}.synapse")
        return build.collect(build.lower(block.neuron, current, f"{path}.neuron"), path)


def test_a_block_of_ones_own_with_units_that_share_weights(tmp_path: Path) -> None:
    readout = Readout(24, 5, ReadoutConfig(kind="leaky"), generator=generator(4))
    network = Network([SharedUnits()], readout, inputs=6).double().eval()  # type: ignore[list-item]
    device = agrees(network, tmp_path)
    sizes = {b.name: b.size for b in device.made.program.buffers}
    assert sizes["blocks_0_neuron_cell"] == sizes["blocks_0_neuron_output"] == 24


@pytest.mark.parametrize("neuron", [GSN.Config(), GSN.Config(shared=False), LIF.Config(threshold=0.3)])
@pytest.mark.parametrize("taps", [1, 3])
def test_spiking_fullsubnet(neuron: Any, taps: int, tmp_path: Path) -> None:
    config = FullSubNetConfig(
        full_hidden=(12, 10), sub_hidden=(8, 6), neuron=neuron, cuts=(4, 16, 32), widths=(2, 4, 16), neighbours=3,
        orders=(taps, 1, 1), start=1.0,
    )  # fmt: skip
    network = config.build(33, 2 * 33 * taps, generator()).double().eval()
    device = agrees(network, tmp_path, signal(33, 12))
    assert device.made.weight_bytes > 8 * sum(p.numel() for p in network.parameters() if p.dim() > 1)


def test_memories_normalised_inside_the_recurrence(tmp_path: Path) -> None:
    config = FullSubNetConfig(full_hidden=(12,), sub_hidden=(8,), norm="memory")
    network = config.build(33, 66, generator()).double()
    network(
        signal(33, 8).unsqueeze(1).expand(-1, 5, -1) * torch.rand(8, 5, 33, generator=generator(), dtype=torch.float64)
    )
    agrees(network.eval(), tmp_path, signal(33, 12))


def test_what_cannot_be_written_is_named() -> None:
    conv = stack(neuron=LIF.Config(), hidden=(4,))
    conv.blocks[0].synapse = Conv1d(1, 4, kernel=3).double()
    conv.inputs = 6
    with pytest.raises(CExportError, match=r"blocks\.0\.synapse \(Conv1d\).*\n?.*register a lowering"):
        export_c(conv)
    with pytest.raises(CExportError, match=r"the network \(Linear\)"):
        export_c(nn.Linear(3, 2))
    broken = stack(neuron=LIF.Config())
    broken.readout = Readout(8, 3, ReadoutConfig(), generator=generator())
    with pytest.raises(CExportError, match="readout: weights for 8 inputs stand behind 7 outputs"):
        export_c(broken)
