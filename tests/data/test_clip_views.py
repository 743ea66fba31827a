from __future__ import annotations

import pytest
import torch

from spikeworks.core.errors import ConfigError
from spikeworks.data.clip_views import ClipView, centre_crop


def clip(height=12, width=12, steps=3):
    return torch.arange(steps * 2 * height * width, dtype=torch.float32).view(steps, 2, height, width) + 1


def drawn(view, count=200, **shape):
    return [view(clip(**shape), torch.Generator().manual_seed(seed)) for seed in range(count)]


def test_without_a_generator_the_middle():
    view = ClipView(side=8, zoom=3)
    assert torch.equal(view(clip(), None), clip()[..., 2:10, 2:10])
    assert torch.equal(ClipView(side=8, zoom=3, augment=False)(clip(), torch.Generator()), clip()[..., 2:10, 2:10])
    assert ClipView(side=8, zoom=3, flatten=True)(clip(), None).shape == (3, 128)
    # the middle of the middle of a sensor is that of the sensor
    assert torch.equal(centre_crop(centre_crop(clip(128, 128, 1), 96), 88), clip(128, 128, 1)[..., 20:108, 20:108])


def test_shifts_reach_every_place_and_mirrors_half_of_the_clips():
    seen = drawn(ClipView(side=8, holes=0, zoom=0))
    expected = {}
    for top in range(5):
        for left in range(5):
            part = clip()[..., top : top + 8, left : left + 8]
            expected[(top, left, False)], expected[(top, left, True)] = part, part.flip(-1)
    found = [next(place for place, part in expected.items() if torch.equal(part, one)) for one in seen]
    assert {place[:2] for place in found} == {place[:2] for place in expected}
    assert 0.35 < sum(place[2] for place in found) / len(found) < 0.65
    plain = drawn(ClipView(side=8, flip=False, holes=0, zoom=0), 30)
    assert all(any(torch.equal(one, part) for place, part in expected.items() if not place[2]) for one in plain)


def test_holes_are_the_same_in_all_frames_and_bounded():
    seen = drawn(ClipView(side=8, flip=False, holes=2, longest=5, zoom=0), height=8, width=8)
    shares = []
    for one in seen:
        gone = one == 0
        assert torch.equal(gone, gone[:1, :1].expand_as(gone))
        assert torch.equal(one[~gone], clip(8, 8)[~gone])
        shares.append(int(gone[0, 0].sum()))
    assert max(shares) <= 2 * 4 * 4 and min(shares) == 0 and len(set(shares)) > 5


def test_zoom_keeps_the_size_and_scales():
    view = ClipView(side=40, flip=False, holes=0, zoom=10)
    flat = torch.ones(2, 2, 40, 40)
    ramp = torch.arange(40.0).expand(1, 1, 40, 40)
    around, shown = [], []
    for seed in range(200):
        seen = view(flat, torch.Generator().manual_seed(seed))
        assert seen.shape == flat.shape
        across = view(ramp, torch.Generator().manual_seed(seed))[0, 0, 20]
        if seen.min() < 0.5:  # k pixels of nothing at each side, and the picture 40 / (40 + 2 k) as large
            around.append((40 / float(seen[0, 0, 20].sum()) - 1) * 20)
            assert float(across.max()) < 40
        else:
            shown.append(float(across[-1] - across[0]) + 40 / 40)
    assert 0.35 < len(around) / 200 < 0.6
    assert {round(k) for k in around} == set(range(1, 10)) and all(abs(k - round(k)) < 0.1 for k in around)
    # the middle of 30 to 39 pixels enlarged, or all 40 of them
    assert {round(width) for width in shown} == set(range(30, 41))


def test_refusals():
    for wrong in ({"side": 0}, {"holes": -1}, {"longest": 1}, {"zoom": 8}, {"zoom": -1}):
        with pytest.raises(ConfigError, match="A view has a side above its zoom"):
            ClipView(**{"side": 8, "zoom": 0, **wrong})
    with pytest.raises(ConfigError, match="Frames of 7 x 9 pixels have no square of 8"):
        ClipView(side=8, zoom=0)(clip(7, 9), None)
