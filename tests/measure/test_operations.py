from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.measure.nets import Threshold, TinyNetwork, prefix_mask, quarter_half_silent
from torch import nn

from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.core.operations import Operations
from spikeworks.measure import count_operations


def by_name(report) -> dict[str, Operations]:
    return {layer.name: layer.operations for layer in report.layers}


def test_two_layers_equal_pen_and_paper():
    report = count_operations(TinyNetwork(), quarter_half_silent())
    found = by_name(report)
    # real input: 3 steps x 2 inputs x 3 outputs, zeros included
    assert found["blocks.0.synapse"] == Operations(macs=18, weight_reads=18)
    # 3 steps x 3 neurons
    assert found["blocks.0.neuron"] == Operations(macs=9, acs=9, state_reads=9, state_writes=9)
    # 1 + 2 + 0 spikes, each to 4 neurons
    assert found["blocks.1.synapse"] == Operations(acs=12, weight_reads=12)
    assert found["blocks.1.neuron"] == Operations(macs=12, acs=12, state_reads=12, state_writes=12)
    # 4 spikes to 5 outputs
    assert found["readout.linear"] == Operations(acs=20, weight_reads=20)
    assert report.total == Operations(macs=39, acs=53, weight_reads=50, state_reads=21, state_writes=21)
    assert (report.samples, report.steps, report.uncounted, report.not_called) == (1, 3.0, (), ())


def test_counts_are_per_sequence_not_per_step():
    x = quarter_half_silent()
    once, twice = count_operations(TinyNetwork(), x), count_operations(TinyNetwork(), x.repeat(1, 2, 1))
    longer = count_operations(TinyNetwork(), x.repeat(2, 1, 1))
    assert by_name(once) == by_name(twice)
    assert longer.total == once.total.scaled(2)


@settings(max_examples=25, deadline=None)
@given(steps=st.integers(1, 6), batch=st.integers(1, 5), copies=st.integers(2, 4), seed=st.integers(0, 2**31))
def test_repeating_the_batch_changes_nothing(steps, batch, copies, seed):
    x = torch.rand(steps, batch, 2, generator=torch.Generator().manual_seed(seed))
    network = TinyNetwork()
    few, many = count_operations(network, x).total, count_operations(network, x.repeat(1, copies, 1)).total
    assert few.acs == pytest.approx(many.acs) and few.macs == pytest.approx(many.macs)
    assert few.weight_reads == pytest.approx(many.weight_reads)


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 7), min_size=1, max_size=5), seed=st.integers(0, 2**31))
def test_masked_batch_equals_the_mean_over_single_sequences(lengths, seed):
    x = torch.rand(7, len(lengths), 2, generator=torch.Generator().manual_seed(seed))
    network = TinyNetwork()
    masked = count_operations(network, x, prefix_mask(lengths, 7))
    alone = [count_operations(network, x[:n, b : b + 1]).total for b, n in enumerate(lengths)]
    mean = sum(alone, Operations()).scaled(1 / len(lengths))
    assert masked.total.acs == pytest.approx(mean.acs) and masked.total.macs == pytest.approx(mean.macs)
    assert masked.steps == pytest.approx(sum(lengths) / len(lengths))


def test_what_stands_in_the_padding_does_not_matter():
    x, mask = quarter_half_silent().repeat(1, 2, 1), prefix_mask([3, 2], 3)
    dirty = torch.where(mask[..., None], x, torch.full_like(x, 9.0))
    assert count_operations(TinyNetwork(), dirty, mask).total == count_operations(TinyNetwork(), x, mask).total


def test_a_layer_keeps_its_signal_kind_over_groups_of_length():
    # The short sequence is binary, the long one is not: all of the input layer counts as real.
    x = torch.tensor([[[1.0], [0.3]], [[1.0], [0.4]]])
    report = count_operations(nn.Sequential(nn.Linear(1, 2)), x, prefix_mask([1, 2], 2))
    assert report.total == Operations(macs=(2 + 4) / 2, weight_reads=(2 + 4) / 2)


@pytest.mark.parametrize(
    ("values", "macs", "acs"),
    [
        ([0.0, 1.0, 1.0], 0, 2 * 4),  # binary
        ([0.0, 3.0, 1.0], 0, 4 * 4),  # graded: by value
        ([-1.0, 0.0, 1.0], 0, 2 * 4),  # ternary: by magnitude
        ([0.0, 0.0, 0.0], 0, 0),  # silent
        ([0.0, 0.5, 1.0], 3 * 4, 0),  # real, the zero included
        ([0.0, 200.0, 1.0], 3 * 4, 0),  # whole numbers beyond any spike
        ([0.0, float("nan"), 1.0], 3 * 4, 0),
    ],
    ids=["binary", "graded", "ternary", "silent", "real", "pixels", "nan"],
)
def test_signal_kinds(values, macs, acs):
    total = count_operations(nn.Linear(3, 4), torch.tensor(values).reshape(1, 1, 3)).total
    assert (total.macs, total.acs, total.weight_reads) == (macs, acs, macs + acs)


