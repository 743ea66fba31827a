"""The table of kept and cut terms says of every method what its gradients show."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.learning.general import GENERAL
from tests.learning.oracle import CrossEntropy, oracle

from spikeworks import kernels
from spikeworks.core.batch import Batch
from spikeworks.core.seeds import stream
from spikeworks.learning import METHODS, MethodConfig
from spikeworks.learning.observatory import agreements, gradient
from spikeworks.learning.terms import TERMS, markdown
from spikeworks.models import Network, StackConfig
from spikeworks.neurons import LIF, Surrogate

PAGE = Path(__file__).resolve().parents[2] / "docs" / "learning.md"


def network(recurrent: bool = False, decay: float = 0.8) -> Network:
    neuron = LIF.Config(decay=decay, surrogate=Surrogate(kind="sigmoid", width=0.5))
    config = StackConfig(hidden=(6, 5), neuron=neuron, recurrent=(recurrent, recurrent))
    net: Any = config.build(3, 4, stream(0, "weights")).double()
    with torch.no_grad():  # spikes in every layer
        for block in net.blocks:
            block.synapse.weight.mul_(2.0)
    return net


def batch() -> Batch:
    generator = stream(1, "batch")
    x = 2 * torch.rand(9, 5, 3, generator=generator, dtype=torch.float64)
    return Batch(x=x, target=torch.randint(4, (5,), generator=generator))


def settings(name: str) -> MethodConfig:
    config: Any = METHODS.get(name)()
    return dataclasses.replace(config, window=3, chunk=None) if name == "tbptt" else config


def test_every_method_stands_in_the_table_and_the_table_on_the_page() -> None:
    assert set(TERMS) == set(METHODS.names())
    assert markdown() in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["eprop", "ostl", "ottt", "online"])
def test_what_is_cut_is_cut_and_what_is_kept_is_kept(name: str) -> None:
    """Against plain autograd over the whole sequence with exactly those paths cut that the table names."""
    net, terms = network(recurrent=True), TERMS[name]
    assert terms.memory == terms.space == "kept"
    cuts = {
        "cut_later": terms.later == "cut",
        "cut_heard": terms.recurrence == "cut",
        "cut_spikes": terms.reset == "cut",
    }
    with kernels.use("loop"):
        found = gradient(net, CrossEntropy(), batch(), METHODS.get(name)())
        wanted = oracle(net, batch(), **cuts)
        for cut in cuts:
            other = oracle(net, batch(), **{**cuts, cut: not cuts[cut]})
            assert any((other[key] - wanted[key]).abs().max() > 1e-6 for key in wanted), f"{cut} changes nothing here"
    for key, value in wanted.items():
        assert torch.allclose(found[key], value, rtol=1e-9, atol=1e-11), key


@pytest.mark.parametrize("name", GENERAL)
def test_where_it_is_exact(name: str) -> None:
    with kernels.use("loop"):
        rows = {row.layer: row for row in agreements(network(), CrossEntropy(), batch(), {name: settings(name)})}
        still = {
            row.layer: row for row in agreements(network(decay=1e-9), CrossEntropy(), batch(), {name: settings(name)})
        }
    exact = TERMS[name].exact
    same = {layer for layer, row in rows.items() if abs(row.cosine - 1) < 1e-9 and abs(row.ratio - 1) < 1e-9}
    without_memory = {layer for layer, row in still.items() if row.cosine > 0.9999}
    assert ("all" in same) == (exact == "everywhere" or name == "auglocal")  # two blocks are one part
    if exact.startswith("in the last layer") and "reset detached" not in exact:
        assert {"block 1", "readout"} <= same and "block 0" not in same
    if "neurons without memory" in exact and not exact.startswith("in the last"):
        assert "all" in without_memory and "block 1" not in same
    if exact.startswith("in the last") and "neurons without memory" in exact:
        assert "block 1" in without_memory and "block 0" not in without_memory
