from __future__ import annotations

import math

import pytest
import torch
from tests.measure.nets import TinyNetwork, prefix_mask, quarter_half_silent
from torch import nn

from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.measure import RateMeter, spike_rates


def test_rates_by_hand():
    assert spike_rates(TinyNetwork(), quarter_half_silent()) == pytest.approx([3 / 9, 4 / 12])


def test_padded_steps_do_not_count():
    x = quarter_half_silent().repeat(1, 2, 1)
    mask = prefix_mask([3, 1], 3)
    x[~mask] = 99.0  # everything fires in the padding
    # first block: 3 spikes of 9, and 1 of 3; second: 4 of 12, and 0 of 4
    assert spike_rates(TinyNetwork(), x, mask) == pytest.approx([4 / 12, 4 / 16])


class Graded(nn.Module):
    def __init__(self, values) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Identity()])
        self.readout = nn.Identity()
        self.values = values

    def forward(self, x, state=None, mask=None):
        return self.readout(self.blocks[0](self.values)), None


def test_graded_spikes_count_by_value_and_ternary_by_magnitude():
    graded = Graded(torch.tensor([[[0.0, 3.0]], [[-1.0, 0.0]]]))
    assert spike_rates(graded, torch.rand(2, 1, 1)) == [1.0]


def test_meter_gathers_over_passes():
    network, x = TinyNetwork(), quarter_half_silent()
    with RateMeter(network) as meter:
        assert math.isnan(meter.rates()[0])
        network(x)
        meter.mask = prefix_mask([2], 3)
        network(x, mask=meter.mask)
    network(x)  # no longer watched
    assert meter.rates() == pytest.approx([(3 + 3) / (9 + 6), (4 + 4) / (12 + 8)])


def test_errors_are_named():
    with pytest.raises(ConfigError, match="Linear has no blocks to watch"):
        spike_rates(nn.Linear(2, 2), torch.rand(3, 1, 2))
    with pytest.raises(ShapeError, match="Block 0 returned spikes"):
        spike_rates(Graded(torch.ones(5, 1, 2)), torch.rand(3, 1, 2), prefix_mask([2], 3))


def test_where_currents_leave_a_block_the_neurons_inside_are_counted():
    from spikeworks.models import NETWORKS

    generator = torch.Generator().manual_seed(0)
    network = NETWORKS.get("spiking-fullsubnet")(full_hidden=(6,), sub_hidden=(5,)).build(17, 17, generator).eval()
    heard: list[torch.Tensor] = []
    network.blocks[0].layers[0].register_forward_hook(lambda module, args, result: heard.append(result[0]))
    x = torch.rand(9, 3, 17, generator=generator)
    mask = torch.arange(9).unsqueeze(1) < torch.tensor([9, 4, 6])
    first, second = spike_rates(network, x, mask)
    assert first == pytest.approx(heard[0][mask].mean().item()) and 0 < second <= 1
    silent = NETWORKS.get("gru")(hidden=(4,)).build(17, 2, generator)
    assert spike_rates(silent, x) == [0.0]
