"""GRU, the control of gated spiking networks: its definition, parameters and operations; LSTM beside it.

The laws of order in time, streams, credit and memory run over every registered network, in test_sequence_laws.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from spikeworks.core.config import from_dict, to_dict
from spikeworks.core.credit import Credit
from spikeworks.core.errors import ConfigError
from spikeworks.layers import GRU, LSTM, ReadoutConfig
from spikeworks.measure import count_operations
from spikeworks.models import NETWORKS, EmbeddingConfig, GRUConfig, LSTMConfig


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@given(steps=st.integers(1, 9), cut=st.integers(0, 9), seed=st.integers(0, 3))
def test_a_gru_is_its_equations_whole_and_in_chunks(steps, cut, seed):
    layer = GRU(3, 5, generator=generator(seed)).double()
    x = draw(steps, 2, 3, seed=seed).requires_grad_()
    w, u = layer.cell.weight_ih_l0, layer.cell.weight_hh_l0
    b, c = layer.cell.bias_ih_l0, layer.cell.bias_hh_l0
    h, expected = torch.zeros(2, 5, dtype=torch.float64), []
    for now in x:
        heard, own = (now @ w.T + b).chunk(3, 1), (h @ u.T + c).chunk(3, 1)
        r, z = torch.sigmoid(heard[0] + own[0]), torch.sigmoid(heard[1] + own[1])
        n = torch.tanh(heard[2] + r * own[2])
        h = n + z * (h - n)
        expected.append(h)
    parts, state = [], None
    for part in [p for p in x.split([min(cut, steps), steps - min(cut, steps)]) if len(p)]:
        y, state = layer(part, state)
        parts.append(y)
    assert state is not None and torch.equal(state.output, parts[-1][-1])
    assert_close(torch.cat(parts), torch.stack(expected))
    wrt = [x, *layer.parameters()]
    found, wanted = (torch.autograd.grad(torch.cat(y).square().sum(), wrt) for y in (parts, [torch.stack(expected)]))
    for one, other in zip(found, wanted, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("kind, gates", [(GRU, 3), (LSTM, 4)])
def test_start_and_operations_of_gated_cells(kind, gates):
    layer, again = (kind(3, 16, generator=generator()) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), again.parameters(), strict=True))
    assert 0.2 < max(p.abs().max().item() for p in layer.parameters()) <= 16**-0.5
    x = torch.randn(7, 2, 3)
    done = layer.operations(x, layer(x)[0])
    cells = 7 * 2 * 16
    weights = sum(p.numel() for name, p in layer.named_parameters() if "weight" in name)
    assert done.weight_reads == 7 * 2 * weights == cells * gates * (3 + 16)
    assert done.macs == done.weight_reads + 3 * cells
    assert done.specials == {3: 3, 4: 5}[gates] * cells
    assert done.state_writes == done.state_reads == {3: 1, 4: 2}[gates] * cells
    with pytest.raises(ConfigError, match=f"A.? {kind.__name__} needs at least one input and output, got 3 and 0"):
        kind(3, 0)


@pytest.mark.parametrize("window", [1, 3])
def test_credit_of_a_gru_is_cut_and_its_answers_stay(window):
    layer, x = GRU(3, 4, generator=generator()).double(), draw(7, 2, 3).requires_grad_()
    whole, _ = layer(x)
    layer.credit = Credit(window=window)
    y, _ = layer(x)
    assert_close(y, whole)
    reached = torch.autograd.grad(y[6].sum(), x)[0].abs().amax((1, 2)) > 0
    assert reached.tolist() == [t >= 6 - 6 % window for t in range(7)]


def test_the_network_has_the_parameters_of_that_of_torch_and_counts_all_of_them():
    network = GRUConfig(hidden=(64, 112)).build(3, 2, generator())
    assert parameters(network) == parameters(nn.GRU(3, 64)) + parameters(nn.GRU(64, 112)) + 2 * 113
    report = count_operations(network, torch.randn(5, 2, 3))
    assert not report.uncounted and not report.not_called
    assert [layer.name for layer in report.layers] == ["blocks.0.gru", "blocks.1.gru", "readout"]


def test_names_of_weights_and_the_description_are_kept():
    assert "blocks.0.lstm.cell.weight_ih_l0" in LSTMConfig(hidden=(4,)).build(3, 2, generator()).state_dict()
    config = GRUConfig(hidden=(4, 3), dropout=0.1)
    assert NETWORKS.get("gru") is GRUConfig and from_dict(GRUConfig, to_dict(config)) == config
    with pytest.raises(ConfigError, match=r"A GRU needs at least one layer of at least one cell, got hidden=\(\)"):
        GRUConfig(hidden=())


@pytest.mark.parametrize("tied", [True, False])
def test_a_language_model_of_gru_is_causal_and_carries_its_state(tied):
    embedding = EmbeddingConfig(size=16, tied=tied)
    config = GRUConfig(hidden=(24, 16), embedding=embedding, readout=ReadoutConfig(kind="every"))
    network = config.build(30, 30, generator(), tokens=True).double().eval()
    ids = torch.randint(30, (3, 14), generator=generator())
    whole, _ = network(ids)
    other = torch.cat([ids[:, :9], (ids[:, 9:] + 1) % 30], 1)
    assert_close(network(other)[0][:9], whole[:9])
    first, state = network(ids[:, :5])
    assert_close(torch.cat([first, network(ids[:, 5:], state)[0]]), whole)


def test_dropout_stands_between_layers_and_works_in_training_only():
    network = GRUConfig(hidden=(8, 8), dropout=0.5).build(3, 2, generator())
    assert [block.dropout.rate for block in network.blocks] == [0.0, 0.5]
