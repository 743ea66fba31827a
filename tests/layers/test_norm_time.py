"""Normalisations with parts for each step: definitions, the step as state, what is refused, counts."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.core.operations import Operations
from spikeworks.layers import BatchNormThroughTime, EachInputStepwise, TemporalEffectiveBatchNorm

STEPS = 12
KINDS = {"tebn": TemporalEffectiveBatchNorm, "bntt": BatchNormThroughTime}
SHAPES = [(7, 5, 3), (12, 3, 2, 4), (4, 3, 2, 3, 2), (1, 6, 3), (5, 1, 2, 3)]


def random(*shape: int, seed: int = 0) -> Tensor:
    return 2.0 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 1.0


def build(kind: str, channels: int, steps: int = STEPS):
    """In float64, with parameters and running averages of no special value."""
    norm = KINDS[kind](channels, steps=steps, epsilon=0.03).double()
    with torch.no_grad():
        for i, tensor in enumerate(norm.state_dict().values()):
            tensor.copy_(random(*tensor.shape, seed=20 + i).abs() + 0.1)
    return norm


def gradients(y: Tensor, *inputs: Tensor) -> list[Tensor]:
    weights = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
    return list(torch.autograd.grad((y * weights).sum(), inputs))


def by_definition(norm, x: Tensor, mask: Tensor, start: int = 0) -> Tensor:
    """Step by step, sequence by sequence and channel by channel; padded steps stay 0."""
    y = torch.zeros_like(x)
    steps, batch, channels = x.shape[:3]
    own = isinstance(norm, BatchNormThroughTime)
    for c in range(channels):
        for t in range(steps):
            group = [t] if own else range(steps)
            for b in range(batch):
                if not mask[t, b]:
                    continue
                if norm.training:
                    values = torch.cat([x[s, k, c].reshape(-1) for s in group for k in range(batch) if mask[s, k]])
                    mean = values.mean()
                    spread = ((values - mean) ** 2).mean()
                else:
                    table, place = (norm, (start + t, c)) if own else (norm.batch, c)
                    mean, spread = table.mean[place], table.variance[place]
                hat = (x[t, b, c] - mean) / (spread + 0.03) ** 0.5
                if own:
                    y[t, b, c] = norm.weight[start + t, c] * hat
                else:
                    y[t, b, c] = norm.step_weight[start + t] * (norm.batch.weight[c] * hat + norm.batch.bias[c])
    return y


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_those_of_the_definition(kind, shape, training, masked):
    norm, x = build(kind, shape[2]).train(training), random(*shape).requires_grad_()
    steps, batch = shape[:2]
    lengths = torch.tensor([max(1, steps - 2 * b) if masked else steps for b in range(batch)])
    mask = torch.arange(steps)[:, None] < lengths
    inside = mask.reshape(*mask.shape, *(1,) * (x.dim() - 2))
    expected = by_definition(norm, x, mask)
    y, state = norm(x, mask=mask if masked else None)
    y = torch.where(inside, y, 0.0)
    assert expected.abs().sum() > 0 and state.tolist() == [steps] * batch
    assert_close(y, expected, rtol=1e-11, atol=1e-11)
    inputs = (x, *norm.parameters())
    assert_close(gradients(y, *inputs), gradients(expected, *inputs), rtol=1e-9, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(cuts=st.sets(st.integers(1, 10)), kind=st.sampled_from(sorted(KINDS)), masked=st.booleans())
def test_chunks_with_carried_state_equal_the_whole_in_evaluation(cuts, kind, masked):
    norm, x = build(kind, 3).eval(), random(11, 2, 3)
    mask = torch.arange(11)[:, None] < torch.tensor([11, 6]) if masked else None
    whole, end = norm(x, mask=mask)
    edges, state, parts = [0, *sorted(cuts), 11], None, []
    for a, b in itertools.pairwise(edges):
        y, state = norm(x[a:b], state, None if mask is None else mask[a:b])
        parts.append(y)
    assert torch.equal(torch.cat(parts), whole) and torch.equal(state, end)
    if cuts:  # without the state the second chunk would begin at the first step again
        assert not torch.allclose(norm(x[edges[1] :])[0], whole[edges[1] :])


@settings(max_examples=15, deadline=None)
@given(cuts=st.sets(st.integers(1, 10)), masked=st.booleans())
def test_bntt_chunks_equal_the_whole_in_training_too(cuts, masked):
    x = random(11, 3, 2).requires_grad_()
    mask = torch.arange(11)[:, None] < torch.tensor([8, 5, 2]) if masked else None  # three steps of padding alone
    whole, chunked = build("bntt", 2), build("bntt", 2)
    y, _ = whole(x, mask=mask)
    edges, state, parts = [0, *sorted(cuts), 11], None, []
    for a, b in itertools.pairwise(edges):
        part, state = chunked(x[a:b], state, None if mask is None else mask[a:b])
        parts.append(part)
    z = torch.cat(parts)
    assert_close(z, y, rtol=1e-12, atol=1e-12)
    assert_close(gradients(z, x, chunked.weight), gradients(y, x, whole.weight), rtol=1e-11, atol=1e-11)
    assert_close(dict(chunked.named_buffers()), dict(whole.named_buffers()), rtol=1e-12, atol=1e-12)


def test_bntt_is_torch_batch_norm_of_each_step():
    norm, x = BatchNormThroughTime(3, steps=4).double(), random(4, 6, 3)
    steps = [torch.nn.BatchNorm1d(3).double() for _ in range(4)]
    for _ in range(3):
        assert_close(norm(x)[0], torch.stack([step(x_t) for step, x_t in zip(steps, x, strict=True)]))
    assert_close(norm.mean, torch.stack([step.running_mean for step in steps]))
    assert_close(norm.variance, torch.stack([step.running_var for step in steps]))
    norm.eval()
    assert_close(norm(x)[0], torch.stack([step.eval()(x_t) for step, x_t in zip(steps, x, strict=True)]))


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_neither_outputs_nor_gradients_nor_averages(kind):
    short, padded = build(kind, 3), build(kind, 3)
    x = random(6, 4, 3).requires_grad_()
    more = torch.cat([x, 50.0 * random(3, 4, 3, seed=1)])
    mask = torch.arange(9)[:, None].expand(9, 4) < 6
    y, z = short(x)[0], padded(more, mask=mask)[0]
    assert_close(z[:6], y, rtol=1e-12, atol=1e-12)
    assert z.isfinite().all()
    found = gradients(z[:6], x, *padded.parameters())
    assert_close(found, gradients(y, x, *short.parameters()), rtol=1e-10, atol=1e-10)
    assert_close(dict(padded.named_buffers()), dict(short.named_buffers()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_at_different_steps_run_together_in_evaluation(kind):
    norm, x = build(kind, 3).eval(), random(3, 2, 3, 4)
    y, after = norm(x, torch.tensor([2, 7]))
    assert after.tolist() == [5, 10]
    for b, start in enumerate((2, 7)):
        one = slice(b, b + 1)
        assert_close(y[:, one], by_definition(norm, x[:, one], torch.ones(3, 1, dtype=torch.bool), start))


@pytest.mark.parametrize("kind", KINDS)
def test_beyond_the_last_step_the_option_is_named(kind):
    norm, name = build(kind, 3), KINDS[kind].__name__
    y, state = norm(random(STEPS, 2, 3))
    assert y.shape[0] == STEPS
    with pytest.raises(ShapeError, match=f"{name} was built .* up to 12 steps, this one reaches 13.(.|\n)*steps=13"):
        norm(random(STEPS + 1, 2, 3))
    with pytest.raises(ShapeError, match=r"this one reaches 13\.(.|\n)*norm_steps"):
        norm.eval()(random(1, 2, 3), state)
    with pytest.raises(ConfigError, match="at least one step, got steps=0"):
        KINDS[kind](3, steps=0)


@pytest.mark.parametrize("state", [torch.zeros(3), torch.zeros(3, 1).long(), torch.zeros(2).long(), (1, 2)], ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_a_state_of_another_layer_or_batch_is_refused(kind, state):
    with pytest.raises(ShapeError, match=r"expected as state the number of steps since rest, int64 \[3\], got"):
        build(kind, 2)(random(2, 3, 2), state)


def test_bntt_refuses_to_train_on_sequences_at_different_steps():
    norm = build("bntt", 2)
    with pytest.raises(ShapeError, match=r"trains on sequences at one step, these are at \[1, 4\]"):
        norm(random(2, 2, 2), torch.tensor([1, 4]))
    norm(random(2, 2, 2), torch.tensor([4, 4]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_of_padding_alone_leaves_no_trace(kind):
    norm, x = build(kind, 3), random(4, 2, 3).requires_grad_()
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    y, _ = norm(x, mask=torch.zeros(4, 2, dtype=torch.bool))
    assert y.isfinite().all() and all(g.isfinite().all() for g in gradients(y, x))
    assert_close(dict(norm.named_buffers()), before, rtol=0, atol=0)


def test_tebn_starts_as_batch_norm():
    norm, x = TemporalEffectiveBatchNorm(3, steps=STEPS), random(5, 4, 3).float()
    assert_close(norm(x)[0], norm.batch(x), rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_keeps_its_averages_in_full(kind):
    found = []
    for dtype in (torch.bfloat16, torch.float32):
        norm = KINDS[kind](3, steps=9)
        y, state = norm(random(9, 4, 3).to(torch.bfloat16).to(dtype))
        assert state.dtype == torch.int64
        found.append((y.float(), dict(norm.named_buffers())))
    assert_close(found[0][0], found[1][0], rtol=1e-2, atol=1e-2)
    assert_close(found[0][1], found[1][1])


def test_counts_by_hand():
    x = torch.zeros(7, 2, 3, 4)
    step = Operations(acs=14, state_reads=14, state_writes=14)  # the place in the sequence
    tebn = step + Operations(macs=7 * 2 * 3 * 4, weight_reads=7 * 2)
    bntt = step + Operations(macs=7 * 2 * 3 * 4, weight_reads=7 * 2 * 3 * 2)
    assert build("tebn", 3).operations(x, x) == tebn and build("bntt", 3).operations(x, x) == bntt


@pytest.mark.parametrize("kind", KINDS)
def test_several_currents_share_the_step(kind):
    norms = EachInputStepwise(build(kind, 3) for _ in range(2)).eval()
    with torch.no_grad():
        for p in norms[1].parameters():
            p.mul_(2.0)
    x = tuple(random(7, 2, 3, seed=s) for s in (0, 1))
    whole, end = norms(x)
    first, state = norms(tuple(part[:4] for part in x))
    second, state = norms(tuple(part[4:] for part in x), state)
    assert end.tolist() == state.tolist() == [7, 7]
    for k in range(2):
        assert torch.equal(torch.cat([first[k], second[k]]), whole[k])
        assert torch.equal(whole[k], norms[k](x[k])[0])
