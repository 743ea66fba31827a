"""What SPAM and Stable-SPAM promise as optimisers of torch: checkpoints, groups, schedulers, closures, refusals."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.optim import SPAM, StableSPAM

Make = Callable[[Any], torch.optim.Optimizer]


def spam(params: Any, **options: Any) -> SPAM:
    return SPAM(params, **{"lr": 0.05, "reset_every": 12, "rewarm_steps": 4, "clip_holdoff": 3, **options})


def sparse(params: Any, **options: Any) -> SPAM:
    return spam(params, density=0.25, **options)


def stable(params: Any, **options: Any) -> StableSPAM:
    return StableSPAM(params, **{"lr": 0.05, "reset_every": 12, "momentum_decay_steps": 30, **options})


ALL = pytest.mark.parametrize("make", [spam, sparse, stable])


def parameters(dtype: torch.dtype = torch.float32) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(s, generator=generator).to(dtype)) for s in ((6, 4), (5,), (2, 3, 2))]


def set_gradients(held: Sequence[torch.nn.Parameter], step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for p in held:
        noise = torch.randn(p.shape, generator=generator) * (1e4 if step % 7 == 0 else 1.0)
        p.grad = (p.detach() + noise).to(p.dtype)


def train(optimizer: torch.optim.Optimizer, held: Sequence[torch.nn.Parameter], steps: range) -> None:
    for step in steps:
        set_gradients(held, step)
        optimizer.step()


def same(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@ALL
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("stop", [1, 2, 11, 12, 13, 23, 24, 29])
def test_a_checkpoint_anywhere_continues_bit_for_bit(make: Make, stop: int, dtype: torch.dtype) -> None:
    whole = parameters(dtype)
    train(make(whole), whole, range(1, 41))
    first = parameters(dtype)
    optimizer = make(first)
    train(optimizer, first, range(1, stop + 1))
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    again = make(first)
    again.load_state_dict(torch.load(file, weights_only=True))
    train(again, first, range(stop + 1, 41))
    assert same(whole, first)


@ALL
def test_options_travel_with_the_state(make: Any) -> None:
    held = parameters()
    optimizer = make(held, lr=0.01, weight_decay=0.3, reset_every=14)
    train(optimizer, held, range(1, 6))
    plain = SPAM(parameters()) if isinstance(optimizer, SPAM) else StableSPAM(parameters())
    plain.load_state_dict(optimizer.state_dict())
    for key, value in optimizer.param_groups[0].items():
        if key != "params":
            assert plain.param_groups[0][key] == value
    assert plain.phase() == optimizer.phase() and plain.phase().step == 5


@ALL
def test_a_copy_goes_its_own_way(make: Make) -> None:
    held = parameters()
    optimizer = make(held)
    train(optimizer, held, range(1, 6))
    kept, before = copy.deepcopy((held, optimizer)), [p.detach().clone() for p in held]
    train(optimizer, held, range(6, 20))
    assert same(kept[0], before) and not same(held, before)
    train(kept[1], kept[0], range(6, 20))
    assert same(kept[0], held)


@ALL
@pytest.mark.parametrize("options", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
@pytest.mark.parametrize("maximize", [False, True])
def test_gradients_are_read_only(make: Any, options: dict[str, bool], maximize: bool) -> None:
    held = parameters()
    optimizer = make(held, maximize=maximize, **options)
    for step in range(1, 30):
        set_gradients(held, step)
        gradients = [p.grad for p in held]
        before = [g.clone() for g in gradients if g is not None]
        optimizer.step()
        assert all(p.grad is g for p, g in zip(held, gradients, strict=True))
        assert same([p.grad for p in held if p.grad is not None], before)


@ALL
def test_maximize_ascends(make: Any) -> None:
    down, up = parameters(), parameters()
    falling, rising = make(down), make(up, maximize=True)
    for step in range(1, 30):
        set_gradients(down, step)
        for p, q in zip(down, up, strict=True):
            assert p.grad is not None
            q.grad = -p.grad
        falling.step()
        rising.step()
    assert same(down, up)


@ALL
def test_groups_have_options_of_their_own(make: Any) -> None:
    held, alone = parameters(), parameters()
    grouped = make([{"params": held[:1], "lr": 0.2, "reset_every": 15}, {"params": held[1:], "weight_decay": 0.5}])
    separate = [make(alone[1:], weight_decay=0.5), make(alone[:1], lr=0.2, reset_every=15)]
    for step in range(1, 35):
        set_gradients(held, step)
        set_gradients(alone, step)
        grouped.step()
        for optimizer in separate:
            optimizer.step()
    if make is sparse:  # which coordinates move depends on the position among all parameters
        assert torch.equal(held[0], alone[0]) and not same(held, alone)
    else:
        assert same(held, alone)
    assert [grouped.phase(0).resets, grouped.phase(1).resets] == [2, 2]
    assert [grouped.phase(0).since_reset, grouped.phase(1).since_reset] == [5, 11]


@ALL
def test_a_group_may_come_later(make: Make) -> None:
    held = parameters()
    optimizer = make(held[:2])
    train(optimizer, held, range(1, 6))
    before = held[2].detach().clone()
    optimizer.add_param_group({"params": [held[2]]})
    train(optimizer, held, range(6, 9))
    assert not torch.equal(held[2], before)
    assert [int(optimizer.state[p]["step"]) for p in held] == [8, 8, 3]


@ALL
def test_no_rate_no_move_and_empty_groups_are_fine(make: Any) -> None:
    held = parameters()
    before = [p.detach().clone() for p in held]
    optimizer = make([{"params": held[:1], "lr": 0.0}, {"params": []}, {"params": held[1:]}], weight_decay=0.1)
    train(optimizer, held, range(1, 30))
    assert torch.equal(held[0], before[0]) and not torch.equal(held[1], before[1])
    assert optimizer.state[held[0]]["exp_avg"].abs().sum() > 0
    assert optimizer.phase(1).step == 0


@ALL
def test_parameters_without_gradient_or_elements_are_left_alone(make: Make) -> None:
    held = [*parameters(), torch.nn.Parameter(torch.zeros(0, 3))]
    optimizer = make(held)
    for step in range(1, 30):
        set_gradients(held, step)
        if step % 2:
            held[0].grad = None
        before = held[0].detach().clone()
        optimizer.step()
        assert torch.equal(held[0], before) == bool(step % 2)
    assert [int(optimizer.state[p]["step"]) for p in held[:2]] == [14, 29]
    assert len(optimizer.state) == 3


@ALL
def test_missed_updates_do_not_count(make: Make) -> None:
    """A parameter without gradients at times goes the same way as one that is asked only then."""
    a, b = [torch.nn.Parameter(torch.ones(8)) for _ in range(2)]
    irregular, regular = make([a]), make([b])
    for step in range(1, 60):
        a.grad = None if step % 3 == 0 else torch.full((8,), float(step))
        irregular.step()
        if step % 3:
            b.grad = torch.full((8,), float(step))
            regular.step()
    assert torch.equal(a, b)


@ALL
def test_a_closure_is_evaluated_with_gradients(make: Make) -> None:
    held = parameters()
    optimizer = make(held)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = sum((p.square().sum() for p in held), torch.zeros(()))
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(9)]  # type: ignore[arg-type, union-attr]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.99 * losses[0]
    assert optimizer.step() is None


@ALL
@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_schedulers_of_torch_set_the_rate(make: Any) -> None:
    held, other = parameters(), parameters()
    optimizer, by_hand = make(held), make(other)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    for step in range(1, 21):
        by_hand.param_groups[0]["lr"] = 0.05 * 0.5 * (1 + math.cos(math.pi * (step - 1) / 20))
        set_gradients(held, step)
        set_gradients(other, step)
        optimizer.step()
        by_hand.step()
        scheduler.step()
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(held, other, strict=True))
    one_cycle = torch.optim.lr_scheduler.OneCycleLR(make(parameters()), max_lr=0.1, total_steps=10)  # moves betas too
    one_cycle.optimizer.step()
    one_cycle.step()


@ALL
def test_a_gradient_scaler_skips_what_overflowed(make: Make) -> None:
    held = parameters()
    optimizer = make(held)
    scaler = torch.amp.GradScaler("cpu")
    before = [p.detach().clone() for p in held]
    scaler.scale(sum((p.sum() * math.inf for p in held), torch.zeros(()))).backward()
    scaler.step(optimizer)
    scaler.update()
    assert same(held, before) and not optimizer.state
    optimizer.zero_grad()
    scaler.scale(sum((p.sum() for p in held), torch.zeros(()))).backward()
    scaler.step(optimizer)
    assert not same(held, before)


@ALL
def test_sparse_gradients_and_complex_parameters_are_refused(make: Make) -> None:
    held = parameters()
    before = [p.detach().clone() for p in held]
    set_gradients(held, 1)
    held[1].grad = torch.ones(5).to_sparse()
    optimizer = make(held)
    with pytest.raises(ShapeError, match=r"expected a dense gradient, got layout torch.sparse_coo .* shape \[5\]"):
        optimizer.step()
    assert same(held, before) and not optimizer.state
    with pytest.raises(ConfigError, match="expected real parameters, got a complex one"):
        make([torch.zeros(3, dtype=torch.complex64, requires_grad=True)])


WRONG_IN_BOTH = [
    ({"lr": -1.0}, "lr must be a finite number of at least 0, got -1.0"),
    ({"lr": math.nan}, "lr must be a finite number"),
    ({"lr": torch.tensor(0.1)}, "lr must be a finite number"),
    ({"eps": -1e-8}, "eps must be a finite number of at least 0"),
    ({"weight_decay": math.inf}, "weight_decay must be a finite number"),
    ({"betas": (0.9, 1.0)}, r"betas\[1\] must be a finite number of at least 0 and below 1, got 1.0"),
    ({"betas": (-0.1, 0.9)}, r"betas\[0\] must be"),
    ({"betas": (0.9,)}, r"betas must be 2 numbers, got \(0.9,\)"),
    ({"reset_every": -1}, "reset_every must be a whole number of at least 0, got -1"),
    ({"reset_every": 12.5}, "reset_every must be a whole number"),
    ({"maximize": 1}, "maximize must be True or False, got 1"),
    ({"foreach": "yes"}, "foreach must be True or False"),
    ({"foreach": True, "fused": True}, "fused and foreach exclude each other"),
]
WRONG_IN_SPAM = [
    ({"threshold": 0.0}, "threshold must be a number above 0, got 0.0"),
    ({"threshold": math.nan}, "threshold must be a number above 0, got nan"),
    ({"rewarm_steps": 13}, "rewarm_steps=13 must not exceed reset_every=12"),
    ({"clip_holdoff": 12}, "clip_holdoff=12 must lie below reset_every=12"),
    ({"clip_holdoff": 1}, "clip_holdoff must be a whole number of at least 2, got 1"),
    ({"density": 0.0}, "density must be above 0 and at most 1, got 0.0"),
    ({"density": 1.5}, "density must be above 0 and at most 1, got 1.5"),
    ({"density": 0.5, "reset_every": 0}, "density=0.5 needs resets, got reset_every=0"),
    ({"bias_correction": "none"}, "bias_correction must be one of since_reset, global, got 'none'"),
    ({"arrangement": "adam"}, "arrangement must be one of adamw, published, got 'adam'"),
    ({"zero_guard": None}, "zero_guard must be True or False, got None"),
    ({"seed": 0.5}, "seed must be a whole number, got 0.5"),
]
WRONG_IN_STABLE = [
    ({"gammas": (0.7, 0.9)}, r"gammas must be 3 numbers"),
    ({"gammas": (0.7, 0.9, 1.0)}, r"gammas\[2\] must be a finite number of at least 0 and below 1, got 1.0"),
    ({"momentum_decay_steps": -3}, "momentum_decay_steps must be a whole number of at least 0, got -3"),
]


WRONG = [(spam, *row) for row in WRONG_IN_BOTH + WRONG_IN_SPAM]
WRONG += [(stable, *row) for row in WRONG_IN_BOTH + WRONG_IN_STABLE]


@pytest.mark.parametrize(("make", "options", "message"), WRONG)
def test_wrong_options_are_named(make: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"{'SPAM' if make is spam else 'StableSPAM'}: {message}"):
        make(parameters(), **options)
    optimizer = make(parameters()[:1])
    with pytest.raises(ConfigError, match=message):
        optimizer.add_param_group({"params": parameters()[1:], **options})
    assert len(optimizer.param_groups) == 1
