"""Stable-SPAM: its equations, what they do to a gradient, and what differs from the published class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.optim.spam_definition import run, spiky_gradient, stable_spam

from spikeworks.optim import StableSPAM
from spikeworks.optim.stable_spam import momentum_factor

SPIKES = {7: 1e3, 60: 1e3, 299: 1e4, 300: 1e3, 310: 1e4, 599: 1e5}


def start() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((6, 5))


@pytest.mark.parametrize("options", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
@pytest.mark.parametrize("total", [0, 1300])
def test_it_follows_its_equations(options: dict[str, bool], total: int) -> None:
    steps = 1300
    gradient = spiky_gradient((6, 5), steps, SPIKES)
    expected = stable_spam(start(), gradient, steps, lr=0.01, wd=0.1, every=300, total=total)
    found = run(
        lambda p: StableSPAM(p, lr=0.01, weight_decay=0.1, reset_every=300, momentum_decay_steps=total, **options),
        start(),
        gradient,
        steps,
    )
    assert np.abs(found - expected).max() < 1e-12


def test_lists_and_single_tensors_give_the_same_bits() -> None:
    def train(foreach: bool) -> list[torch.nn.Parameter]:
        held = [torch.nn.Parameter(torch.ones(s, dtype=torch.float64)) for s in ((5, 3), (3,), (), (2, 3, 4))]
        optimizer = StableSPAM(held, lr=0.01, reset_every=20, foreach=foreach)
        for step in range(45):
            generator = torch.Generator().manual_seed(step)
            for p in held:
                p.grad = p.detach() + torch.randn(p.shape, generator=generator, dtype=p.dtype)
            optimizer.step()
        return held

    for a, b in zip(train(False), train(True), strict=True):
        assert torch.equal(a, b)


def test_with_constant_norm_it_is_adamw_on_unit_gradients() -> None:
    noise = np.random.default_rng(0).choice([-1.0, 1.0], (201, 30))  # all of one magnitude: nothing to clip
    plain: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.1}
    found = run(lambda p: StableSPAM(p, reset_every=0, **plain), np.zeros(30), lambda k, p: 1e6 * noise[k], 200)
    unit = noise / np.sqrt(30)
    expected = run(lambda p: torch.optim.AdamW(p, **plain), np.zeros(30), lambda k, p: unit[k], 200)
    assert np.abs(found - expected).max() < 1e-7


def test_the_scale_of_all_gradients_does_not_matter() -> None:
    noise = np.random.default_rng(0).standard_normal((201, 6, 5))
    paths = [
        run(lambda p: StableSPAM(p, lr=0.01), start(), lambda k, p, f=factor: f * noise[k], 200)
        for factor in (1.0, 1e5)
    ]
    assert np.abs(paths[0] - paths[1]).max() < 1e-5


def test_a_spiked_batch_moves_no_further_than_any_other() -> None:
    def shift(optimizer: type[torch.optim.Optimizer]) -> float:
        """How far the second moment jumps in update 100, whose gradient is 1000 times as large."""
        p = torch.nn.Parameter(torch.zeros(64))
        made = optimizer([p], lr=1e-3)  # type: ignore[call-arg]
        for step in range(1, 101):
            before = made.state[p]["exp_avg_sq"].sum().item() if made.state else 0.0
            noise = torch.randn(64, generator=torch.Generator().manual_seed(step))
            p.grad = noise * (1000.0 if step == 100 else 1.0)
            made.step()
        return made.state[p]["exp_avg_sq"].sum().item() / before

    assert shift(torch.optim.AdamW) > 1000
    assert shift(StableSPAM) < 1.2


def test_the_reset_keeps_the_gradient_of_its_update() -> None:
    p = torch.nn.Parameter(torch.zeros(4))
    optimizer = StableSPAM([p], lr=1.0, reset_every=10)
    for step in range(1, 11):
        p.grad = torch.full((4,), -1.0 if step == 10 else 1.0)
        before = p.detach().clone()
        optimizer.step()
    # With fresh moments the step has full length along the newest gradient alone.
    assert torch.allclose(p - before, torch.ones(4), atol=1e-4)
    assert optimizer.state[p]["exp_avg"].lt(0).all() and optimizer.phase().since_reset == 1


def test_the_clip_goes_on_across_a_reset() -> None:
    p = torch.nn.Parameter(torch.zeros(4))
    optimizer = StableSPAM([p], reset_every=10)
    for _ in range(12):
        p.grad = torch.ones(4)
        optimizer.step()
    state = optimizer.state[p]
    assert (state["largest"] / (1 - 0.999**12)).item() == pytest.approx(1.0, rel=1e-5)
    assert int(state["step"]) == 12


def test_a_silent_tensor_stays_where_it_is_and_wakes_up() -> None:
    p = torch.nn.Parameter(torch.zeros(4))
    optimizer = StableSPAM([p], lr=0.1)
    for _ in range(30):
        p.grad = torch.zeros(4)
        optimizer.step()
    assert torch.equal(p, torch.zeros(4))
    p.grad = torch.ones(4)
    optimizer.step()
    assert torch.isfinite(p).all() and (p < -1e-3).all()


def test_averages_of_tensors_keep_their_precision_in_bfloat16() -> None:
    p = torch.nn.Parameter(torch.zeros(4, dtype=torch.bfloat16))
    optimizer = StableSPAM([p])
    for step in range(5):
        p.grad = torch.full((4,), 1.0 + step, dtype=torch.bfloat16)
        optimizer.step()
    other = StableSPAM([p])
    other.load_state_dict(optimizer.state_dict())
    for name in ("largest", "norm", "norm_sq"):
        assert other.state[p][name].dtype == torch.float32
        assert torch.equal(other.state[p][name], optimizer.state[p][name])
        assert other.state[p][name] is not optimizer.state[p][name]


def test_momentum_falls_to_half_and_stays() -> None:
    assert momentum_factor(51, 101) == pytest.approx(0.75)
    values = [momentum_factor(k, 100) for k in range(1, 300)]
    assert values == sorted(values, reverse=True) and values[0] > 0.999 and values[-1] == 0.5
