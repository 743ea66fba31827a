"""What lists of neurons say about them."""

from __future__ import annotations

import re

import pytest

from spikeworks.core.operations import Operations
from spikeworks.neurons import LTC, NEURONS, Neuron
from spikeworks.neurons.describe import card, published_in

COUNTED = Operations(macs=2.0, acs=1.0)


@pytest.mark.parametrize("name", NEURONS.names())
def test_every_neuron_names_what_it_is_and_its_source(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for cls in {Neuron, *NEURONS.get(name).__mro__[:1]}:  # counts have a test of their own
        monkeypatch.setattr(cls, "operations", lambda neuron, x, y: COUNTED.scaled(y.numel()))
    one = card(name)
    assert one.about.endswith(".") or ":" in one.about or "<-" in one.about, one.about
    assert re.search(r"arXiv \d{4}\.\d{4,5}$|doi 10\.\d+/\S+$|\(.*\d{4}.*\)$", one.source), one.source
    assert one.source.count("(") == one.source.count(")") and len(one.source) < 80
    assert one.costs == ("2", "1", "0") and one.states.isdigit()
    stored = [key for key, _ in NEURONS.get(name).Config().build(2).named_parameters()]
    assert one.trained.count(",") + 1 == max(len(stored), 1) and (one.trained == "–") == (not stored)


def test_a_cost_that_grows_with_the_layer_is_told_as_such() -> None:
    one = card("ltc")
    assert one.costs == ("4 N + 3", "5", "2")
    assert one.trained.startswith("membrane_rate.weight, ") and published_in(LTC) == "arXiv 2112.11231"
    assert card("psn").costs == ("128", "1", "0")


def test_brackets_within_an_identifier_stay_whole() -> None:
    assert published_in(NEURONS.get("rf")) == "doi 10.1016/S0893-6080(01)00078-8"
    assert published_in(NEURONS.get("dh-lif")) == "DH-SNN (Zheng et al. 2024, Nature Communications 15, 277)"
