"""Short-time Fourier transform and its inverse, as a denoiser runs them: what goes in, what comes out, how late.

Frame t is centred at sample ``t * hop`` (zeros stand before the first and behind the last sample) and weighted by a
periodic Hann window; frames are added up again under the same window and divided by the sum of its squares. A spectrum
that nobody changed therefore gives the wave back, and one that was changed gives the wave whose spectrum is nearest to
it (Griffin and Lim 1984).

Latency. The value of sample s is final once the last frame that covers it is, and that frame may begin just before s:
it depends on samples up to ``s + window - 2`` (the first weight of a periodic Hann window is 0). A stream that works
frame by frame is therefore behind its input by one window, whatever the hop.

Legend: ``T`` frames, ``B`` batch, ``F`` frequencies, ``S`` samples.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ..core.errors import ConfigError, ShapeError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stft:
    """A transform between waves ``[B, S]`` and complex spectra ``[T, B, F]``, time first.

    Attributes:
        window: samples of a frame, even.
        hop: samples between two frames; divides the window at least twice, so that every sample is covered.

    Example:
        >>> stft = Stft(window=256, hop=64)
        >>> spectrum = stft(torch.rand(2, 640))
        >>> spectrum.shape, stft.inverse(spectrum).shape
        (torch.Size([11, 2, 129]), torch.Size([2, 640]))
    """

    window: int = 512
    hop: int = 128

    def __post_init__(self) -> None:
        if self.hop < 1 or self.window % 2 or self.window < 2 * self.hop or self.window % self.hop:
            raise ConfigError(
                f"A frame is an even number of samples and at least two whole hops, got window={self.window} and "
                f"hop={self.hop}."
            )

    @property
    def bins(self) -> int:
        """Frequencies F, from 0 to half the sampling rate."""
        return self.window // 2 + 1

    @property
    def look_ahead(self) -> int:
        """Samples behind s that the value of sample s depends on at most."""
        return self.window - 2

    @property
    def latency(self) -> int:
        """Samples by which a stream is behind its input: one window."""
        return self.window

    def frames(self, samples: int) -> int:
        """Frames T of a wave."""
        return 1 + samples // self.hop

    def samples(self, frames: int) -> int:
        """Samples of the wave that :meth:`inverse` makes."""
        return (frames - 1) * self.hop

    def __call__(self, waves: Tensor) -> Tensor:
        """Complex spectra ``[T, B, F]`` of waves ``[B, S]``.

        Raises:
            ShapeError: no waves of two axes.
        """
        if waves.dim() != 2 or not waves.is_floating_point():
            raise ShapeError(f"An STFT expected float waves [B, S], got {waves.dtype} {list(waves.shape)}.")
        half = self.window // 2
        padded = torch.nn.functional.pad(waves, (half, half))
        framed = padded.unfold(1, self.window, self.hop)  # [B, T, window]
        return torch.fft.rfft(framed * _hann(self.window).to(waves)).transpose(0, 1)

    def inverse(self, spectrum: Tensor, mask: Tensor | None = None) -> Tensor:
        """Waves ``[B, (T - 1) * hop]``.

        Args:
            spectrum: complex ``[T, B, F]``.
            mask: bool ``[T, B]``, the frames that a wave has; behind its own end it is zero.
        """
        steps = len(spectrum)
        hann = _hann(self.window).to(spectrum.real)
        framed = torch.fft.irfft(spectrum, n=self.window) * hann
        weight = hann.square().expand(steps, 1, self.window)
        if mask is not None:
            framed = framed * mask.unsqueeze(-1)
            weight = weight * mask.unsqueeze(-1)
        wave, total = self._added(framed), self._added(weight)
        half, samples = self.window // 2, self.samples(steps)
        wave = wave[:, half : half + samples] / total[:, half : half + samples].clamp(min=1e-8)
        if mask is None:
            return wave
        inside = torch.arange(samples, device=wave.device) < self.samples_of(mask).unsqueeze(1)
        return wave * inside

    def samples_of(self, mask: Tensor) -> Tensor:
        """Samples of each wave of a batch, int64 ``[B]``, from the frames ``[T, B]`` that it has."""
        return (mask.sum(0) - 1).clamp(min=0) * self.hop

    def _added(self, framed: Tensor) -> Tensor:
        """Frames ``[T, B, window]``, each a hop behind the one before, added up: ``[B, (T - 1) * hop + window]``."""
        steps, size, _ = framed.shape
        parts = self.window // self.hop
        cut = framed.transpose(0, 1).reshape(size, steps, parts, self.hop)
        total = cut.new_zeros(size, steps + parts - 1, self.hop)
        for part in range(parts):  # part p of frame t falls on hop t + p
            total = total + torch.nn.functional.pad(cut[:, :, part], (0, 0, part, parts - 1 - part))
        return total.reshape(size, -1)


def _hann(window: int) -> Tensor:
    # made anew each time: one that is kept could be a fake tensor, made while memory is foretold
    return torch.hann_window(window, periodic=True, dtype=torch.float64)


def compressed(spectrum: Tensor, exponent: float = 0.5) -> Tensor:
    """Magnitudes to a power, what a denoiser sees: 0.5 makes quiet parts of speech as visible as loud ones."""
    return spectrum.abs().pow(exponent)


def cumulative_norm(frames: Tensor, floor: float = 1e-5) -> Tensor:
    """Frames ``[T, B, F]`` divided by their mean over all frequencies and all frames so far: causal, free of level.

    Source: arXiv 2410.04785 (its frozen version).
    """
    so_far = frames.mean(2).cumsum(0)
    counts = torch.arange(1, len(frames) + 1, device=frames.device, dtype=frames.dtype).unsqueeze(1)
    return frames / (so_far / counts + floor).unsqueeze(2)
