"""Recipes by name."""

from __future__ import annotations

from typing import Protocol

from ..arena.config import RunConfig
from ..arena.resolve import NeuronLike
from ..core.registry import Registry


class Recipe(Protocol):
    """A function from a neuron and a seed to the description of a run."""

    def __call__(self, neuron: NeuronLike = ..., seed: int = 0) -> RunConfig:
        """The description."""
        ...


RECIPES: Registry[Recipe] = Registry("recipe", "'spikeworks list recipes' shows what each of them trains")
