"""The meters on networks of this package, where counts can still be worked out by hand."""

from __future__ import annotations

import pytest
import torch
from tests.measure.nets import prefix_mask

from spikeworks.measure import count_operations, energy, memory, speed, spike_rates
from spikeworks.models import Network, StackConfig
from spikeworks.neurons import LIF, TCLIF

T, B = 12, 3


def stack(neuron=None, **options) -> Network:
    config = StackConfig(hidden=(6, 5), neuron=neuron or LIF.Config(), **options)
    return config.build(4, 2, torch.Generator().manual_seed(0))


def signal(scale: float = 6.0) -> torch.Tensor:
    return torch.rand(T, B, 4, generator=torch.Generator().manual_seed(1)) * scale


def watched(network: Network, x: torch.Tensor) -> list[torch.Tensor]:
    """Spikes of each block, gathered without the meters."""
    spikes = []
    for block in network.blocks:
        x, _ = block(x)
        spikes.append(x)
    return spikes


def test_synapses_of_a_lif_stack_by_hand():
    network, x = stack(), signal()
    first, second = watched(network, x)
    assert first.sum() > 0 and second.sum() > 0
    report = count_operations(network, x)
    found = {layer.name: layer.operations for layer in report.layers}
    assert found["blocks.0.synapse"].macs == T * 4 * 6
    assert found["blocks.1.synapse"].weight_reads == pytest.approx(first.sum().item() * 5 / B)
    assert found["readout"].weight_reads == pytest.approx(second.sum().item() * 2 / B)
    assert found["blocks.1.synapse"].macs == found["readout"].macs == 0
    assert found["blocks.0.neuron"].state_writes == T * 6
    assert (report.uncounted, report.not_called) == ((), ())


def test_rates_are_those_of_the_spikes():
    network, x = stack(), signal()
    assert spike_rates(network, x) == pytest.approx([s.mean().item() for s in watched(network, x)])


def test_a_silent_stack_costs_no_synapse_behind_the_first():
    quiet = stack()
    with torch.no_grad():
        for block in quiet.blocks:
            block.synapse.bias.zero_()
    report = energy(quiet, signal(scale=1e-4))
    reads = {layer.name: layer.operations.weight_reads for layer in report.layers if not layer.keeps_state}
    assert reads == {"blocks.0.synapse": T * 4 * 6, "blocks.1.synapse": 0, "readout": 0}


def test_a_richer_neuron_costs_more_per_update():
    x = signal()
    assert energy(stack(TCLIF.Config()), x).neurons_nj > energy(stack(), x).neurons_nj > 0


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_masked_energy_equals_that_of_the_sequences_alone(norm):
    network, x, lengths = stack(norm=norm), signal(), [12, 7, 7]
    masked = energy(network, x, prefix_mask(lengths, T))
    alone = [energy(network, x[:n, b : b + 1]) for b, n in enumerate(lengths)]
    assert masked.memory_aware_nj == pytest.approx(sum(r.memory_aware_nj for r in alone) / B)
    doubled = energy(network, x.repeat(1, 2, 1), prefix_mask(lengths * 2, T))
    assert doubled.memory_aware_nj == pytest.approx(masked.memory_aware_nj)


def test_a_recurrent_stack_hides_nothing():
    network, x = stack(recurrent=(True, False)), signal()
    report = count_operations(network, x)
    assert (report.uncounted, report.not_called) == ((), ())
    assert sum(layer.operations.state_writes for layer in report.layers) == T * (6 + 5)


def test_memory_by_block_adds_up_and_grows_with_time():
    network = stack(norm="batch", dropout=0.2)
    short, long = memory(network, signal()), memory(network, signal().repeat(2, 1, 1))
    assert set(short.parts) >= {"blocks.0", "blocks.1", "readout"}
    assert sum(short.parts.values()) == short.saved_bytes > 0
    assert 1.5 < long.parts["blocks.1"] / short.parts["blocks.1"] <= 2
    assert short.state_bytes == long.state_bytes > 0


def test_speed_of_a_masked_stack():
    network, x, mask = stack(norm="batch", dropout=0.2), signal(), prefix_mask([12, 7, 1], T)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    report = speed(network, x, mask, repeats=2, warmup=1, baseline=stack())
    assert report.training is not None and report.training.samples_per_second > 0
    assert report.inference_ratio is not None and report.inference_ratio > 0
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_token_networks():
    config = StackConfig(hidden=(6,), neuron=LIF.Config())
    network = config.build(11, 11, torch.Generator().manual_seed(0), tokens=True)
    ids = torch.randint(11, (B, T), generator=torch.Generator().manual_seed(2))
    report = energy(network, ids, prefix_mask([12, 7, 7], T))
    assert (report.samples, report.steps) == (B, pytest.approx(26 / 3))
    table = {layer.name: layer.operations for layer in report.layers}
    assert table["embedding"].weight_reads == pytest.approx(26 / 3 * network.embedding.weight.shape[1])
    assert len(spike_rates(network, ids)) == 1
