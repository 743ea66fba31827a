"""MNIST pixel by pixel at its full length of 784, as in arXiv 2502.09449: 1-64-256-256-10."""

from __future__ import annotations

from ..arena.config import RunConfig
from ..arena.resolve import NeuronLike, describe_run
from .registry import RECIPES


@RECIPES.register("s-mnist")
def s_mnist(neuron: NeuronLike = "tc-lif", seed: int = 0) -> RunConfig:
    """MNIST in reading order, T=784, 100 epochs; hours. Minutes: --task.pool 2 --task.train_size 6000 --epochs 10."""
    return describe_run("s-mnist", neuron, seed=seed, hidden=(64, 256, 256))


@RECIPES.register("ps-mnist")
def ps_mnist(neuron: NeuronLike = "tc-lif", seed: int = 0) -> RunConfig:
    """MNIST with its pixels in one fixed shuffled order, T=784, 100 epochs; hours."""
    return describe_run("ps-mnist", neuron, seed=seed, hidden=(64, 256, 256))
