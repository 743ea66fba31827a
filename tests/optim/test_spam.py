"""SPAM: its equations, its limits, its clip and its guard."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.optim.spam_definition import own_spam, published_spam, run, spiky_gradient
from torch import Tensor

from spikeworks.optim import SPAM
from spikeworks.optim.spam_clip import clip_spikes

# within the first hold-off, behind it, just before and at a reset, within the second hold-off, behind it
SPIKES = {7: 1e3, 60: 1e3, 300: 1e5, 499: 1e4, 500: 1e3, 510: 1e4, 530: 1e3, 999: 1e5, 1000: 1e4, 1100: 1e3}
STEPS = 1300


def start(shape: tuple[int, ...] = (6, 5)) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape)


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("options", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
def test_the_published_form_follows_its_equations(decay: float, options: dict[str, bool]) -> None:
    gradient = spiky_gradient((6, 5), STEPS, SPIKES)
    expected = published_spam(start(), gradient, STEPS, lr=0.01, wd=decay)
    found = run(lambda p: SPAM.reference(p, lr=0.01, weight_decay=decay, **options), start(), gradient, STEPS)
    assert np.abs(found - expected).max() < 1e-12
    unclipped = published_spam(start(), gradient, STEPS, lr=0.01, wd=decay, theta=1e30)
    assert np.abs(unclipped - expected).max() > 1e-3  # the spikes are clipped indeed


@pytest.mark.parametrize("options", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
def test_the_default_form_follows_its_equations(options: dict[str, bool]) -> None:
    gradient = spiky_gradient((6, 5), STEPS, SPIKES)
    expected = own_spam(start(), gradient, STEPS, lr=0.01, wd=0.1)
    found = run(lambda p: SPAM(p, lr=0.01, weight_decay=0.1, **options), start(), gradient, STEPS)
    assert np.abs(found - expected).max() < 1e-12


@pytest.mark.parametrize("eps", [1e-8, 1e-3])
@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_without_clip_and_resets_it_is_adamw(eps: float, decay: float) -> None:
    gradient = spiky_gradient((6, 5), 200, SPIKES)
    options: dict[str, Any] = {"lr": 0.01, "betas": (0.8, 0.99), "eps": eps, "weight_decay": decay}
    expected = run(lambda p: torch.optim.AdamW(p, **options), start(), gradient, 200)
    found = run(lambda p: SPAM(p, threshold=math.inf, reset_every=0, **options), start(), gradient, 200)
    assert np.abs(found - expected).max() < 1e-13


def test_the_published_form_without_clip_and_resets_is_adamw_as_epsilon_vanishes() -> None:
    gradient = spiky_gradient((6, 5), 200, {})
    expected = run(lambda p: torch.optim.AdamW(p, lr=0.01, eps=1e-15, weight_decay=0), start(), gradient, 200)
    plain = {"threshold": math.inf, "reset_every": 0}
    found = run(lambda p: SPAM.reference(p, lr=0.01, eps=1e-15, **plain), start(), gradient, 200)
    assert np.abs(found - expected).max() < 1e-7


def mixed(dtype: torch.dtype) -> list[torch.nn.Parameter]:
    """Shapes of a small network; some not contiguous, some large enough to be cut into blocks."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((5, 3), (3,), (), (2, 3, 4, 5), (300, 333), (310, 250))
    tensors = [torch.randn(s, generator=generator, dtype=dtype) for s in shapes]
    tensors[3] = tensors[3].contiguous(memory_format=torch.channels_last)
    tensors[5] = tensors[5].t()
    return [torch.nn.Parameter(t) for t in tensors]


def train(parameters: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer, steps: range) -> None:
    """Gradients that depend on the parameters, with a spike in every 17th update."""
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for p in parameters:
            noise = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            p.grad = ((p.detach() + noise) * (1e4 if step % 17 == 0 else 1.0)).contiguous()
        optimizer.step()


SHORT: dict[str, Any] = {"lr": 0.01, "reset_every": 20, "rewarm_steps": 5, "clip_holdoff": 3, "weight_decay": 0.1}


