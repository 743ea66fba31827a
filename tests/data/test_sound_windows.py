from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.errors import DataError
from spikeworks.data.sound_windows import add_recorded_noise, loud, nsa_layout, unit_level, windows_of


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 40), st.integers(1, 9))
def test_windows_stand_one_behind_the_other(samples, width):
    wave = torch.arange(2 * samples).view(samples, 2)
    windows = windows_of(wave, width)
    assert windows.shape == (samples // width, width, 2)
    assert torch.equal(windows.flatten(0, 1), wave[: samples // width * width])


def test_gate():
    windows = torch.tensor([[[1.0, -1.0]], [[3.0, 0.0]], [[-1.5, -1.6]]])
    assert loud(windows, 1.5).tolist() == [False, False, True]


@given(st.integers(1, 4), st.integers(1, 12))
def test_nsa_layout_is_the_published_reshape(microphones, steps):
    windows = normal(3, steps, microphones).numpy()
    rows = np.stack([window.flatten(order="F") for window in windows])  # MATLAB's window(:)
    stored = rows.T  # as HDF5 shows the rows that MATLAB wrote
    published = stored.reshape(steps, microphones, 3).transpose(2, 0, 1)
    assert np.array_equal(nsa_layout(torch.from_numpy(windows)).numpy(), published)


def test_nsa_layout_shows_one_microphone_after_the_other():
    windows = torch.arange(4.0).expand(1, 500, 4)
    assert torch.equal(nsa_layout(windows)[0], torch.arange(4.0).repeat_interleave(125)[:, None].expand(500, 4))


@pytest.mark.parametrize("snr", [-3.0, 0.0, 7.0])
def test_noise_has_the_least_squares_gain_and_comes_from_another_place_for_each_microphone(snr):
    windows, noises = normal(50, 80, 4) * torch.tensor([1.0, 2.0, 0.5, 1.0]), [normal(3000, seed=s) for s in (1, 2)]
    added = add_recorded_noise(windows, noises, snr, torch.Generator().manual_seed(0)) - windows
    for i in range(50):
        signal = windows[i].double().square().mean(0).numpy()
        pieces = []
        for microphone in range(4):
            piece = added[i, :, microphone] / added[i, :, microphone].norm()
            matches = torch.stack([noise.unfold(0, 80, 1) @ piece for noise in noises])
            length = torch.stack([noise.unfold(0, 80, 1).norm(dim=1) for noise in noises])
            which, start = divmod(int((matches / length).argmax()), 2921)
            assert float((matches / length).max()) == pytest.approx(1, abs=1e-3)
            pieces.append((which, start, noises[which][start : start + 80]))
        assert len({which for which, _, _ in pieces}) == 1 and len({start for _, start, _ in pieces}) > 1
        noise = np.stack([piece.double().square().mean().numpy() for _, _, piece in pieces])
        gain = np.sqrt(np.linalg.lstsq(noise[:, None], signal, rcond=None)[0][0] / 10 ** (snr / 10))
        expected = gain * torch.stack([piece for _, _, piece in pieces], 1)
        torch.testing.assert_close(added[i], expected.float(), rtol=1e-3, atol=1e-3)


def test_draws_are_repeated_by_the_seed_and_cover_the_noises():
    windows, noises = torch.ones(400, 10, 2), [torch.full((30,), float(k)) for k in (1, 2, 3)]
    one, same, other = (
        add_recorded_noise(
            windows, [n + 0.1 * normal(30, seed=9) for n in noises], 0.0, torch.Generator().manual_seed(s)
        )
        for s in (0, 0, 1)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_noise_that_cannot_be_used():
    with pytest.raises(DataError, match="SLoClas noise: recording 1 has 10 samples, a window has 10"):
        add_recorded_noise(torch.ones(2, 10, 4), [normal(20), normal(10)], 0.0, torch.Generator(), who="SLoClas noise")
    with pytest.raises(DataError, match="recording 0 is silent where it was drawn"):
        add_recorded_noise(torch.ones(2, 10, 4), [torch.zeros(20)], 0.0, torch.Generator())


def test_unit_level_keeps_the_ratios_of_the_microphones():
    windows = normal(5, 20, 4) * torch.tensor([1.0, 2.0, 3.0, 4.0])
    level = unit_level(windows)
    torch.testing.assert_close(level.square().mean((1, 2)), torch.ones(5))
    torch.testing.assert_close(level / level[:, :1, :1], windows / windows[:, :1, :1], rtol=1e-4, atol=1e-4)
    assert torch.equal(unit_level(torch.zeros(1, 3, 2)), torch.zeros(1, 3, 2))
