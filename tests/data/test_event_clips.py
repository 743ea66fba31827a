from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data.event_clips import EventClips, event_places
from spikeworks.data.events import Events

RAW = st.lists(
    st.tuples(st.integers(0, 70_000), st.integers(0, 11), st.integers(0, 9), st.integers(0, 1)), min_size=1, max_size=60
)


def events_of(raw):
    t, x, y, p = (torch.tensor(field) for field in zip(*sorted(raw), strict=True))
    return Events(x=x, y=y, polarity=p, time=t)


@given(RAW, st.integers(1, 12), st.sampled_from([10, 8, 5]))
def test_signed_counts_equal_a_loop_over_events_and_sum_to_the_events_kept(raw, steps, inner):
    events = events_of(raw)
    places = event_places(events, steps, 6000.0, (10, 12), inner)
    data = EventClips([places], torch.tensor([0]), steps, inner)
    expected = np.zeros((steps, 2, inner, inner))
    kept = 0
    for t, x, y, p in raw:
        step, row, column = int(np.round(t / 6000)), y - (10 - inner) // 2, x - (12 - inner) // 2
        if step < steps and 0 <= row < inner and 0 <= column < inner:
            expected[step, 0 if p else 1, row, column] += 1 if p else -1
            kept += 1
    clip = data.clip(0)
    assert np.array_equal(clip.numpy(), expected)
    assert int(clip.abs().sum()) == kept == len(places)


def test_the_first_step_is_half_as_long():
    raw = [(0, 0, 0, 1), (2999, 0, 0, 1), (3001, 0, 0, 1), (8999, 0, 0, 1), (9001, 0, 0, 1)]
    places = event_places(events_of(raw), 3, 6000.0, (1, 1), 1)
    assert EventClips([places], torch.tensor([0]), 3, 1).clip(0)[:, 0].flatten().tolist() == [2, 2, 1]


def clips(view=lambda clip, generator: clip):
    places = [torch.arange(n, dtype=torch.int32) for n in (3, 0, 5, 8, 1)]
    return EventClips(places, torch.arange(5), 1, 2, view)


def test_batches():
    data = clips()
    batch = data.batch(data.plan(3)[1])
    assert batch.x.shape == (1, 2, 2, 2, 2) and batch.target.tolist() == [3, 4] and batch.mask is None
    assert batch.x[0, 0].flatten().tolist() == [1, 1, 1, 1, -1, -1, -1, -1]
    assert batch.x[0, 1].flatten().tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert clips().batch(clips().plan(5)[0]).x.abs().sum((0, 2, 3, 4)).tolist() == [3, 0, 5, 8, 1]


def noisy(clip, generator):
    return clip if generator is None else clip + torch.rand(clip.shape, generator=generator)


def test_draws_come_from_the_plan():
    """The same item gives the same batch, whatever was made before it: an epoch can be resumed anywhere."""
    data = clips(noisy)
    plan, same, other = (data.plan(2, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert sorted(torch.cat([item.index for item in plan]).tolist()) == list(range(5))
    last = data.batch(plan[2])
    assert torch.equal(data.batch(same[2]).x, last.x) and torch.equal(data.batch(plan[2]).x, last.x)
    assert len({item.seed for item in plan} | {item.seed for item in other}) == 6
    assert not torch.equal(data.batch(plan[0]).x[:, 0], data.batch(plan[0]).x[:, 0].round())
    natural = data.batch(data.plan(5)[0]).x
    assert torch.equal(natural, natural.round())


def test_refusals():
    with pytest.raises(DataError, match="5 clips came with 4 labels"):
        EventClips(clips().places.split([3, 0, 5, 8, 1]), torch.arange(4), 1, 2)
    for wrong in ({"steps": 0}, {"width": 0.0}, {"inner": 11}, {"inner": 0}):
        with pytest.raises(ConfigError, match="A clip has steps of a width above 0"):
            event_places(events_of([(0, 0, 0, 0)]), **{"steps": 2, "width": 6.0, "size": (10, 12), "inner": 4, **wrong})
