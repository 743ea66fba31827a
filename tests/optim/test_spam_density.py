"""Sparse momentum: what stands still, what is stored, what weight decay does."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from tests.optim.spam_definition import own_spam, run
from torch import Tensor

from spikeworks.core.errors import ConfigError
from spikeworks.optim import SPAM
from spikeworks.optim.spam_mask import kept_coordinates


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    return sum(t.nbytes for state in optimizer.state.values() for t in state.values())


def held_bytes() -> int:
    """Bytes of all tensors alive."""
    gc.collect()
    return sum(o.nbytes for o in gc.get_objects() if type(o) in (Tensor, torch.nn.Parameter))


@pytest.mark.parametrize("density", [1.0, 0.25])
@pytest.mark.parametrize("options", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
def test_moments_take_eight_bytes_for_each_coordinate_kept(density: float, options: dict[str, bool]) -> None:
    shapes = [(200, 70), (64, 3, 5, 5)]
    parameters = [torch.nn.Parameter(torch.randn(s)) for s in shapes]
    for p in parameters:
        p.grad = torch.randn_like(p)
    count = sum(p.numel() for p in parameters)
    before = held_bytes()
    optimizer = SPAM(parameters, density=density, **options)
    for _ in range(3):
        optimizer.step()
    assert state_bytes(optimizer) == pytest.approx(8 * density * count, rel=0.01)
    assert held_bytes() - before == pytest.approx(8 * density * count, rel=0.01)  # and nothing else is kept
    stored = optimizer.state_dict()["state"]
    assert {t.dtype for state in stored.values() for t in state.values()} == {torch.float32, torch.int64}
    assert all(state["step"].dim() == 0 for state in stored.values())


@pytest.mark.parametrize("options", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
@pytest.mark.parametrize("shape", [(12, 10), (30,), (2, 3, 4, 5), ()], ids=str)
def test_coordinates_without_moments_stand_still_within_a_period(
    shape: tuple[int, ...], options: dict[str, bool]
) -> None:
    p = torch.nn.Parameter(torch.randn(shape))
    numel, kept = p.numel(), max(1, round(0.25 * p.numel()))
    optimizer = SPAM([p], density=0.25, reset_every=25, rewarm_steps=2, **options)
    chosen = []
    for resets, updates in enumerate((24, 25, 25)):
        before = p.detach().clone()
        for _ in range(updates):
            p.grad = torch.ones_like(p)
            optimizer.step()
        moved = (p.detach() != before).reshape(-1)
        expected = torch.zeros(numel, dtype=torch.bool)
        expected[kept_coordinates(numel, kept, 0, 0, resets)] = True
        assert torch.equal(moved, expected)
        chosen.append(moved)
    if numel > 1:
        assert not torch.equal(chosen[0], chosen[1]) and not torch.equal(chosen[1], chosen[2])


def test_kept_coordinates_are_trained_as_if_they_were_alone() -> None:
    start = np.random.default_rng(0).standard_normal((8, 5))
    noise = np.random.default_rng(1).standard_normal((120, 40))

    noise[::13] *= 1e4
    found = run(
        lambda p: SPAM(p, lr=0.05, density=0.25, reset_every=50, rewarm_steps=10, clip_holdoff=5),
        start,
        lambda k, p: p + noise[k].reshape(p.shape),
        49,
    )
    index = kept_coordinates(40, 10, 0, 0, 0).numpy()
    alone = own_spam(start.reshape(-1)[index], lambda k, p: p + noise[k][index], 49, lr=0.05, every=50, rise=10, hold=5)
    assert np.abs(found.reshape(49, -1)[:, index] - alone).max() < 1e-13


@pytest.mark.parametrize("arrangement", ["adamw", "published"])
def test_weight_decay_reaches_all_coordinates(arrangement: str) -> None:
    p = torch.nn.Parameter(torch.ones(40, dtype=torch.float64))
    optimizer = SPAM([p], lr=0.1, weight_decay=0.5, density=0.25, arrangement=arrangement)  # type: ignore[arg-type]
    for _ in range(3):
        p.grad = torch.ones_like(p)
        optimizer.step()
    index = kept_coordinates(40, 10, 0, 0, 0)
    rest = torch.ones(40, dtype=torch.bool).index_fill_(0, index, False)
    assert torch.allclose(p[rest], torch.tensor(0.95**3, dtype=torch.float64))
    assert (p[index] < 0.95**3 - 0.2).all()


def test_another_density_in_mid_training_is_refused() -> None:
    p = torch.nn.Parameter(torch.zeros(40))
    optimizer = SPAM([p], density=0.25)
    p.grad = torch.ones(40)
    optimizer.step()
    optimizer.param_groups[0]["density"] = 0.5
    with pytest.raises(ConfigError, match=r"moments of parameter 0 have shape \[10\], density=0.5 needs \[20\]"):
        optimizer.step()
