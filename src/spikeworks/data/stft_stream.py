"""The transform of :mod:`~spikeworks.data.stft` on a stream: samples come and go in pieces of any length.

What comes out does not depend on the pieces: together they are the wave that ``Stft.inverse`` makes of the whole, cut
to the length of what went in (up to rounding). What is kept between calls is less than one window of samples on the
way in and one on the way out, however long the stream is.

When. Frame t ends ``window / 2`` samples behind its centre; once it is back, every sample before the beginning of frame
t + 1 is final. Sample s has therefore left when sample ``s + window - 1`` has come: one window behind its input.

The end. A wave is taken as whole hops; zeros stand for what lacks of the last one, and go again from the output.

Legend: ``T`` frames, ``B`` rows of the batch, ``F`` frequencies, ``S`` samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.errors import ShapeError
from .stft import Stft, _hann

_FEW = 4  # frames up to which they are added one by one, which is quicker than all at once


class StftStream:
    """Analysis and synthesis of one stream of ``rows`` waves.

    Every spectrum that :meth:`analyse` or :meth:`finish` gives goes back, changed or not and in order, to
    :meth:`synthesise`.

    Args:
        stft: the transform.
        rows: waves B that run side by side.
        dtype: of the samples.

    Example:
        >>> stream = StftStream(Stft(window=8, hop=2))
        >>> wave = torch.arange(9.0).unsqueeze(0)
        >>> first = stream.synthesise(stream.analyse(wave))
        >>> rest = stream.synthesise(stream.finish())
        >>> torch.cat([first, rest, stream.tail()], 1).round().int().tolist()
        [[0, 1, 2, 3, 4, 5, 6, 7, 8]]
    """

    def __init__(self, stft: Stft, rows: int = 1, dtype: torch.dtype = torch.float32) -> None:
        self.stft, self.rows, self.dtype = stft, rows, dtype
        self._hann = _hann(stft.window).to(dtype)
        self._square = self._hann.square().unsqueeze(0)  # [1, window]
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next sample is the first."""
        half, kept = self.stft.window // 2, self.stft.window - self.stft.hop
        self._coming = torch.zeros(self.rows, half, dtype=self.dtype)
        self._going = torch.zeros(self.rows, kept, dtype=self.dtype)
        self._weight = torch.zeros(1, kept, dtype=self.dtype)
        self._overlaps = 0  # frames that came back
        self._skip = half  # what lies before the first sample
        self.came = 0
        """Samples that came, of each row."""
        self.gone = 0
        """Samples that left."""

    @property
    def kept_bytes(self) -> int:
        """What is held between two calls."""
        return sum(t.numel() * t.element_size() for t in (self._coming, self._going, self._weight))

    def analyse(self, samples: Tensor) -> Tensor:
        """Complex spectra ``[T, B, F]`` of the frames that ``samples [B, S]`` complete; T may be 0.

        Raises:
            ShapeError: not that many rows, or another dtype.
        """
        if samples.dim() != 2 or len(samples) != self.rows or samples.dtype != self.dtype:
            raise ShapeError(
                f"A stream expected samples [{self.rows}, S] of {self.dtype}, got {list(samples.shape)} of "
                f"{samples.dtype}."
            )
        self.came += samples.shape[1]
        return self._frames(samples)

    def finish(self) -> Tensor:
        """The spectra of the last frames, which end behind the wave; none where nothing came."""
        if self.came == 0:
            return self._frames(self._coming[:, :0])
        lacking = -self.came % self.stft.hop + self.stft.window // 2
        return self._frames(self._coming.new_zeros(self.rows, lacking))

    def synthesise(self, spectra: Tensor) -> Tensor:
        """The samples ``[B, S]`` that are final with these spectra ``[T, B, F]``; S may be 0."""
        steps = len(spectra)
        if steps == 0:
            return self._going[:, :0]
        framed = torch.fft.irfft(spectra, n=self.stft.window) * self._hann
        final = steps * self.stft.hop
        going = self._added(self._going, framed)
        if self._overlaps < self.stft.window // self.stft.hop - 1:
            weight = self._added(self._weight, self._square.expand(steps, 1, -1))
            weight, self._weight = weight[:, :final], weight[:, final:].clone()
        else:  # as many frames as overlap have come: the weights of every hop are the same from here on
            weight = (self._weight + self._square[:, : self._weight.shape[1]])[:, : self.stft.hop].repeat(1, steps)
        self._overlaps += steps
        self._going = going[:, final:].clone()
        return self._leave(going[:, :final] / weight.clamp(min=1e-8))

    def tail(self) -> Tensor:
        """What is left of the wave after the spectra of :meth:`finish`, ``[B, S]``; then the stream starts anew."""
        last = self._leave(self._going / self._weight.clamp(min=1e-8))
        self.reset()
        return last

    def _added(self, before: Tensor, framed: Tensor) -> Tensor:
        """Frames ``[T, B, window]`` added up behind what is left of those before, ``[B, window + (T - 1) hop]``."""
        if len(framed) > _FEW:
            going = self.stft._added(framed)
            going[:, : before.shape[1]] += before
            return going
        hop, window = self.stft.hop, self.stft.window
        going = torch.nn.functional.pad(before, (0, len(framed) * hop))
        for t, frame in enumerate(framed):
            going[:, t * hop : t * hop + window] += frame
        return going

    def _frames(self, samples: Tensor) -> Tensor:
        window, hop = self.stft.window, self.stft.hop
        self._coming = torch.cat([self._coming, samples], 1)
        steps = max(0, (self._coming.shape[1] - window) // hop + 1)
        if steps == 0:
            return torch.zeros(0, self.rows, self.stft.bins, dtype=self.dtype.to_complex())
        framed = self._coming[:, : (steps - 1) * hop + window].unfold(1, window, hop)  # [B, T, window]
        spectra = torch.fft.rfft(framed * self._hann).transpose(0, 1)
        self._coming = self._coming[:, steps * hop :].clone()  # a view would keep all that came
        return spectra

    def _leave(self, samples: Tensor) -> Tensor:
        """Without what lies before the first sample or behind the last one that came."""
        skipped = min(self._skip, samples.shape[1])
        self._skip -= skipped
        leaving = samples[:, skipped:][:, : self.came - self.gone]
        self.gone += leaving.shape[1]
        return leaving


class CumulativeNorm:
    """:func:`~spikeworks.data.stft.cumulative_norm` of a stream of frames ``[T, B, F]`` that comes in pieces.

    Args:
        floor: added to the mean, as there.
    """

    def __init__(self, floor: float = 1e-5) -> None:
        self.floor = floor
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._sum: Tensor | None = None
        self._count = 0

    def __call__(self, frames: Tensor) -> Tensor:
        """The next frames, divided by the mean over all frequencies and all frames so far."""
        # in float64, as torch adds up on the CPU: a sum over hours of float32 would stop to grow
        sums = frames.mean(2).double().cumsum(0)
        if self._sum is not None:
            sums = sums + self._sum
        first = self._count + 1
        self._count += len(frames)
        if len(frames):
            self._sum = sums[-1].clone()
        counts = torch.arange(first, first + len(frames), device=frames.device, dtype=frames.dtype).unsqueeze(1)
        return frames / (sums.to(frames.dtype) / counts + self.floor).unsqueeze(2)
