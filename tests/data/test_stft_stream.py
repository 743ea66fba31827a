"""A stream of samples in pieces of any length gives what the transform gives of the whole."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.errors import ShapeError
from spikeworks.data.stft import Stft, cumulative_norm
from spikeworks.data.stft_stream import CumulativeNorm, StftStream

SIZES = st.sampled_from([(8, 2), (8, 4), (16, 4), (12, 4), (24, 6), (256, 64)])  # 12, 4: half a window is no whole hop


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pieces(wave: torch.Tensor, cuts: list[int]) -> list[torch.Tensor]:
    bounds = [0, *sorted(min(c, wave.shape[1]) for c in cuts), wave.shape[1]]
    return [wave[:, a:b] for a, b in itertools.pairwise(bounds)]


@given(SIZES, st.integers(0, 300), st.integers(1, 2), st.lists(st.integers(0, 300), max_size=6))
def test_a_stream_is_the_whole_however_it_is_cut(sizes, samples, rows, cuts):
    stft = Stft(window=sizes[0], hop=sizes[1])
    wave = draw(rows, samples)
    whole_hops = torch.nn.functional.pad(wave, (0, -samples % stft.hop))
    spectra = stft(whole_hops)
    factor = draw(*spectra.shape, seed=1)  # frames that do not fit each other
    wanted = stft.inverse(spectra * factor)[:, :samples]

    stream = StftStream(stft, rows, torch.float64)
    seen, out = 0, []
    for piece in [*pieces(wave, cuts), None]:
        found = stream.finish() if piece is None else stream.analyse(piece)
        torch.testing.assert_close(found, spectra[seen : seen + len(found)], rtol=0, atol=1e-12)
        out.append(stream.synthesise(found * factor[seen : seen + len(found)]))
        seen += len(found)
    out.append(stream.tail())
    assert seen == (len(spectra) if samples else 0)
    torch.testing.assert_close(torch.cat(out, 1), wanted, rtol=0, atol=1e-11)


@pytest.mark.parametrize("sizes", [(8, 2), (12, 4), (256, 64)])
def test_a_sample_leaves_one_window_after_it_came(sizes):
    stft = Stft(window=sizes[0], hop=sizes[1])
    stream, latest = StftStream(stft), 0
    for came in range(1, 5 * stft.window):
        stream.synthesise(stream.analyse(torch.ones(1, 1)))
        latest = max(latest, came - stream.gone)  # samples that are still inside
    assert latest == stft.latency - 1  # and the next one pushes the oldest out


def test_what_is_kept_does_not_grow():
    stream = StftStream(Stft(window=16, hop=4), rows=2)
    sizes = set()
    for seed in range(40):
        stream.synthesise(stream.analyse(draw(2, 37, seed=seed).float()))
        sizes.add(stream.kept_bytes)
    assert max(sizes) <= 4 * (2 * 15 + 2 * 12 + 12)  # under a window in, a window less a hop out, and its weights
    held = stream._coming.untyped_storage().nbytes() + stream._going.untyped_storage().nbytes()
    assert held <= 4 * (2 * 15 + 2 * 12)  # no view of what has gone


def test_after_the_tail_the_next_wave_is_the_first():
    stream = StftStream(Stft(window=16, hop=4), dtype=torch.float64)
    waves = draw(1, 30), draw(1, 23, seed=1)
    for wave in waves:
        out = [stream.synthesise(stream.analyse(wave)), stream.synthesise(stream.finish()), stream.tail()]
        torch.testing.assert_close(torch.cat(out, 1), wave, rtol=0, atol=1e-12)


def test_other_samples_are_refused():
    stream = StftStream(Stft(window=16, hop=4), rows=2)
    for wrong in (torch.zeros(3, 8), torch.zeros(8), torch.zeros(2, 8, dtype=torch.float64)):
        with pytest.raises(ShapeError, match=r"expected samples \[2, S\] of torch.float32"):
            stream.analyse(wrong)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_the_norm_of_a_stream_is_that_of_the_whole(lengths):
    frames = draw(sum(lengths), 2, 5).abs()
    norm = CumulativeNorm()
    found = torch.cat([norm(part) for part in frames.split(lengths)])
    torch.testing.assert_close(found, cumulative_norm(frames))
    norm.reset()
    torch.testing.assert_close(norm(frames[:4]), cumulative_norm(frames[:4]))


def test_the_norm_still_moves_after_hours():
    """A float32 sum over 2^25 frames of 1 would swallow the next one."""
    norm = CumulativeNorm(floor=0.0)
    norm(torch.ones(4, 1, 3))
    norm._sum, norm._count = torch.full((1,), float(2**25), dtype=torch.float64), 2**25
    for _ in range(64):
        norm(torch.full((1, 1, 3), 2.0))
    assert norm._sum.item() == 2**25 + 128
