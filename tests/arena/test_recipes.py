"""Recipes: all resolve, and have the sizes that their sources print."""

from __future__ import annotations

import json

import pytest

from spikeworks.arena.budgets import parameters_of
from spikeworks.arena.config import RunConfig
from spikeworks.core.config import to_dict
from spikeworks.recipes import QUICKSTART, RECIPES, quickstart_suite
from spikeworks.tasks import TASKS


@pytest.mark.parametrize("name", RECIPES.names())
def test_every_recipe_resolves(name: str) -> None:
    recipe = RECIPES.get(name)
    for config in (recipe(), recipe("alif", 3)):
        assert RunConfig.from_dict(json.loads(json.dumps(to_dict(config)))) == config
        assert config.task_name in TASKS
    assert recipe("alif", 3).model_name.endswith("alif") and recipe("alif", 3).seed == 3
    assert recipe.__doc__


@pytest.mark.parametrize(("name", "parameters"), [("ps-mnist", 85_130), ("binary-adding", 18_186), ("ptb", 4_891_500)])
def test_parameters_are_those_of_the_sources(name: str, parameters: int) -> None:
    config = RECIPES.get(name)("lif")
    assert parameters_of(config, config.task.build()) == parameters


def test_the_quickstart_is_four_neurons_with_two_seeds() -> None:
    configs = quickstart_suite()
    assert [(c.model_name, c.seed) for c in configs] == [(n, s) for s in (0, 1) for n in QUICKSTART]
    assert QUICKSTART == ("lif", "alif", "tc-lif", "pmsn")
    for config in configs:
        assert config.model.hidden == (64, 64) and config.task.build().signature.steps == 64  # type: ignore[attr-defined]
