"""Full runs as functions: each returns the frozen description of one run.

``spikeworks run --recipe NAME`` carries one out; ``--neuron``, ``--seed`` and every leaf of the
description can be changed there, or here with ``dataclasses.replace``.

Example:
    >>> from spikeworks.recipes import RECIPES
    >>> RECIPES.get("quickstart")("tc-lif", 1).model.hidden
    (64, 64)
"""

from .denoise import denoise
from .digits import QUICKSTART, quickstart, quickstart_suite
from .generated import autonomous_localization, binary_adding
from .language import ptb
from .mnist import ps_mnist, s_mnist
from .nsa import nsa
from .registry import RECIPES, Recipe
from .speech import spoken_digits
from .temporal_suite import temporal_suite
from .temporal_tables import temporal_architectures, temporal_norms, temporal_rules, temporal_surrogates

__all__ = [
    "QUICKSTART",
    "RECIPES",
    "Recipe",
    "autonomous_localization",
    "binary_adding",
    "denoise",
    "nsa",
    "ps_mnist",
    "ptb",
    "quickstart",
    "quickstart_suite",
    "s_mnist",
    "spoken_digits",
    "temporal_architectures",
    "temporal_norms",
    "temporal_rules",
    "temporal_suite",
    "temporal_surrogates",
]
