"""The two peaks on programs whose memory is counted by hand."""

from __future__ import annotations

import torch
from torch import nn

from spikeworks.measure import memory, watch_memory


def chain(layers: int, width: int) -> nn.Sequential:
    return nn.Sequential(*(part for _ in range(layers) for part in (nn.Linear(width, width), nn.Sigmoid())))


def test_a_chain_keeps_one_output_a_layer() -> None:
    network, x = chain(5, 10), torch.rand(20, 10)
    with watch_memory([*network.parameters(), x]) as seen:
        network(x).sum().backward()
    assert seen.saved_peak == 5 * 20 * 10 * 4  # each sigmoid's output; the linear layer keeps the same storage


def test_small_passes_one_after_another_keep_no_more_than_one() -> None:
    network, x = chain(2, 10), torch.rand(20, 10)
    with watch_memory([*network.parameters(), x]) as once:
        network(x).sum().backward()
    network.zero_grad(set_to_none=True)
    with watch_memory([*network.parameters(), x]) as often:
        for _ in range(7):
            network(x).sum().backward()
    assert often.saved_peak == once.saved_peak == 2 * 20 * 10 * 4
    parameters = sum(p.numel() for p in network.parameters()) * 4
    assert once.live_peak <= often.live_peak <= once.live_peak + parameters  # gradients stay from pass to pass


def test_what_is_kept_on_purpose_is_alive_but_not_saved() -> None:
    x = torch.rand(1000)
    with watch_memory() as seen, torch.no_grad():
        kept = [x * i for i in range(3)]
    assert (seen.saved_peak, seen.live_peak) == (0, 3 * 4000)
    assert len(kept) == 3


def test_the_peak_of_one_forward_is_what_the_meter_of_a_network_tells() -> None:
    network, x = chain(3, 8), torch.rand(6, 4, 8)
    with watch_memory([*network.parameters(), x]) as seen:
        output = network(x)
    assert seen.saved_peak == memory(network, x).saved_bytes
    del output
