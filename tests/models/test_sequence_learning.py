"""Every registered network that takes vectors learns by every kind of method, or the method says why not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from spikeworks.core.batch import Batch
from spikeworks.core.errors import ConfigError
from spikeworks.layers import ReadoutConfig
from spikeworks.learning import METHODS, Plan
from spikeworks.models import NETWORKS
from spikeworks.neurons import Surrogate, config_for
from spikeworks.optim import AdamWConfig

VECTORS = [name for name in NETWORKS if not NETWORKS.get(name).frames]
WIDE = Surrogate(kind="sigmoid", width=1.0)
SMALL: dict[str, Any] = {"width": 16, "heads": 2, "hidden": (8, 6, 5), "channels": (8, 8), "kernel": 3, "steps": 16}
SMALL |= {"full_hidden": (8, 6), "sub_hidden": (6, 5)}


def describe(name: str) -> Any:
    """A small network with spikes that have a gradient everywhere."""
    kind = NETWORKS.get(name)
    known = {f.name for f in dataclasses.fields(kind)}
    gated = "fullsubnet" in name  # whose published sizes normalise the memory of GSN
    neuron = config_for("gsn", surrogate=WIDE) if gated else config_for("lif", threshold=0.3, surrogate=WIDE)
    fields = {**SMALL, "neuron": neuron, "surrogate": WIDE, "readout": ReadoutConfig()}
    return kind(**{k: v for k, v in fields.items() if k in known})


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def signal() -> Tensor:
    return torch.randn(8, 6, 3, generator=torch.Generator().manual_seed(1))


class CrossEntropy:
    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return torch.nn.functional.cross_entropy(output, batch.target)


SHARING = {"context-stack"}
"""Networks whose blocks share parameters, so that no part of them can learn apart."""


@pytest.mark.parametrize("method", ["bptt", "tbptt", "local", "auglocal", "stdl"])
@pytest.mark.parametrize("name", VECTORS)
def test_every_network_learns_by_methods_that_cut_it_in_space_and_time(name, method):
    network = describe(name).build(3, 2, generator())
    batch = Batch(signal(), torch.arange(6) % 2)
    plan = Plan.of_one(batch, AdamWConfig(learning_rate=1e-2))
    config = METHODS.get(method)(**({"depth": 1} if method == "auglocal" else {}))
    if name in SHARING and method in ("local", "auglocal", "stdl"):
        with pytest.raises(ConfigError, match="has no"):
            config.build(network, CrossEntropy(), plan)
        return
    before = [p.detach().clone() for p in network.parameters()]
    result = config.build(network, CrossEntropy(), plan).update(batch)
    assert 0 < result["loss"] < 10
    moved = [not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True)]
    assert sum(moved) > 0.6 * len(moved)


@pytest.mark.parametrize("method", ["ottt", "eprop"])
@pytest.mark.parametrize("name", VECTORS)
def test_online_methods_learn_or_say_why_not(name, method):
    network = describe(name).build(3, 2, generator())
    batch = Batch(signal(), torch.arange(6) % 2)
    try:
        learner = METHODS.get(method)().build(network, CrossEntropy(), Plan.of_one(batch, AdamWConfig()))
        assert learner.update(batch)["loss"] > 0
    except ConfigError as refusal:
        assert name != "stack" and "Hint:" in str(refusal)
