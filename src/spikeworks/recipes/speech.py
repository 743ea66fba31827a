"""Spoken digits from log-mel frames."""

from __future__ import annotations

from ..arena.config import RunConfig
from ..arena.resolve import NeuronLike, describe_run
from .registry import RECIPES


@RECIPES.register("spoken-digits")
def spoken_digits(neuron: NeuronLike = "alif", seed: int = 0) -> RunConfig:
    """Ten digits by six speakers, 40 bands, unequal lengths, two layers of 128; minutes."""
    return describe_run("spoken-digits", neuron, seed=seed, hidden=(128, 128))
