from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data.spike_bins import SpikeBins, even_places, published_places

SPIKES = st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 699)), max_size=60)


def arrays(spikes, kind=np.float16):
    times = np.array([t / 1000 for t, _ in spikes], kind)
    return times, np.array([u for _, u in spikes], np.int64)


def step_by_step(times, units, steps):
    """The published rule in words: each step takes what is due by then and was not taken; unit u at 700 - u."""
    frames = np.zeros((steps, 700))
    left = list(zip(times, units, strict=True))
    for k in range(steps):
        limit = times.dtype.type(k * (1 / steps))
        for t, u in [one for one in left if one[0] <= limit]:
            if u > 0:
                frames[k, 700 - u] = 1
            left.remove((t, u))
    return frames


@given(spikes=SPIKES, steps=st.sampled_from([1, 7, 50, 250]))
def test_published_rule(spikes, steps):
    times, units = arrays(spikes)
    found = SpikeBins([published_places(times, units, steps, 700)], torch.tensor([0]), steps, 700).batch(
        torch.tensor([0])
    )
    assert np.array_equal(found.x[:, 0].numpy(), step_by_step(times, units, steps))


def test_published_rule_by_hand():
    # T=4: limits 0, 0.25, 0.5, 0.75; later than 0.75 s is lost, unit 0 is lost, a second spike in a step is lost
    times = np.array([0.0, 0.1, 0.2, 0.25, 0.26, 0.75, 0.76, 0.3], np.float32)
    units = np.array([5, 5, 5, 6, 1, 699, 3, 0])
    places = published_places(times, units, 4, 700)
    assert [(p // 700, p % 700) for p in places.tolist()] == [(0, 695), (1, 694), (1, 695), (2, 699), (3, 1)]


@given(spikes=SPIKES, steps=st.sampled_from([1, 3, 100, 250]))
def test_even_steps_lose_nothing_within_the_window(spikes, steps):
    times, units = arrays(spikes)
    places = even_places(times, units, steps, 1.4, 700).numpy()
    assert len(places) == int((times.astype(float) < 1.4).sum())
    expected = sorted(
        (min(int(float(t) * steps / 1.4), steps - 1), u) for t, u in zip(times, units, strict=True) if float(t) < 1.4
    )
    assert [(p // 700, p % 700) for p in places] == expected


@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=6), seed=st.integers(0, 1000))
def test_batches_hold_the_counts_of_each_recording(lengths, seed):
    draw = np.random.default_rng(seed)
    rows = [torch.from_numpy(draw.integers(0, 5 * 3, n).astype(np.int32)) for n in lengths]
    data = SpikeBins(rows, torch.arange(len(rows)), steps=5, channels=3)
    order = torch.from_numpy(draw.permutation(len(rows)))
    batch = data.batch(order)
    assert batch.x.shape == (5, len(rows), 3) and batch.x.dtype == torch.float32
    for column, i in enumerate(order.tolist()):
        assert torch.equal(batch.x[:, column].flatten(), torch.bincount(rows[i], minlength=15).float())
    assert torch.equal(batch.target, order)


def test_refusals():
    with pytest.raises(ConfigError, match="at least one step of a window above 0 s, got 0"):
        even_places(np.zeros(1), np.zeros(1, int), 0, 1.4, 700)
    with pytest.raises(DataError, match="1 recordings came with 2 labels"):
        SpikeBins([torch.zeros(0, dtype=torch.int32)], torch.zeros(2), 1, 1)