@pytest.mark.parametrize("density", [1.0, 0.25])
@pytest.mark.parametrize("options", [{}, {"arrangement": "published", "bias_correction": "global"}], ids=str)
def test_lists_and_single_tensors_give_the_same_bits(density: float, options: dict[str, Any]) -> None:
    one, many = mixed(torch.float64), mixed(torch.float64)
    train(one, SPAM(one, foreach=False, density=density, **SHORT, **options), range(45))
    train(many, SPAM(many, foreach=True, density=density, **SHORT, **options), range(45))
    for a, b in zip(one, many, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("density", [1.0, 0.25])
@pytest.mark.parametrize("options", [{"foreach": True}, {"fused": True}], ids=str)
def test_all_forms_agree_in_single_precision(density: float, options: dict[str, bool]) -> None:
    one, other = mixed(torch.float32), mixed(torch.float32)
    train(one, SPAM(one, foreach=False, density=density, **SHORT), range(45))
    train(other, SPAM(other, density=density, **options, **SHORT), range(45))
    for a, b in zip(one, other, strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_parameters_are_trained(dtype: torch.dtype) -> None:
    held = mixed(dtype)
    before = [p.detach().clone() for p in held]
    optimizer = SPAM(held, density=0.5, **{**SHORT, "eps": 1e-4})
    for _ in range(30):
        for p in held:
            p.grad = torch.ones_like(p)
        optimizer.step()
    for p, b in zip(held, before, strict=True):
        assert torch.isfinite(p).all() and not torch.equal(p, b)


finite = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(
    g=st.lists(finite, min_size=1, max_size=8),
    v=st.lists(st.just(0.0) | st.floats(1e-6, 1e6), min_size=8, max_size=8),
    threshold=st.floats(1e-3, 1e5),
    guard=st.booleans(),
)
def test_the_clip_shortens_and_nothing_else(g: list[float], v: list[float], threshold: float, guard: bool) -> None:
    gradient = torch.tensor(g, dtype=torch.float64)
    moment = torch.tensor(v[: len(g)], dtype=torch.float64)
    before = gradient.clone()
    for form in ("single", "foreach"):
        (once,) = clip_spikes([gradient], [moment], threshold, guard, form)
        (twice,) = clip_spikes([once], [moment], threshold, guard, form)
        assert torch.equal(gradient, before)
        assert torch.equal(once, twice)
        assert (once.abs() <= gradient.abs()).all() and (once * gradient >= 0).all()
        silent = moment == 0
        assert torch.equal(once[silent], gradient[silent] if guard else torch.zeros_like(once[silent]))
        bound = (threshold * moment[~silent]).sqrt()
        assert torch.allclose(once[~silent].abs(), gradient[~silent].abs().minimum(bound), rtol=1e-12, atol=0)


def test_a_huge_second_moment_does_not_overflow_the_bound() -> None:
    (found,) = clip_spikes([torch.tensor([1e30])], [torch.tensor([1e36])], 5000.0, True, "single")
    assert found.item() == pytest.approx(math.sqrt(5000.0) * 1e18, rel=1e-5)


def test_a_spike_is_clipped_but_not_right_behind_a_reset() -> None:
    def second_moment_behind_a_spike_at(k: int) -> float:
        p = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        optimizer = SPAM([p], reset_every=50, rewarm_steps=0, clip_holdoff=20)
        for step in range(1, k + 1):
            p.grad = torch.full_like(p, 1e6 if step == k else 1.0)
            optimizer.step()
        return optimizer.state[p]["exp_avg_sq"].item()

    for step in (1, 19, 50, 51, 69):
        assert second_moment_behind_a_spike_at(step) > 1e8
    for step in (20, 49, 70, 99):
        assert second_moment_behind_a_spike_at(step) < 1.0
    # one clipped spike multiplies v by b2 + (1 - b2) * threshold
    before = 1 - 0.999**39
    assert second_moment_behind_a_spike_at(40) == pytest.approx(5.999 * before)


def moves_of_a_late_coordinate(guard: bool, **options: bool) -> Tensor:
    """Whether a coordinate moved, by update: no gradient for 30 updates, then 1."""
    p = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = SPAM([p], zero_guard=guard, reset_every=100, rewarm_steps=0, **options)
    moved = []
    for step in range(1, 105):
        before = p[0].item()
        p.grad = torch.tensor([0.0 if step <= 30 else 1.0, 1.0], dtype=torch.float64)
        optimizer.step()
        moved.append(p[0].item() != before)
    return torch.tensor(moved)


@pytest.mark.parametrize("options", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
def test_the_guard_lets_a_silent_coordinate_wake_up(options: dict[str, bool]) -> None:
    guarded, bare = moves_of_a_late_coordinate(True, **options), moves_of_a_late_coordinate(False, **options)
    assert not guarded[:30].any() and guarded[30:].all()
    assert not bare[:99].any() and bare[99:].all()  # until the reset, which is update 100


def steps_of_a_constant_gradient(steps: int, **options: Any) -> np.ndarray:
    path = run(
        lambda p: SPAM(p, lr=1.0, eps=1e-300, rewarm_steps=0, **options), np.zeros(1), lambda k, p: np.ones(1), steps
    )
    return -np.diff(path[:, 0], prepend=0.0)


def test_correction_since_the_reset_keeps_the_step_of_adam() -> None:
    assert np.abs(steps_of_a_constant_gradient(1100) - 1.0).max() < 1e-10


def test_global_correction_inflates_the_step_behind_a_reset() -> None:
    steps = steps_of_a_constant_gradient(5500, bias_correction="global")
    last = steps[4999:]  # updates 5000 to 5499; corrections of the whole training have faded
    published = {1: 3.16, 2: 4.25, 5: 5.80, 10: 6.53, 20: 6.24, 50: 4.50, 100: 3.24, 150: 2.68, 300: 1.96, 500: 1.59}
    for n, inflation in published.items():
        assert last[n - 1] == pytest.approx(inflation, rel=6e-3)
        assert last[n - 1] == pytest.approx(
            (1 - 0.9**n) / math.sqrt(1 - 0.999**n) * math.sqrt(1 - 0.999 ** (4999 + n)), rel=1e-9
        )


def test_rewarming_scales_the_step() -> None:
    path = run(lambda p: SPAM(p, lr=1.0, eps=1e-300), np.zeros(1), lambda k, p: np.ones(1), 660)
    steps = -np.diff(path[:, 0])  # of updates 2, 3, ...
    assert [round(steps[k - 2], 4) for k in (499, 500, 575, 650)] == [1.0, 0.01, 0.4999, 1.0]


@pytest.mark.gpu
@pytest.mark.parametrize("density", [1.0, 0.25])
@pytest.mark.parametrize("options", [{}, {"foreach": False}, {"fused": True}], ids=str)
def test_a_gpu_goes_the_same_way(density: float, options: dict[str, bool]) -> None:
    host, there = mixed(torch.float64), [torch.nn.Parameter(p.detach().cuda()) for p in mixed(torch.float64)]
    first, second = SPAM(host, density=density, **SHORT), SPAM(there, density=density, **options, **SHORT)
    for step in range(45):
        for p, q in zip(host, there, strict=True):
            p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(step), dtype=p.dtype)
            q.grad = p.grad.cuda()
        first.step()
        second.step()
    for p, q in zip(host, there, strict=True):
        assert torch.allclose(p, q.cpu(), rtol=1e-9, atol=1e-9)
