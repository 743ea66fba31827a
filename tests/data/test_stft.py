"""The transform gives back what went in, looks ahead by exactly one window, and knows where a wave ends."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.data.stft import Stft, compressed, cumulative_norm


def wave(size: int, samples: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(size, samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.sampled_from([(8, 2), (8, 4), (16, 4), (12, 3), (256, 64)]), st.integers(0, 9), st.integers(1, 3))
def test_an_unchanged_spectrum_gives_the_wave_back(sizes, hops, size):
    stft = Stft(window=sizes[0], hop=sizes[1])
    x = wave(size, hops * stft.hop)
    spectrum = stft(x)
    assert spectrum.shape == (stft.frames(x.shape[1]), size, stft.bins) == (hops + 1, size, sizes[0] // 2 + 1)
    torch.testing.assert_close(stft.inverse(spectrum), x, rtol=0, atol=1e-12)


def test_it_is_that_of_torch():
    stft = Stft(window=512, hop=128)
    x = wave(2, 16_000)
    window = torch.hann_window(512, dtype=torch.float64)
    theirs = torch.stft(x, 512, 128, window=window, center=True, pad_mode="constant", return_complex=True)
    torch.testing.assert_close(stft(x), theirs.permute(2, 0, 1), rtol=0, atol=1e-10)
    changed = stft(x) * torch.rand(126, 2, 257, dtype=torch.float64)
    back = torch.istft(changed.permute(1, 2, 0), 512, 128, window=window, center=True, length=16_000)
    torch.testing.assert_close(stft.inverse(changed), back, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("window", "hop"), [(16, 4), (16, 8), (24, 6)])
def test_look_ahead_is_exact(window, hop):
    """Through any mask of the frames, sample s depends on input up to s + look_ahead, and on that one for some s."""
    stft = Stft(window=window, hop=hop)
    x = wave(1, 10 * hop).requires_grad_()
    mask = torch.rand(11, 1, stft.bins, dtype=torch.float64)
    y = stft.inverse(stft(x) * mask)
    furthest = []
    for s in range(window, 6 * hop):
        (gradient,) = torch.autograd.grad(y[0, s], x, retain_graph=True)
        reached = int(gradient[0].abs().gt(1e-12).nonzero().max())
        furthest.append(reached - s)
    assert max(furthest) == stft.look_ahead == window - 2
    assert stft.latency == window


def test_a_padded_batch_is_its_waves_one_by_one():
    stft = Stft(window=16, hop=4)
    waves = [wave(1, 40, seed=1), wave(1, 24, seed=2)]
    padded = torch.cat([waves[0], torch.nn.functional.pad(waves[1], (0, 16))])
    frames = torch.tensor([11, 7])
    mask = torch.arange(11).unsqueeze(1) < frames
    spectrum = stft(padded)
    factor = torch.rand(11, 2, stft.bins, dtype=torch.float64)
    together = stft.inverse(spectrum * factor, mask)
    assert stft.samples_of(mask).tolist() == [40, 24]
    for i, one in enumerate(waves):
        count = int(frames[i])
        torch.testing.assert_close(spectrum[:count, i], stft(one)[:, 0])
        alone = stft.inverse(stft(one) * factor[:count, i : i + 1])
        torch.testing.assert_close(together[i, : one.shape[1]], alone[0])
    assert not together[1, 24:].any()


def test_gradients():
    stft = Stft(window=8, hop=2)
    x = wave(2, 8).requires_grad_()
    mask = torch.rand(5, 2, 5, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, mask: stft.inverse(stft(x) * mask), (x, mask))


def test_cumulative_norm_is_causal_and_free_of_gain():
    frames = compressed(Stft(window=16, hop=4)(wave(2, 80)))
    normed = cumulative_norm(frames, floor=0.0)
    torch.testing.assert_close(cumulative_norm(7 * frames, floor=0.0), normed)
    torch.testing.assert_close(normed[:9], cumulative_norm(frames[:9], floor=0.0))
    torch.testing.assert_close(normed[0].mean(1), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(normed[5], frames[5] / frames[:6].mean((0, 2)).unsqueeze(1))
    assert torch.isfinite(cumulative_norm(torch.zeros(3, 1, 4))).all()


@pytest.mark.parametrize("sizes", [(7, 2), (8, 3), (8, 8), (8, 0)])
def test_sizes_that_do_not_go_together(sizes):
    with pytest.raises(ConfigError, match="even number of samples and at least two whole hops"):
        Stft(window=sizes[0], hop=sizes[1])


def test_waves_have_two_axes():
    with pytest.raises(ShapeError, match=r"expected float waves \[B, S\], got torch.float32 \[80\]"):
        Stft()(torch.zeros(80))
