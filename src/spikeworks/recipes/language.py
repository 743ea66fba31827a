"""Word-level language modelling on the Penn Treebank."""

from __future__ import annotations

import dataclasses

from ..arena.config import Budget, RunConfig
from ..arena.resolve import NeuronLike, describe_run
from ..models import EmbeddingConfig
from ..neurons import Surrogate, config_for
from ..optim import ConstantConfig, SGDConfig
from .registry import RECIPES


@RECIPES.register("ptb")
def ptb(neuron: NeuronLike = "lif", seed: int = 0) -> RunConfig:
    """Penn Treebank as in arXiv 2502.09449: embedding 400, layers 1100 and 400, tied decoder, SGD 3, 100 epochs.

    The LIF of the source: decay .5, threshold .5, rectangular surrogate of width 1. Dropout:
    whole embedding rows .1, .4 behind the embedding, .25 between layers, .4 before the decoder.
    """
    if neuron == "lif":
        neuron = config_for("lif", decay=0.5, threshold=0.5, surrogate=Surrogate(kind="rectangle", width=1.0))
    config = describe_run(
        "ptb",
        neuron,
        seed=seed,
        hidden=(1100, 400),
        embedding=EmbeddingConfig(size=400, dropout=0.1, tied=True),
        input_dropout=0.4,
        dropout=0.25,
        output_dropout=0.4,
    )
    return dataclasses.replace(
        config,
        optimizer=SGDConfig(learning_rate=3.0, weight_decay=1.2e-6, clip=0.25),
        schedule=ConstantConfig(),
        budget=Budget(epochs=100, batch_size=20),
    )