@pytest.mark.parametrize("mode", ["zeros", "circular"])
@pytest.mark.parametrize("padding", [0, 2, "same"])
@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 1), (1, 2, 2)])
def test_convolution_counts_each_weight_that_meets_a_spike(mode, padding, stride, dilation, groups):
    layer = nn.Conv1d(4, 6, 3, stride, padding, dilation, groups, bias=False, padding_mode=mode)
    x = (torch.rand(5, 4, 9, generator=torch.Generator().manual_seed(1)) < 0.4).float()
    with torch.no_grad():
        meetings = layer.weight.new_zeros(())
        ones = nn.Conv1d(4, 6, 3, stride, padding, dilation, groups, bias=False, padding_mode=mode)
        ones.weight.fill_(1.0)
        meetings = ones(x).sum().item()
    total = count_operations(layer, x, batch_axis=0).total
    assert total.acs == pytest.approx(meetings / 5)
    assert total.macs == 0
    dense = count_operations(layer, x + 0.25, batch_axis=0).total
    assert dense.macs == layer(x).numel() / 5 * 3 * 4 / groups


def test_convolution_2d_by_hand():
    # 3x3 kernel without padding: a spike in the middle of 5x5 meets all 9 outputs of 2 channels,
    # one in the corner meets 1 of each.
    layer, x = nn.Conv2d(1, 2, 3), torch.zeros(2, 1, 5, 5)
    x[0, 0, 2, 2] = 1
    x[1, 0, 0, 0] = 1
    assert count_operations(layer, x, batch_axis=0).total.acs == (9 * 2 + 1 * 2) / 2


def test_normalisations():
    x = torch.rand(2, 4, 6)
    assert count_operations(nn.Sequential(nn.BatchNorm1d(6)), x[0]).total == Operations()
    layer = count_operations(nn.LayerNorm(6), x).total
    assert layer == Operations(macs=2 * 6 * 3, acs=2 * 6, specials=2, weight_reads=2 * 6 * 2)
    plain = count_operations(nn.LayerNorm(6, elementwise_affine=False), x).total
    assert plain == Operations(macs=2 * 6 * 2, acs=2 * 6, specials=2)
    rms = count_operations(nn.RMSNorm(6), x).total
    assert rms == Operations(macs=2 * 6 * 3, specials=2, weight_reads=2 * 6)
    group = count_operations(nn.GroupNorm(3, 6), x[0]).total
    assert group == Operations(macs=6 * 3, acs=6, specials=3, weight_reads=12)


def test_embedding_reads_one_row_for_each_id():
    ids = torch.tensor([[0, 2, 2], [1, 1, 0]])
    report = count_operations(nn.Embedding(3, 8), ids)
    assert report.total == Operations(weight_reads=3 * 8)
    assert (report.samples, report.steps) == (2, 3.0)
    masked = count_operations(nn.Embedding(3, 8), ids, prefix_mask([3, 1], 3))
    assert masked.total == Operations(weight_reads=2 * 8)


class Wrapped(nn.Module):
    """Counts itself, with the linear layer and the neuron inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2, bias=False)
        self.neuron = Threshold()

    def forward(self, x):
        return self.neuron(self.linear(x))

    def operations(self, x, y):
        return Operations(macs=float(y.numel() * 2)) + self.neuron.operations(y, y)


def test_a_countable_answers_for_everything_inside_it():
    report = count_operations(nn.Sequential(Wrapped()), torch.rand(3, 2, 2))
    assert by_name(report) == {"0": Operations(macs=12 + 6, acs=6, state_reads=6, state_writes=6)}
    assert report.layers[0].parameters == 4 and report.not_called == ()


class Hidden(nn.Module):
    """A bare parameter, a layer that is used without being called, and a step that cannot be counted."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(2))
        self.linear = nn.Linear(2, 2)
        self.unknown = Unknown()

    def forward(self, x):
        return self.unknown(nn.functional.linear(x * self.gain, self.linear.weight))


class Unknown(nn.Module):
    def forward(self, x):
        return x

    def operations(self, x, y):
        return Operations(macs=float("nan"))


def test_what_the_figures_miss_is_named():
    report = count_operations(nn.Sequential(Hidden()), torch.rand(3, 2, 2))
    assert report.uncounted == ("0", "0.unknown")
    assert report.not_called == ("0.linear",)
    assert report.to_dict()["total"]["macs"] is None


def test_hooks_are_gone_and_modes_restored_after_an_error():
    network = TinyNetwork()
    network.blocks[0].eval()
    with pytest.raises(RuntimeError):
        count_operations(network, torch.rand(3, 1, 9))
    assert network.training and not network.blocks[0].training
    assert all(not module._forward_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("x", "mask", "message"),
    [
        (torch.rand(3), None, "Expected x of shape"),
        (torch.rand(0, 2, 2), None, "Nothing to measure"),
        (torch.rand(3, 2, 2), torch.ones(2, 3, dtype=torch.bool), r"\[T, B\] = \[3, 2\]"),
        (torch.rand(3, 2, 2), torch.ones(3, 2), "bool mask"),
        (torch.rand(3, 2, 2), torch.tensor([[False, True]] * 2 + [[True, True]]), "has gaps"),
        (torch.rand(3, 2, 2), prefix_mask([3, 0], 3), "without any step"),
        (torch.rand(4, 2), torch.ones(4, 2, dtype=torch.bool), "bool mask"),
    ],
    ids=["axes", "empty", "transposed", "dtype", "gaps", "zero-length", "no-time"],
)
def test_bad_input_is_named(x, mask, message):
    with pytest.raises(ShapeError, match=message):
        count_operations(TinyNetwork(), x, mask)


def test_bad_batch_axis_and_bad_result():
    with pytest.raises(ShapeError, match="batch_axis 5 is out of range"):
        count_operations(TinyNetwork(), torch.rand(3, 2, 2), batch_axis=5)

    class Named(nn.Module):
        def forward(self, x):
            return {"y": x}

    with pytest.raises(ConfigError, match="Named returned dict"):
        count_operations(Named(), torch.rand(3, 2, 2))
