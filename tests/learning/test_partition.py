"""Cuts and choices against the published tables, with the cost of a block as the sheets count it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.errors import ConfigError
from spikeworks.learning.partition import (
    cost_of,
    equal_parts,
    evenly_after,
    from_cuts,
    partition,
    pyramid,
    select_exact,
    select_uniform,
)

Shape = tuple[int, int]


class Conv:
    """A network of convolution blocks: elements kept a sample and step, input + 2 outputs each."""

    def __init__(self, channels: list[int], strides: list[int], size: int, inputs: int) -> None:
        self.channels, self.shapes, self.costs = channels, [], []
        shape = (inputs, size)
        for out, stride in zip(channels, strides, strict=True):
            cost, shape = self.kept(out, stride, shape)
            self.costs.append(cost)
            self.shapes.append(shape)

    def kept(self, out: int, stride: int, shape: Shape) -> tuple[int, Shape]:
        channels, size = shape
        smaller = -(-size // stride)
        return channels * size**2 + 2 * out * smaller**2, (out, smaller)

    def cost_at(self, q: int, shape: Shape) -> tuple[float, Shape]:
        return self.kept(self.channels[q], 2 if shape[1] > self.shapes[q][1] else 1, shape)


class Residual(Conv):
    """A stem and basic residual blocks: input + 5 outputs, and one more with a shortcut."""

    def __init__(self, layers: list[int], size: int, *, stem: int = 1, first: int = 1) -> None:
        channels, strides = [64], [stem]
        for group, (width, count) in enumerate(zip((64, 128, 256, 512), layers, strict=True)):
            channels += [width] * count
            strides += [2 if group else first] + [1] * (count - 1)
        self.stem = Conv([64], [stem], size, 3)
        self.channels, self.shapes, self.costs = channels, list(self.stem.shapes), list(self.stem.costs)
        shape = self.shapes[0]
        for out, stride in zip(channels[1:], strides[1:], strict=True):
            cost, shape = self.kept(out, stride, shape)
            self.costs.append(cost)
            self.shapes.append(shape)

    def kept(self, out: int, stride: int, shape: Shape) -> tuple[int, Shape]:
        channels, size = shape
        smaller = -(-size // stride)
        shortcut = stride > 1 or channels != out
        return channels * size**2 + (5 + shortcut) * out * smaller**2, (out, smaller)


EIGHT = Conv([16, 16, 32, 32, 32, 64, 64, 64], [1, 1, 2, 1, 1, 2, 1, 1], 14, 1)
VGG = Conv([64, 128, 256, 256, 512, 512, 512, 512], [1, 2, 2, 1, 2, 1, 2, 1], 32, 3)
RESNET18 = Residual([2, 2, 2, 2], 32)
RESNET34 = Residual([3, 4, 6, 3], 224, stem=2, first=2)


def test_costs_of_the_small_network() -> None:
    total = sum(EIGHT.costs)
    assert total == 41316
    assert [round(cost / total, 3) for cost in EIGHT.costs] == [0.157, 0.228, 0.152, 0.114, 0.114, 0.088, 0.074, 0.074]


@pytest.mark.parametrize(
    ("network", "segments", "share"),
    [
        (VGG, [(0, 0), (1, 1), (2, 3), (4, 7)], 0.294),
        (RESNET18, [(0, 1), (2, 2), (3, 4), (5, 8)], 0.306),
        (RESNET34, [(0, 0), (1, 2), (3, 6), (7, 16)], 0.287),
    ],
)
def test_published_partitions(network: Conv, segments: list[tuple[int, int]], share: float) -> None:
    found = partition(network.costs, 4)
    assert found == segments
    dearest = max(sum(network.costs[a : e + 1]) for a, e in found)
    assert dearest / sum(network.costs) == pytest.approx(share, abs=5e-4)


@pytest.mark.parametrize(
    ("network", "shares"),
    [
        (VGG, [0.719, 1.151, 0.827, 0.854, 0.544, 0.598, 0.706]),
        (RESNET18, [0.494, 0.285, 0.266, 0.494, 0.551, 0.637, 0.808, 0.922]),
        (RESNET34, [0.933, 0.789, 0.502, 0.493, 0.332, 0.359, 0.399, 0.426, 0.480, 0.561]),
    ],
)
def test_published_costs_of_auxiliary_networks(network: Conv, shares: list[float]) -> None:
    blocks, total = len(network.costs), sum(network.costs)
    found = [
        cost_of(evenly_after(0, blocks, d), network.shapes[0], network.cost_at) / total
        for d in range(1, len(shares) + 1)
    ]
    assert found == pytest.approx(shares, abs=6e-4)


@pytest.mark.parametrize(
    ("ratio", "choices"),
    [
        (0.5, [(2, 5, 7), (4, 7), (4, 5, 7), (4, 5, 6, 7), (5, 6, 7), (6, 7), (7,)]),
        (0.7, [(2, 4, 5, 7), (2, 4, 6, 7), (3, 4, 5, 6, 7), (4, 5, 6, 7), (5, 6, 7), (6, 7), (7,)]),
        (1.0, [tuple(range(e + 1, 8)) for e in range(7)]),
    ],
)
def test_published_choices_of_the_small_network(ratio: float, choices: list[tuple[int, ...]]) -> None:
    budget = ratio * sum(EIGHT.costs)
    found = [select_uniform(e, 8, budget - EIGHT.costs[e], EIGHT.shapes[e], EIGHT.cost_at) for e in range(7)]
    assert found == choices


@pytest.mark.parametrize(
    ("network", "ratio", "uniform", "exact"),
    [
        (VGG, 0.4, [0, 0, 3], [0, 0, 3]),
        (VGG, 0.6, [0, 4, 4], [1, 5, 4]),
        (VGG, 0.8, [0, 6, 4], [3, 6, 4]),
        (RESNET18, 0.4, [0, 0, 2], [0, 1, 2]),
        (RESNET18, 0.6, [3, 4, 4], [3, 5, 4]),
        (RESNET18, 0.8, [4, 6, 4], [6, 6, 4]),
        (RESNET34, 0.4, [0, 0, 4], [1, 2, 5]),
        (RESNET34, 0.6, [8, 8, 10], [10, 10, 10]),
        (RESNET34, 0.8, [12, 12, 10], [14, 13, 10]),
    ],
)
def test_published_depths(network: Conv, ratio: float, uniform: list[int], exact: list[int]) -> None:
    blocks, budget = len(network.costs), ratio * sum(network.costs)
    for select, wanted in ((select_uniform, uniform), (select_exact, exact)):
        depths = []
        for a, e in partition(network.costs, 4)[:-1]:
            room = budget - sum(network.costs[a : e + 1])
            chosen = select(e, blocks, room, network.shapes[e], network.cost_at)
            assert cost_of(chosen, network.shapes[e], network.cost_at) <= max(room, 0)
            depths.append(len(chosen))
        assert depths == wanted


def test_the_largest_choice_grows_with_the_budget() -> None:
    sizes = [
        len(select_exact(0, 9, share * sum(RESNET18.costs), RESNET18.shapes[0], RESNET18.cost_at))
        for share in (0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 2.0)
    ]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 8


def test_the_largest_choice_against_all_choices() -> None:
    for budget in (8000, 14000, 20000, 30000, 45000):
        found = select_exact(1, 8, budget, EIGHT.shapes[1], EIGHT.cost_at)
        fitting = [
            (-size, cost)
            for size in range(7)
            for chosen in itertools.combinations(range(2, 8), size)
            if (cost := cost_of(chosen, EIGHT.shapes[1], EIGHT.cost_at)) <= budget
        ]
        assert (-len(found), cost_of(found, EIGHT.shapes[1], EIGHT.cost_at)) == min(fitting)


def test_indices_of_auglocal() -> None:
    assert [evenly_after(e, 16, 3) for e in (0, 1, 5, 8, 11)] == [
        (5, 10, 15), (6, 10, 15), (8, 12, 15), (10, 13, 15), (12, 14, 15),
    ]  # fmt: skip
    assert evenly_after(13, 16, 3) == (14, 15)
    assert pyramid(2, 13, 0.5) == [2] * 13
    assert pyramid(3, 12, 0.5) == [3] * 6 + [2] * 6
    assert pyramid(5, 10, 0.5) == [5, 5, 5, 4, 4, 4, 4, 3, 3, 3]
    assert pyramid(5, 49, 0.5) == [5] * 12 + [4] * 25 + [3] * 12
    assert pyramid(4, 7, 0.0) == [4] * 7


@given(st.lists(st.integers(1, 50), min_size=1, max_size=7), st.data())
def test_no_other_cut_is_cheaper(costs: list[int], data: st.DataObject) -> None:
    parts = data.draw(st.integers(1, len(costs)))
    found = partition(costs, parts)
    assert [i for a, e in found for i in range(a, e + 1)] == list(range(len(costs)))
    assert len(found) <= parts
    dearest = max(sum(costs[a : e + 1]) for a, e in found)
    for cuts in itertools.combinations(range(len(costs) - 1), parts - 1):
        assert dearest <= max(sum(costs[a : e + 1]) for a, e in from_cuts(len(costs), cuts))


def test_equal_parts_and_cuts() -> None:
    assert equal_parts(8, 3) == [(0, 2), (3, 5), (6, 7)]
    assert equal_parts(4, 4) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert from_cuts(8, (1, 3, 5, 7)) == [(0, 1), (2, 3), (4, 5), (6, 7)]
    for bad in (lambda: partition([1.0], 2), lambda: equal_parts(3, 0), lambda: from_cuts(4, (2, 1))):
        with pytest.raises(ConfigError):
            bad()
