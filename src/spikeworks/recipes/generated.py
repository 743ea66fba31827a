"""Generated tests of memory, at the size of their sources."""

from __future__ import annotations

import dataclasses

from ..arena.config import Budget, RunConfig
from ..arena.resolve import NeuronLike, describe_run
from ..neurons import Reset, Surrogate, config_for
from ..optim import AdamWConfig, ConstantConfig
from .registry import RECIPES


@RECIPES.register("binary-adding")
def binary_adding(neuron: NeuronLike = "lif", seed: int = 0) -> RunConfig:
    """Count marked ones, T=100: 2-128-128-10, AdamW 5e-4, batch 250, 50 epochs (arXiv 2502.09449).

    The LIF of the source: decay .98, threshold .5, triangle surrogate of width .4.
    """
    if neuron == "lif":
        neuron = config_for("lif", decay=0.98, threshold=0.5, surrogate=Surrogate(kind="triangle", width=0.4))
    return dataclasses.replace(
        describe_run("binary-adding", neuron, seed=seed, hidden=(128, 128)),
        optimizer=AdamWConfig(learning_rate=5e-4, clip=None),
        schedule=ConstantConfig(),
        budget=Budget(epochs=50, batch_size=250),
    )


@RECIPES.register("autonomous-localization")
def autonomous_localization(neuron: NeuronLike = "lif", seed: int = 0) -> RunConfig:
    """On which side of the start does a walk end, T=400: 3-128-256-256-2, 100 epochs (arXiv 2505.22035).

    The LIF of the source: decay 1, threshold .5, hard reset, triangle surrogate of width .4.
    """
    if neuron == "lif":
        surrogate = Surrogate(kind="triangle", width=0.4)
        neuron = config_for("lif", decay=1.0, threshold=0.5, reset=Reset(kind="hard"), surrogate=surrogate)
    config = describe_run("autonomous-localization", neuron, seed=seed, hidden=(128, 256, 256))
    return dataclasses.replace(config, budget=Budget(epochs=100, batch_size=256))
