"""Models that know the number of the step are told, from the network and from its description alike."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from spikeworks.arena.clock import clocks, clocks_described, clocks_of_run
from spikeworks.arena.store import load_run
from spikeworks.core.config import to_dict
from spikeworks.models import NETWORKS, StackConfig
from spikeworks.neurons import NEURONS, config_for

make = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic_runs.py"))))
TIMED = {"ce-lif", "glif", "psn", "masked-psn", "stochastic-psn"}


def both(model: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    network = model.build(2, 3, torch.Generator().manual_seed(0))
    return clocks(network), clocks_described({"model": to_dict(model)})


@pytest.mark.parametrize("name", NEURONS.names())
def test_every_neuron(name: str) -> None:
    built, described = both(StackConfig(hidden=(4,), neuron=config_for(name)))
    assert built == described
    declared = NEURONS.get(name).parameters_declared.values()
    told = any(p.per == "step" for p in declared) or getattr(NEURONS.get(name), "whole_sequence", False)
    assert bool(built) == told and (name in TIMED or not told)


@pytest.mark.parametrize(("norm", "told"), [("none", 0), ("batch", 0), ("tdbn", 0), ("tebn", 1), ("bntt", 1)])
def test_every_norm(norm: Any, told: int) -> None:
    built, described = both(StackConfig(hidden=(4, 4), norm=norm, norm_steps=6))
    assert built == described and len(built) == told


@pytest.mark.parametrize("name", [n for n in ("spike-transformer", "transformer", "context-stack") if n in NETWORKS])
def test_networks_with_a_code_of_the_place(name: str) -> None:
    built, described = both(NETWORKS.get(name)())  # type: ignore[call-arg]
    assert built and built == described
    if name != "context-stack":
        assert both(NETWORKS.get(name)(positions=False)) == ((), ())  # type: ignore[call-arg]


def test_a_result_says_it_and_older_ones_are_read_from_the_description(tmp_path: Path) -> None:
    config = {"model": {"kind": "stack", "neuron": {"kind": "glif"}}}
    assert clocks_of_run(load_run(make.write_run(tmp_path, "glif", 0, config=config))) == ("conductance for each step",)
    assert clocks_of_run(load_run(make.write_run(tmp_path, "glif", 1, config=config, clock=[]))) == ()
    assert clocks_of_run(load_run(make.write_run(tmp_path, "lif", 0))) == ()
