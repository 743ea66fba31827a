"""What a step costs, counted from its graph, equals the published figure or differs for the reason that is given."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from spikeworks.neurons import LTC, NEURONS, PSN, Neuron, Parameter, config_for
from spikeworks.neurons.costs import cost, cost_in_words

data = runpy.run_path(str(Path(__file__).with_name("operations_table.py")))
TABLE, LETTERS = data["TABLE"], data["LETTERS"]
COLUMNS = ("multiplications", "additions", "comparisons", "specials")


def counted(name: str) -> tuple[str, ...]:
    """The four counts of a registered neuron as text."""
    words = cost_in_words(config_for(name))
    return tuple(words[column] for column in COLUMNS)


def bounds(figure: str) -> tuple[float, float] | None:
    """The least and the most that a published figure allows; ``None`` where it depends on the layer's size."""
    for letter, meant in LETTERS.items():
        figure = figure.replace(letter, str(meant))
    if "N" in figure:
        return None
    low, _, high = figure.partition("–")
    return sum(map(float, low.split(" + "))), sum(map(float, (high or low).split(" + ")))


def agrees(row: Any) -> bool:
    """Whether multiplications and special functions are the published ones."""
    figure, specials = re.fullmatch(r"(.*?)(?: \+ (\d+) special)?", row.published).groups(default="0")  # type: ignore[union-attr]
    if row.counted[3] != specials:
        return False
    allowed = bounds(figure)
    if allowed is None:
        return row.counted[0] == figure
    return "N" not in row.counted[0] and allowed[0] <= float(row.counted[0]) <= allowed[1]


@pytest.mark.parametrize("name", TABLE)
def test_counts_are_those_of_the_table(name: str) -> None:
    assert counted(name) == TABLE[name].counted


@pytest.mark.parametrize("name", [name for name in TABLE if TABLE[name].published])
def test_a_difference_has_a_reason_and_equality_none(name: str) -> None:
    assert agrees(TABLE[name]) == (not TABLE[name].reason), TABLE[name]


def test_every_row_is_a_neuron() -> None:
    assert set(TABLE) <= set(NEURONS.names())


@pytest.mark.parametrize(
    ("counted", "published", "same"),
    [
        (("5", "9", "1", "0"), "K + 1", True),
        (("4", "9", "1", "0"), "K + 1", False),
        (("4", "9", "1", "0"), "3–4", True),
        (("5", "9", "1", "0"), "3–4", False),
        (("2", "9", "1", "2"), "2 + 2 special", True),
        (("2", "9", "1", "1"), "2 + 2 special", False),
        (("2", "9", "1", "1"), "2", False),
        (("4 N + 3", "9", "1", "2"), "4 N + 3 + 2 special", True),
        (("4 N + 4", "9", "1", "2"), "4 N + 3 + 2 special", False),
    ],
)
def test_the_comparison_can_fail(counted: tuple[str, ...], published: str, same: bool) -> None:
    assert agrees(data["Row"](counted, published)) == same


def test_a_hand_counted_step() -> None:
    class Made(Neuron):
        """Three products, of which one selects; two additions and a difference; a spike; a square root."""

        states = ("voltage",)
        threshold = Parameter(1.0, trainable=True)
        scale = Parameter(1.0, per="channel")

        def step(self, x, voltage, *, threshold, scale):  # type: ignore[override]
            charged = 0.5 * voltage + scale * x + torch.sqrt(x)
            fired = self.fire(charged - threshold)
            return fired, threshold * fired

    found = cost(Made(7))
    assert [getattr(found, column) for column in COLUMNS] == [2, 3, 1, 1]
    assert (found.states, found.per_neuron, found.per_layer) == (1, 1, 1)


def test_counts_of_neurons_without_a_graph_are_those_of_their_equations() -> None:
    """LTC: its step with both rates known; PSN: one product for each pair of steps, and one more input a bias."""
    x = torch.zeros(3, 2, 5)
    ltc = LTC(5)
    per_step = ltc.operations(x, x).scaled(1 / x.numel())
    # r b, a (x - v), strength b; (1 - r) s and the reset select; 2 N for each rate
    assert (per_step.macs, per_step.specials, per_step.weight_reads) == (4 * 5 + 3, 2, 4 * 5)
    assert per_step.macs + per_step.acs == 4 * 5 + 8  # seven additions, one comparison, some of them in the products
    assert cost(LTC(5)).additions == 4 * 5 + 7
    assert cost(LTC(5)).per_neuron == 4 * 5 + 2
    found = cost(PSN(5, steps=9))
    assert (found.multiplications, found.additions, found.per_layer, found.states) == (9, 9, 90, 0)
