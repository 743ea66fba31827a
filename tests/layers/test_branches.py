"""Branched synapses: disjoint parts, tuples of currents, counts, training that respects the parts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeworks.core.errors import ConfigError
from spikeworks.layers import BatchNorm, BranchedDense, EachInput
from spikeworks.layers.branches import disjoint_parts


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=60, deadline=None)
@given(inputs=st.integers(1, 30), outputs=st.integers(1, 9), parts=st.integers(1, 7), seed=st.integers(0, 99))
def test_parts_are_disjoint_and_complete(inputs, outputs, parts, seed):
    mask = disjoint_parts(inputs, outputs, parts, generator(seed))
    assert mask.shape == (parts, outputs, inputs)
    assert (mask.sum(0) == 1).all()
    assert mask.sum(2).max() <= -(-inputs // parts)


def test_parts_are_random_for_each_neuron():
    mask = disjoint_parts(40, 200, 4, generator())
    assert len(torch.unique(mask[0], dim=0)) == 200
    assert (mask.float().mean((1, 2)) - 0.25).abs().max() == 0
    assert (mask.float().mean(1) - 0.25).abs().max() < 0.15  # every input has its turn in every part


def test_currents_by_hand():
    synapse = BranchedDense(6, 3, 2, disjoint=True, generator=generator())
    x = torch.rand(5, 2, 6, generator=generator(1))
    for k, current in enumerate(synapse(x)):
        for n in range(3):
            seen = synapse.mask[k, n]
            expected = x[..., seen] @ synapse.weight[k, n, seen] + synapse.bias[k, n]
            torch.testing.assert_close(current[..., n], expected)
    everywhere = BranchedDense(6, 3, 2, disjoint=False, generator=generator())
    assert everywhere.mask is None and (everywhere.weight != 0).all()
    torch.testing.assert_close(everywhere(x)[1], x @ everywhere.weight[1].T + everywhere.bias[1])


def test_one_branch_is_a_dense_map():
    synapse = BranchedDense(6, 3, 1, disjoint=True, generator=generator())
    assert synapse.mask.all()


def test_no_optimiser_brings_a_weight_into_another_part():
    synapse = BranchedDense(6, 3, 2, disjoint=True, generator=generator())
    optimizer = torch.optim.AdamW(synapse.parameters(), lr=0.1, weight_decay=0.1)
    for step in range(5):
        optimizer.zero_grad()
        sum((current**2).sum() for current in synapse(torch.rand(4, 2, 6, generator=generator(step)))).backward()
        optimizer.step()
    assert (synapse.weight[~synapse.mask] == 0).all()
    assert (synapse.weight[synapse.mask] != 0).all()


def test_parts_are_saved():
    a, b = (BranchedDense(6, 3, 2, disjoint=True, generator=generator(s)) for s in (0, 1))
    assert not torch.equal(a.mask, b.mask)
    b.load_state_dict(a.state_dict())
    x = torch.rand(4, 2, 6, generator=generator(2))
    assert all(torch.equal(p, q) for p, q in zip(a(x), b(x), strict=True))


def test_counts_follow_the_weights_in_use():
    spikes = (torch.rand(5, 2, 6, generator=generator()) < 0.4).float()
    for disjoint, copies in ((True, 1), (False, 3)):
        synapse = BranchedDense(6, 4, 3, disjoint=disjoint, generator=generator())
        y = synapse(spikes)[0]
        counted = synapse.operations(spikes, y)
        assert counted.acs == counted.weight_reads == spikes.sum().item() * 4 * copies and counted.macs == 0
        real = synapse.operations(spikes + 0.5, y)
        assert real.macs == 5 * 2 * 6 * 4 * copies and real.acs == 0


def test_each_current_has_a_normalisation_of_its_own():
    norms = EachInput(BatchNorm(3) for _ in range(2))
    a, b = torch.rand(9, 4, 3), 5 + 3 * torch.rand(9, 4, 3)
    for y in norms((a, b)):
        assert y.mean((0, 1)).abs().max() < 1e-5
    assert (norms[0].mean < 0.1).all() and (norms[1].mean > 0.5).all()


def test_bad_counts_are_named():
    with pytest.raises(ConfigError, match="at least one branch, got 0"):
        BranchedDense(6, 3, 0, disjoint=True)
