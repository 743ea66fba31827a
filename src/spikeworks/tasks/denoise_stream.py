"""The signal path of a denoising task on a stream: what ``Front`` and ``DenoisingTask.waves`` do to whole clips.

A network stands between :meth:`DenoisingStream.heard` and :meth:`DenoisingStream.wave`;
:class:`~spikeworks.deploy.Denoiser` joins both. What is carried between calls: less than two windows of samples, the
sum behind the cumulative norm, and as many noisy spectra as a deep filter reaches back.

Legend: ``T`` frames, ``B`` channels (rows of the batch), ``F`` frequencies, ``S`` samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.errors import ConfigError
from ..data.stft import compressed
from ..data.stft_stream import CumulativeNorm, StftStream
from .denoising import EXPONENT, DenoisingTask


class DenoisingStream:
    """Samples to what a network hears, and its answers to samples, piece by piece.

    Args:
        task: whose transform, norm and mask are taken; its data is not read.
        channels: waves B that run side by side, each for itself.
        dtype: of the samples.

    Attributes:
        rate: samples a second.
        hop: samples between two frames.
        latency_samples: how far the output is behind the input.
    """

    def __init__(self, task: DenoisingTask, channels: int = 1, dtype: torch.dtype = torch.float32) -> None:
        if channels < 1:
            raise ConfigError(f"A stream has at least one channel, got {channels}.")
        self.rate, self.channels, self.dtype = task.rate, channels, dtype
        self.hop, self.latency_samples = task.front.stft.hop, task.front.stft.latency
        self.inputs, self.outputs = task.front.stft.bins, task.signature.outputs
        self._mask = task.mask
        self._norm = CumulativeNorm() if task.front.level == "cumulative" else None
        self._transform = StftStream(task.front.stft, channels, dtype)
        self.reset()

    def reset(self) -> None:
        """Start anew: the next sample is the first of a wave."""
        self._transform.reset()
        self._past = torch.zeros(self._mask.taps - 1, self.channels, self.inputs, dtype=self.dtype.to_complex())
        self.forget()

    def forget(self) -> None:
        """Forget how loud the wave was so far, and keep its samples."""
        if self._norm is not None:
            self._norm.reset()

    @property
    def kept_bytes(self) -> int:
        """What is held between two calls."""
        return self._transform.kept_bytes + self._past.numel() * self._past.element_size()

    def spectra(self, samples: Tensor) -> Tensor:
        """Noisy spectra ``[T, B, F]`` of the frames that ``samples [B, S]`` complete; T may be 0."""
        return self._transform.analyse(samples)

    def finish(self) -> Tensor:
        """The spectra of the last frames; :meth:`tail` ends the wave after them."""
        return self._transform.finish()

    def loudness(self, spectra: Tensor) -> Tensor:
        """Amplitude of the loudest sinusoid of each frame over all channels, ``[T]``; 1 is full scale."""
        # the weights of a Hann window add up to half of it, and a sinusoid has half its amplitude on either side
        return spectra.abs().amax((1, 2)) * (4 / self._transform.stft.window)

    def heard(self, spectra: Tensor) -> Tensor:
        """What the network hears, ``[T, B, F]``."""
        loud = compressed(spectra, EXPONENT)
        return loud if self._norm is None else self._norm(loud)

    def wave(self, spectra: Tensor, answer: Tensor) -> Tensor:
        """The samples ``[B, S]`` that are final with the answer ``[T, B, outputs]`` to these spectra."""
        shaped, past = self._mask(spectra, answer.to(self.dtype), self._past)
        self._past = past.clone()  # a view would keep all these spectra
        return self._transform.synthesise(shaped)

    def tail(self) -> Tensor:
        """The last samples of the wave; then the stream starts anew."""
        last = self._transform.tail()
        self.reset()
        return last
