"""Batch normalisation in its forms: the definition in plain loops, masks, chunks, running averages, counts."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from spikeworks.core.errors import ConfigError
from spikeworks.core.operations import Operations
from spikeworks.layers import BatchNorm, LayerNorm, ThresholdBatchNorm

SHAPES = [(7, 5, 3), (6, 3, 2, 4), (4, 3, 2, 3, 2), (1, 6, 3), (5, 1, 2)]
KINDS = {
    "batch": lambda c: BatchNorm(c, epsilon=0.03),
    "batch-step": lambda c: BatchNorm(c, epsilon=0.03, per_step=True),
    "tdbn": lambda c: ThresholdBatchNorm(c, threshold=0.6, alpha=0.5**0.5, epsilon=0.03),
    "tdbn per step": lambda c: ThresholdBatchNorm(c, threshold=0.6, epsilon=0.03, per_step=True),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return 2.0 * torch.randn(*shape, generator=seeded(seed), dtype=torch.float64) + 1.0


def build(kind: str, channels: int) -> BatchNorm:
    """In float64, with gains and shifts of no special value."""
    norm = KINDS[kind](channels).double()
    with torch.no_grad():
        norm.weight.copy_(random(channels, seed=8))
        norm.bias.copy_(random(channels, seed=9))
    return norm


def lengths_mask(steps: int, batch: int) -> Tensor:
    """Sequences of different lengths, one of which is whole."""
    return torch.arange(steps)[:, None] < torch.tensor([max(1, steps - 2 * b) for b in range(batch)])


def by_definition(norm: BatchNorm, x: Tensor, mask: Tensor) -> Tensor:
    """Step by step, sequence by sequence and channel by channel; padded steps stay 0."""
    y = torch.zeros_like(x)
    steps, batch, channels = x.shape[:3]
    factor = norm.alpha * norm.threshold if isinstance(norm, ThresholdBatchNorm) else 1.0
    for c in range(channels):
        for t in range(steps):
            group = [t] if norm.per_step else range(steps)
            values = torch.cat([x[s, b, c].reshape(-1) for s in group for b in range(batch) if mask[s, b]] or [x[:0]])
            for b in range(batch):
                if mask[t, b]:
                    mean = values.mean()
                    spread = ((values - mean) ** 2).mean()
                    hat = (x[t, b, c] - mean) / (spread + norm.epsilon) ** 0.5
                    y[t, b, c] = norm.weight[c] * (factor * hat) + norm.bias[c]
    return y


def gradients(y: Tensor, *inputs: Tensor) -> list[Tensor]:
    weights = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
    return list(torch.autograd.grad((y * weights).sum(), inputs))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_those_of_the_definition(kind, shape, masked):
    norm, x = build(kind, shape[2]), random(*shape).requires_grad_()
    mask = lengths_mask(*shape[:2]) if masked else torch.ones(shape[:2], dtype=torch.bool)
    inside = mask.reshape(*mask.shape, *(1,) * (x.dim() - 2))
    y = torch.where(inside, norm(x, mask if masked else None), 0.0)
    expected = by_definition(norm, x, mask)
    assert expected.abs().sum() > 0
    assert_close(y, expected, rtol=1e-11, atol=1e-11)
    inputs = (x, norm.weight, norm.bias)
    assert_close(gradients(y, *inputs), gradients(expected, *inputs), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_neither_outputs_nor_gradients_nor_averages(kind):
    short, padded = build(kind, 3), build(kind, 3)
    x = random(6, 4, 3).requires_grad_()
    more = torch.cat([x, 50.0 * random(3, 4, 3, seed=1)])
    mask = torch.arange(9)[:, None].expand(9, 4) < 6
    y, z = short(x), padded(more, mask)
    assert_close(z[:6], y, rtol=1e-12, atol=1e-12)
    assert z.isfinite().all()
    assert_close(gradients(z[:6], x, padded.weight), gradients(y, x, short.weight), rtol=1e-10, atol=1e-10)
    assert_close(dict(padded.named_buffers()), dict(short.named_buffers()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_of_padding_alone_leaves_no_trace(kind):
    norm, x = build(kind, 3), random(4, 2, 3).requires_grad_()
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    y = norm(x, torch.zeros(4, 2, dtype=torch.bool))
    assert y.isfinite().all() and all(g.isfinite().all() for g in gradients(y, x))
    assert_close(dict(norm.named_buffers()), before, rtol=0, atol=0)


@settings(max_examples=20, deadline=None)
@given(cuts=st.sets(st.integers(1, 10)), masked=st.booleans(), tail=st.sampled_from([(), (3,)]))
def test_per_step_chunks_equal_the_whole_in_training(cuts, masked, tail):
    x = random(11, 3, 2, *tail).requires_grad_()
    mask = torch.arange(11)[:, None] < torch.tensor([8, 5, 2]) if masked else None  # three steps of padding alone
    whole, chunked = build("batch-step", 2), build("batch-step", 2)
    edges = [0, *sorted(cuts), 11]
    parts = [slice(a, b) for a, b in itertools.pairwise(edges)]
    y = whole(x, mask)
    z = torch.cat([chunked(x[part], None if mask is None else mask[part]) for part in parts])
    assert_close(z, y, rtol=1e-12, atol=1e-12)
    found, expected = (gradients(o, x, n.weight, n.bias) for o, n in ((z, chunked), (y, whole)))
    assert_close(found, expected, rtol=1e-11, atol=1e-11)
    assert_close(dict(chunked.named_buffers()), dict(whole.named_buffers()), rtol=1e-12, atol=1e-12)
    assert not torch.equal(whole.mean, torch.zeros(2))


def test_per_step_is_torch_batch_norm_called_at_every_step():
    ours, theirs, x = build("batch-step", 3), nn.BatchNorm1d(3, eps=0.03).double(), random(20, 6, 3)
    theirs.load_state_dict({"weight": ours.weight, "bias": ours.bias}, strict=False)
    for _ in range(2):
        assert_close(ours(x), torch.stack([theirs(x_t) for x_t in x]))
    assert_close((ours.mean, ours.variance), (theirs.running_mean, theirs.running_var))
    ours.eval(), theirs.eval()
    assert_close(ours(x), theirs(x.flatten(0, 1)).reshape(x.shape))


def test_over_time_is_torch_batch_norm_of_all_steps_together():
    ours, theirs, x = build("batch", 3), nn.BatchNorm1d(3, eps=0.03).double(), random(20, 6, 3)
    theirs.load_state_dict({"weight": ours.weight, "bias": ours.bias}, strict=False)
    assert_close(ours(x), theirs(x.flatten(0, 1)).reshape(x.shape))
    assert_close((ours.mean, ours.variance), (theirs.running_mean, theirs.running_var))


def test_statistics_of_a_step_are_not_those_of_the_sequence():
    x = random(8, 4, 3)
    assert not torch.allclose(build("batch", 3)(x), build("batch-step", 3)(x), atol=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_is_the_folded_map(kind):
    norm, x = build(kind, 3), random(9, 4, 3, 2)
    norm(x)
    scale, shift = norm.eval().folded()
    assert_close(norm(x), x * scale[:, None] + shift[:, None])
    assert_close(torch.cat([norm(x[:2]), norm(x[2:])]), norm(x), rtol=0, atol=0)
    assert norm.operations(x, x) == Operations()


def test_tdbn_starts_with_currents_at_the_threshold():
    norm = ThresholdBatchNorm(4, threshold=0.7, alpha=0.5)
    y = norm(random(200, 10, 4).float())
    assert_close(y.std((0, 1)), torch.full((4,), 0.35), rtol=1e-2, atol=0)
    same = BatchNorm(4)
    with torch.no_grad():
        same.weight.fill_(0.35)
    x = random(5, 3, 4).float()
    assert_close(norm(x), same(x))
    assert "threshold=0.7, alpha=0.5" in repr(norm)


@pytest.mark.parametrize("bad", [{"threshold": 0.0}, {"threshold": 1.0, "alpha": -1.0}, {"threshold": math.inf}])
def test_tdbn_refuses_scales_that_are_not_above_zero(bad):
    with pytest.raises(ConfigError, match="tdBN needs threshold and alpha above 0"):
        ThresholdBatchNorm(4, **bad)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_keeps_its_averages_in_full(kind):
    norm, x = KINDS[kind](3), random(9, 4, 3).to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        y = norm(x)
    reference = KINDS[kind](3)
    assert_close(y.float(), reference(x.float()), rtol=1e-2, atol=1e-2)
    assert norm.mean.dtype == torch.float32
    assert_close(dict(norm.named_buffers()), dict(reference.named_buffers()))


def test_layer_norm_is_that_of_the_channels():
    norm, x = LayerNorm(3).double(), random(4, 2, 3, 5)
    y = norm(x)
    values = x[2, 1, :, 4]
    assert_close(y[2, 1, :, 4], (values - values.mean()) / (values.var(correction=0) + 1e-5).sqrt())
