"""The table of gradients on networks where the answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from spikeworks.core.batch import Batch
from spikeworks.core.errors import ConfigError
from spikeworks.core.seeds import stream
from spikeworks.learning import BPTTConfig, LocalConfig, NoTDConfig, OTTTConfig, SDBPConfig, SLTTConfig, TruncatedConfig
from spikeworks.learning.observatory import agreements, gradient
from spikeworks.models import Network, StackConfig
from spikeworks.neurons import LIF, Reset


class CrossEntropy:
    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(output, batch.target)


SOFT = LIF.Config(reset=Reset(detach=True))


def network() -> Network:
    return StackConfig(hidden=(7, 6), neuron=SOFT).build(3, 4, stream(0, "weights")).double()  # type: ignore[return-value]


def batch() -> Batch:
    generator = stream(1, "batch")
    x = 3 * torch.rand(9, 5, 3, generator=generator, dtype=torch.float64)
    return Batch(x=x, target=torch.randint(4, (5,), generator=generator))


def test_what_each_method_keeps_and_drops() -> None:
    net = network()
    methods = {
        "bptt": BPTTConfig(),
        "whole": TruncatedConfig(window=None, chunk=None),
        "ottt": OTTTConfig(),
        "sltt": SLTTConfig(),
        "sdbp": SDBPConfig(),
        "local": LocalConfig(window=None),
    }
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    rows = {(row.method, row.layer): row for row in agreements(net, CrossEntropy(), batch(), methods)}
    assert len(rows) == len(methods) * 4  # two blocks, the readout, all
    for name in ("bptt", "whole"):
        assert math.isclose(rows[name, "all"].cosine, 1.0) and math.isclose(rows[name, "all"].ratio, 1.0)
    top = rows["ottt", "block 1"]  # exact for the last layer with a detached soft reset
    assert math.isclose(top.cosine, 1.0, rel_tol=1e-9) and math.isclose(top.ratio, 1.0, rel_tol=1e-9)
    assert rows["ottt", "block 0"].cosine < 1 - 1e-6
    assert rows["sltt", "block 1"].cosine < top.cosine - 1e-3
    assert rows["sdbp", "block 1"].cosine < 1 - 1e-3
    for name in methods:
        assert math.isclose(rows[name, "readout"].cosine, 1.0, rel_tol=1e-9)
    assert rows["local", "block 1"].ratio == pytest.approx(1.0)  # its last part is BPTT
    assert rows["local", "block 0"].cosine < 0.9
    assert all(torch.equal(before[name], p) and p.grad is None for name, p in net.named_parameters())


def test_a_gradient_is_autograds() -> None:
    net = network()
    output, _ = net(batch().x)
    CrossEntropy().loss(output, batch()).backward()
    found = gradient(network(), CrossEntropy(), batch(), BPTTConfig())
    for name, p in net.named_parameters():
        if p.grad is not None:
            assert torch.allclose(found[name], p.grad, rtol=1e-12)


def test_no_memory_is_another_network_and_several_steps_are_refused() -> None:
    (row,) = (r for r in agreements(network(), CrossEntropy(), batch(), {"notd": NoTDConfig()}) if r.layer == "all")
    assert row.cosine < 0.999
    with pytest.raises(ConfigError, match="more than once"):
        agreements(network(), CrossEntropy(), batch(), {"ottt": OTTTConfig(update="step", chunk=1)})


def test_what_an_earlier_learner_has_cut_is_given_back() -> None:
    net = network()
    fresh = agreements(net, CrossEntropy(), batch(), {"sdbp": SDBPConfig()})
    SDBPConfig().prepare(net)
    assert agreements(net, CrossEntropy(), batch(), {"sdbp": SDBPConfig()}) == fresh
    assert next(m for _, m in net.neurons()).credit.window == 1  # the network itself is left alone
