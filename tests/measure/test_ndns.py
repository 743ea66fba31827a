"""The challenge's proxies against counts by brute force, on networks small enough to count."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spikeworks.core.errors import ConfigError
from spikeworks.layers import GRU, Dense, ReadoutConfig, Recurrent
from spikeworks.measure.ndns import MODES, NEURON_WEIGHT, Latency, proxies
from spikeworks.models import GRUConfig, ModelConfig, StackConfig
from spikeworks.neurons import GSN, LIF

LATENCY = Latency.of_window(512, 16_000)
FRAME = 0.008


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def built(config: ModelConfig, inputs: int, outputs: int) -> Any:
    return config.build(inputs, outputs, generator()).eval()


def met(spikes: Tensor, weight: Tensor) -> float:
    """Weights that spikes ``[T, B, N]`` meet, one by one."""
    total = 0
    for t, b, n in spikes.nonzero().tolist():
        total += weight[:, n].numel() * int(spikes[t, b, n] == 1)
    return float(total)


def late(spikes: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(spikes[:1]), spikes[:-1]])


def test_latency_of_the_challenge():
    assert LATENCY.total == pytest.approx(0.03203, abs=1e-12)
    assert Latency.of_window(256, 8_000, codec=0.0, algorithmic=0.008).total == pytest.approx(0.040)


@pytest.mark.parametrize("neuron, gates", [(GSN.Config(), 1), (GSN.Config(shared=False), 2), (LIF.Config(), 1)])  # type: ignore[call-arg]
def test_two_recurrent_layers_counted_spike_by_spike(neuron, gates):
    config = StackConfig(hidden=(6, 5), neuron=neuron, recurrent=(True, True), readout=ReadoutConfig(kind="every"))
    network = built(config, 4, 3)
    x = 3 * torch.randn(9, 2, 4, generator=generator(1))
    first, _ = network.blocks[0](x)
    second, _ = network.blocks[1](first)
    assert 0 < first.mean() < 1 and 0 < second.mean() < 1
    r = [block.neuron.weight for block in network.blocks]
    assert r[0].shape == (6 * gates, 6)
    forward = network.blocks[1].synapse.weight.flatten(0, -2)
    synops = met(late(first), r[0]) + met(first, forward) + met(late(second), r[1])
    synops = (synops + met(second, network.readout.linear.weight)) / (9 * 2)
    dense = network.blocks[0].synapse.weight.numel()
    assert dense == 4 * 6 * gates
    found = proxies(network, x, frame=FRAME, latency=LATENCY)
    for mode in MODES:
        expected = synops + dense * (mode == "everything")
        assert found.synops(mode) == pytest.approx(expected, rel=1e-12)
        assert found.neuronops(mode) == 4 + 6 + 5 + 3
        assert found.power(mode) == pytest.approx((expected + NEURON_WEIGHT * 18) / FRAME)
        assert found.pdp(mode) == pytest.approx(found.power(mode) * 0.03203)
    assert found.unseen == ()
    assert json.loads(json.dumps(found.to_dict()))["counted"][0]["counted"] == "published"


class Units(nn.Module):
    """One recurrent layer for the whole and, shared by three units that hear two values and the answer, another."""

    units = 3

    def __init__(self) -> None:
        super().__init__()
        self.whole, self.part = Dense(4, 5, generator=generator()), Dense(3, 6, generator=generator(1))
        self.one = Recurrent(LIF(5, threshold=0.3), generator=generator(2))
        self.shared = Recurrent(LIF(6, threshold=0.3), generator=generator(3))
        self.answer, self.filters = Dense(5, 1, generator=generator(4)), Dense(6, 2, generator=generator(5))

    def forward(self, x: Tensor) -> Tensor:
        steps, batch, _ = x.shape
        self.first, _ = self.one(self.whole(x[:, :, :4]))
        answer = self.answer(self.first).unsqueeze(2).expand(-1, -1, self.units, -1)
        seen = torch.cat([x.unflatten(2, (self.units, 2)), answer], 3).flatten(1, 2)
        self.second, _ = self.shared(self.part(seen))
        return self.filters(self.second).reshape(steps, batch, -1)


def test_units_that_share_a_model_count_once_or_all():
    network, x = Units().eval(), 2 * torch.randn(11, 2, 6, generator=generator(6))
    found = proxies(network, x, frame=FRAME, latency=LATENCY)
    assert network.second.shape == (11, 6, 6) and 0 < network.second.mean() < 1
    one = met(late(network.first), network.one.weight) + met(network.first, network.answer.weight)
    units = met(late(network.second), network.shared.weight) + met(network.second, network.filters.weight)
    frames = 11 * 2
    assert found.synops("published") == pytest.approx((one + units / 3) / frames)
    assert found.synops("all-units") == pytest.approx((one + units) / frames)
    real = 4 * 5 + 3 * 3 * 6
    assert found.synops("everything") == pytest.approx((one + units) / frames + real)
    widths = 4 + 5 + 1, 3 + 6 + 2
    assert found.neuronops("published") == sum(widths)
    assert found.neuronops("all-units") == found.neuronops("everything") == widths[0] + 3 * widths[1]
    assert {fan.name: fan.units for fan in found.fans}["filters"] == 3
    assert {fan.name: fan.rate for fan in found.fans}["filters"] == pytest.approx(network.second.mean().item())


def test_batch_padding_and_repetition_leave_the_figures():
    network, x = Units().eval(), torch.randn(11, 2, 6, generator=generator(6))
    found, twice = (proxies(network, one, frame=FRAME, latency=LATENCY) for one in (x, torch.cat([x, x], 1)))
    mask = torch.ones(15, 2, dtype=torch.bool)
    mask[11:] = False
    padded = torch.cat([x, 9 * torch.ones(4, 2, 6)])
    again = proxies(network, padded, mask, frame=FRAME, latency=LATENCY)
    for mode in MODES:
        assert again.power(mode) == pytest.approx(found.power(mode))
        assert twice.power(mode) == pytest.approx(found.power(mode))


def test_a_network_that_never_spikes_is_charged_for_real_numbers():
    network = GRUConfig(hidden=(5, 4), readout=ReadoutConfig(kind="every")).build(3, 2, generator())
    found = proxies(network, torch.randn(7, 2, 3), frame=FRAME, latency=LATENCY)
    synops = 3 * 5 * (3 + 5) + 3 * 4 * (5 + 4) + 4 * 2
    for mode in MODES:
        assert found.synops(mode) == synops and found.neuronops(mode) == 3 + 5 + 4 + 2


class SharedCells(nn.Module):
    """A dense entry, and cells that two halves of it share."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.cells, self.out = Dense(4, 6), GRU(3, 5), Dense(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.cells(self.entry(x).unflatten(2, (2, 3)).flatten(1, 2))
        return self.out(y)


def test_cells_in_units_and_the_layer_before_them():
    found = proxies(SharedCells(), torch.randn(7, 2, 4), frame=FRAME, latency=LATENCY)
    cells, out = 3 * 5 * (3 + 5), 5
    assert found.synops("published") == 4 * 6 + cells + out
    assert found.synops("all-units") == 4 * 6 + 2 * (cells + out)
    named = {(layer.name, layer.kind): (layer.width, layer.units) for layer in found.layers}
    assert named[("entry", "inputs")] == (4, 1) and named[("entry", "outputs")] == (6, 1)
    assert named[("cells", "neurons")] == (5, 2) and named[("out", "outputs")] == (1, 2)


def test_wrong_ways_are_named():
    found = proxies(Units(), torch.randn(3, 1, 6), frame=FRAME, latency=LATENCY)
    with pytest.raises(ConfigError, match="Ways of counting are published, all-units, everything; got 'all'"):
        found.synops("all")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"time of a frame is a number of seconds above 0, got 0"):
        proxies(Units(), torch.randn(3, 1, 6), frame=0.0, latency=LATENCY)
