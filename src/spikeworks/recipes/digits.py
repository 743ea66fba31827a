"""The first thing to run: four neurons on the digits that come with scikit-learn, one pixel a step."""

from __future__ import annotations

from ..arena.config import RunConfig
from ..arena.resolve import NeuronLike, describe_run
from .registry import RECIPES

QUICKSTART = ("lif", "alif", "tc-lif", "pmsn")
"""The neurons of the first comparison, from the plainest to the one with the longest memory."""


@RECIPES.register("quickstart")
def quickstart(neuron: NeuronLike = "tc-lif", seed: int = 0) -> RunConfig:
    """Digits of 8 x 8 pixels, T=64, two layers of 64; half a minute on two cores."""
    return describe_run("seq-digits", neuron, seed=seed, hidden=(64, 64))


def quickstart_suite(seeds: int = 2) -> tuple[RunConfig, ...]:
    """The quickstart for each of its neurons and seeds, all neurons of a seed together."""
    return tuple(quickstart(neuron, seed) for seed in range(seeds) for neuron in QUICKSTART)
