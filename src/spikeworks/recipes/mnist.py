"""MNIST pixel by pixel at its full length of 784, as in arXiv 2502.09449: 1-64-256-256-10."""

from __future__ import annotations

from ..arena.config import RunConfig
from ..arena.resolve import NeuronLike, describe_run
from ..layers import ReadoutConfig
from ..neurons import Reset, Surrogate, config_for
from .registry import RECIPES


@RECIPES.register("s-mnist")
def s_mnist(neuron: NeuronLike = "tc-lif", seed: int = 0) -> RunConfig:
    """MNIST in reading order, T=784, 100 epochs; hours. Minutes: --task.pool 2 --task.train_size 6000 --epochs 10."""
    return describe_run("s-mnist", neuron, seed=seed, hidden=(64, 256, 256))


@RECIPES.register("ps-mnist")
def ps_mnist(neuron: NeuronLike = "tc-lif", seed: int = 0) -> RunConfig:
    """MNIST with its pixels in one fixed shuffled order, T=784, 100 epochs; hours.

    The LIF of the source: decay 1, threshold .5, hard reset, rectangular surrogate of width 1.
    """
    if neuron == "lif":
        surrogate = Surrogate(kind="rectangle", width=1.0)
        neuron = config_for("lif", decay=1.0, threshold=0.5, reset=Reset(kind="hard"), surrogate=surrogate)
    return describe_run("ps-mnist", neuron, seed=seed, hidden=(64, 256, 256), readout=ReadoutConfig(kind="mean"))
