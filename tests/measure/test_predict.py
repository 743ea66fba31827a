"""Bytes known before a run are those that the meter finds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spikeworks import kernels
from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.layers import ReadoutConfig
from spikeworks.measure import memory
from spikeworks.measure.memory import predict
from spikeworks.models import ConvConfig, EmbeddingConfig, StackConfig
from spikeworks.neurons import config_for

SHAPES = {
    "plain": {},
    "wide": {"hidden": (64, 64, 64)},  # products with spikes keep bits where there are many
    "recurrent": {"recurrent": (True, False)},
    "convolution": {"conv": ConvConfig(kernel=3)},
    "norm and dropout": {"norm": "batch", "dropout": 0.3, "readout": ReadoutConfig(kind="last")},
}


def network(neuron: str = "lif", **fields) -> nn.Module:
    described = StackConfig(**{"hidden": (16, 7), **fields}, neuron=config_for(neuron))
    return described.build(12, 3, torch.Generator().manual_seed(0))


def loss(output: Tensor) -> Tensor:
    return nn.functional.cross_entropy(output, torch.zeros(len(output), dtype=torch.int64))


CASES = [("lif", shape) for shape in SHAPES] + [
    (name, shape) for name in ("tc-lif", "pmsn") for shape in ("plain", "wide")
]


@pytest.mark.parametrize("mode", ["full", "packed"])
@pytest.mark.parametrize("neuron, shape", CASES)
def test_prediction_equals_the_meter(neuron, shape, mode):
    module = network(neuron, memory=mode, **SHAPES[shape])
    measured = memory(module, torch.rand(70, 8, 12), loss=loss)
    assert predict(module, (70, 8, 12), loss=loss) == measured
    assert measured.saved_bytes > 0


@pytest.mark.parametrize("backend", ["loop", "torch", "parallel"])
def test_other_forms(backend):
    module = network("sliding-psn", memory="packed")
    with kernels.use(backend):
        assert predict(module, (20, 2, 12)) == memory(module, torch.rand(20, 2, 12))


def test_a_neuron_without_a_graph_may_say_that_it_spikes():
    module = network("psn", memory="packed")
    assert predict(module, (20, 2, 12)) == memory(module, torch.rand(20, 2, 12))


def test_token_ids_and_double_precision():
    described = StackConfig(hidden=(16,), embedding=EmbeddingConfig(size=8), readout=ReadoutConfig(kind="every"))
    module = described.build(20, 20, torch.Generator().manual_seed(0), tokens=True).double()
    assert predict(module, (4, 30), torch.int64) == memory(module, torch.zeros(4, 30, dtype=torch.int64))


def test_what_would_not_fit_is_predicted_all_the_same():
    module = network(hidden=(64, 64))
    once, more = predict(module, (1000, 64, 12)), predict(module, (1000, 64_000_000, 12))
    assert more.parts["blocks.1"] == 1_000_000 * once.parts["blocks.1"] > 10**13


def test_the_network_is_left_as_it_was():
    module = network(norm="batch", dropout=0.5).eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    stream = torch.get_rng_state()
    predict(module, (20, 2, 12), loss=loss)
    assert torch.equal(stream, torch.get_rng_state()) and not module.training
    assert all(type(t) is not nn.Parameter or t.grad is None for t in module.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert module(torch.rand(20, 2, 12))[0].isfinite().all()


def test_what_cannot_be_predicted_says_so():
    class Choosing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ConfigError, match=r"memory of Choosing cannot be predicted.*\n.*measure it with memory"):
        predict(Choosing(), (5, 2, 3))
    with pytest.raises(ShapeError, match="Nothing to measure"):
        predict(network(), (0, 2, 12))
