"""The critic of sounds: shapes, norms, seeds, and that it learns what it is told."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spikeworks.core.errors import ShapeError
from spikeworks.core.seeds import stream
from spikeworks.models.critic import LEAST, Critic, Critics


def pairs(size: int = 3, frequencies: int = 40, frames: int = 50, *, seed: int = 1) -> Tensor:
    return torch.rand(size, 2, frequencies, frames, generator=stream(seed, "pairs"))


@pytest.mark.parametrize("shape", [(129, 126), (257, 51), (33, 1), (1, 33), (1, 1), (LEAST, LEAST)], ids=str)
def test_any_clip_has_one_number_between_0_and_1(shape: tuple[int, int]) -> None:
    critic, seen = Critic(stream(0, "critic")), pairs(2, *shape).requires_grad_()
    judged = critic(seen)
    judged.sum().backward()
    assert judged.shape == (2,) and ((judged > 0) & (judged < 1)).all()
    assert seen.grad is not None and seen.grad.isfinite().all()
    if min(shape) > 1:
        assert seen.grad[:, 0].any() and seen.grad[:, 1].any(), "both sounds are heard"


def test_clips_do_not_see_each_other_or_what_was_filled_up() -> None:
    critic = Critic(stream(0, "critic")).eval()
    seen = pairs(4, 20, 30)
    torch.testing.assert_close(critic(seen)[1:3], critic(seen[1:3]))
    filled = nn.functional.pad(seen, (0, LEAST - 30, 0, LEAST - 20))
    torch.testing.assert_close(critic(seen), critic(filled))


@pytest.mark.parametrize("shape", [(3, 2, 8), (3, 1, 8, 8), (2, 8, 8)], ids=str)
def test_another_shape_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"expected pairs of magnitudes \[B, 2, F, T\]"):
        Critic(stream(0, "critic"))(torch.rand(shape))


def test_the_seed_makes_all_of_it_and_leaves_the_global_stream_alone() -> None:
    before = torch.random.get_rng_state()
    one, two, other = (Critic(stream(seed, "critic")).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    for name, value in one.items():
        assert torch.equal(value, two[name]), name
        fixed = value.numel() == 1 or len(value.unique()) == 1
        assert fixed or not torch.equal(value, other[name]), name


def test_convolutions_have_a_largest_singular_value_of_one_and_follow_the_weights() -> None:
    critic = Critic(stream(0, "critic"))
    convolutions = [layer for layer in critic.convolutions if isinstance(layer, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [16, 32, 64, 128]

    def largest() -> list[float]:
        with torch.no_grad():
            return [torch.linalg.matrix_norm(c.weight.flatten(1), 2).item() for c in convolutions]

    assert largest() == pytest.approx([1.0] * 4, abs=0.05)
    with torch.no_grad():
        for convolution in convolutions:
            convolution.parametrizations.weight.original.mul_(3.0).add_(0.02)  # type: ignore[union-attr, operator]
    critic.settle(30)
    assert largest() == pytest.approx([1.0] * 4, abs=0.05)
    critic.eval()
    kept = {name: buffer.clone() for name, buffer in critic.named_buffers()}
    critic(pairs())
    assert all(torch.equal(buffer, kept[name]) for name, buffer in critic.named_buffers())


def test_dropout_draws_from_its_own_generator_and_only_in_training() -> None:
    critic, seen = Critic(stream(0, "critic")), pairs()
    found = []
    for seed in (5, 5, 6):
        twin = Critic(stream(0, "critic"))
        twin.dropout.generator = stream(seed, "dropout")
        found.append(twin(seen))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    critic.eval()
    assert torch.equal(critic(seen), critic(seen))


def test_the_rate_is_a_factor_for_all_groups() -> None:
    critics = Critics([Critic(stream(0, "critic"))], rate=0.25)
    groups = critics.parameter_groups(0.1)
    assert {group["lr_scale"] for group in groups} == {0.25}
    assert sum(len(group["params"]) for group in groups) == len(list(critics.parameters()))
    assert all(p.dim() > 1 for group in groups if group["weight_decay"] for p in group["params"])


def test_it_learns_a_known_quality() -> None:
    """Estimates are clean sounds smeared into their mean by a share a; their quality is 1 - a."""
    critic, source = Critic(stream(0, "critic")), stream(2, "toy")
    critic.dropout.generator = stream(3, "dropout")
    optimizer = torch.optim.Adam(critic.parameters(), 1e-3)

    def draw(size: int) -> tuple[Tensor, Tensor]:
        bursts = (torch.rand(size, 1, 96, generator=source) < 0.5).float()
        clean = torch.rand(size, 64, 1, generator=source) * bursts
        share = torch.rand(size, generator=source)
        smeared = torch.lerp(clean, clean.mean((1, 2), keepdim=True).expand_as(clean), share[:, None, None])
        return torch.stack([clean, smeared], 1), 1 - share

    def error() -> float:
        critic.eval()
        with torch.no_grad():
            seen, quality = held
            return (critic(seen) - quality).square().mean().item()

    held = draw(64)
    before = error()
    for _ in range(160):
        critic.train()
        seen, quality = draw(16)
        optimizer.zero_grad()
        (critic(seen) - quality).square().mean().backward()
        optimizer.step()
    assert error() < before / 4
