"""The spatial convolution at every step."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.layers import Conv2d
from spikeworks.measure import count_operations
from spikeworks.neurons import LIF


def conv(channels: int, outputs: int, **options) -> Conv2d:
    return Conv2d(channels, outputs, generator=torch.Generator().manual_seed(0), **options)


def spikes(*shape: int) -> torch.Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(1)) < 0.3).float()


@pytest.mark.parametrize(
    "options",
    [
        {"kernel": 3},
        {"kernel": 1},
        {"kernel": 2, "stride": 2},
        {"kernel": 5, "stride": 3, "padding": 0},
        {"kernel": 3, "groups": 2},
    ],
    ids=str,
)
def test_every_step_is_convolved_alone(options):
    module, x = conv(4, 6, **options), torch.rand(5, 3, 4, 9, 7)
    y = module(x)
    assert y.shape == (5, 3, 6, module.length(9), module.length(7))
    plain = torch.nn.Conv2d(
        4,
        6,
        options["kernel"],
        options.get("stride", 1),
        options.get("padding", options["kernel"] // 2),
        groups=options.get("groups", 1),
    )
    plain.load_state_dict(module.state_dict())
    for t in range(5):
        assert_close(y[t], plain(x[t]))


def test_an_image_without_channels_has_one():
    module, x = conv(1, 2, kernel=3), torch.rand(4, 2, 6, 5)
    assert torch.equal(module(x), module(x.unsqueeze(2)))


@pytest.mark.parametrize(
    "options",
    [{"kernel": 3}, {"kernel": 3, "stride": 2}, {"kernel": 2, "padding": 0}, {"kernel": 3, "groups": 2}],
    ids=str,
)
def test_operations_count_every_weight_that_a_spike_reaches(options):
    module, x = conv(2, 4, **options), spikes(3, 2, 2, 5, 4)
    y = module(x)
    ones = conv(2, 4, **options)
    torch.nn.init.ones_(ones.weight)
    torch.nn.init.zeros_(ones.bias)
    reached = ones(x).sum().item()  # every weight counts the spikes that it sees
    counted = module.operations(x, y)
    assert (counted.acs, counted.weight_reads, counted.macs) == (reached, reached, 0)
    assert module.operations(x + 0.5, y).macs == y.numel() * 2 // options.get("groups", 1) * options["kernel"] ** 2


def test_neurons_follow_and_meters_see_the_layer():
    network = torch.nn.Sequential(conv(2, 3, kernel=3, stride=2))
    y, state = LIF(3)(network(spikes(6, 2, 2, 8, 8)) * 4)
    assert y.shape == (6, 2, 3, 4, 4) and y.any() and state[0].shape == (2, 3, 4, 4)
    (layer,) = count_operations(network, spikes(6, 2, 2, 8, 8)).layers
    assert layer.kind == "Conv2d" and layer.operations.acs > 0 and layer.parameters == 57


def test_gradients():
    module = conv(2, 3, kernel=2, stride=2).double()
    x = torch.rand(2, 2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,))


def test_bad_input_is_refused():
    with pytest.raises(ConfigError, match="at least 1 and no negative padding, got 2, 3, 0, 1, 1 and None"):
        conv(2, 3, kernel=0)
    with pytest.raises(ConfigError, match="multiples of groups, got 3, 4 and 2"):
        conv(3, 4, kernel=3, groups=2)
    module = conv(2, 3, kernel=5, padding=0)
    with pytest.raises(ShapeError, match=r"\[T, B, 2, H, W\], got \[4, 2, 8, 8\]"):
        module(torch.zeros(4, 2, 8, 8))
    with pytest.raises(ShapeError, match=r"got \[4, 2, 3, 8, 8\]"):
        module(torch.zeros(4, 2, 3, 8, 8))
    with pytest.raises(ShapeError, match="no place on 4 x 8"):
        module(torch.zeros(4, 2, 2, 4, 8))
