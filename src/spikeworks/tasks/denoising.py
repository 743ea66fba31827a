"""What denoising tasks share: from a network's answer to a wave, the loss of Spiking-FullSubNet, and SI-SNR.

The network hears the compressed magnitudes of the noisy spectrum, ``[T, B, F]``, and answers every frame with a mask
or a filter over the last frames (:class:`~spikeworks.data.deep_filter.Mask`), which is applied to the noisy spectrum;
the inverse transform makes a wave of the result. Loss and score look at the wave. A target carries both waves,
``[B, 2, S]``: clean, and noisy. Answers of 0 are the identity: an untrained network lets the noisy signal through.

Latency. Nothing looks ahead but the transform: output sample s depends on input up to s + ``stft.look_ahead``, and a
stream is ``stft.latency`` samples behind its input (32 ms at 16 kHz with a window of 512, as the challenge counts it).

Legend: ``T`` frames, ``B`` batch, ``F`` frequencies, ``S`` samples.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..core.batch import Batch
from ..core.errors import ConfigError, ShapeError
from ..data.deep_filter import Mask
from ..data.drawn import padded
from ..data.stft import Stft, compressed, cumulative_norm
from ..measure.signal import DenoisingMeter, si_snr
from .base import MetricInfo, Signature, Task, TaskConfig
from .speech_quality import SpeechQuality

SI_SNR = MetricInfo("si_snr", "dB", True)
Level = Literal["cumulative", "raw"]
EXPONENT = 0.5
"""Of the magnitudes that the network hears."""


Waves = tuple[Tensor, Tensor, Tensor, Tensor | None]
"""The network's, the clean and the noisy wave, ``[B, S]`` each, and their lengths ``[B]`` where they differ."""
_QUIET = 1e-6  # of a squared magnitude: far below speech, and no gradient grows beyond bounds


@dataclasses.dataclass(frozen=True)
class Front:
    """From waves to what a network hears.

    Attributes:
        stft: the transform.
        level: ``cumulative``: every frame divided by the mean of all so far, so that loudness does not count;
            ``raw``: as it is.
    """

    stft: Stft
    level: Level

    def join(self, samples: Sequence[Tensor]) -> Batch:
        """Pairs ``[2, S]`` of a clean and a noisy wave as a batch; each is cut behind to whole hops."""
        hop = self.stft.hop
        cut = [pair[:, : pair.shape[1] // hop * hop].T for pair in samples]
        waves, _ = padded(cut)
        _, mask = padded([pair.new_zeros(self.stft.frames(len(pair))) for pair in cut])
        target = waves.permute(1, 2, 0).contiguous()
        heard = compressed(self.stft(target[:, 1]), EXPONENT)
        heard = heard if mask is None else heard * mask.unsqueeze(2)
        return Batch(x=cumulative_norm(heard) if self.level == "cumulative" else heard, target=target, mask=mask)


def check_options(who: str, level: str, snr_weight: float) -> None:
    """Raise ConfigError for options that no denoising task has."""
    if level not in ("cumulative", "raw"):
        raise ConfigError(f"{who}: level is 'cumulative' or 'raw', got {level!r}.")
    if not 0 <= snr_weight < math.inf:
        raise ConfigError(f"{who}: snr_weight is a number from 0 on, got {snr_weight}.")


class DenoisingTask(Task):
    """Speech without its noise.

    Attributes:
        front: what the network hears.
        rate: samples a second.
        mask: what the answers do.
        snr_weight: of the SI-SNR in the loss.
    """

    metric = SI_SNR
    default_readout = "every"
    whole_loss = "this task compares waves, which only all frames together make"

    def __init__(
        self,
        config: TaskConfig,
        front: Front,
        mask: Mask,
        snr_weight: float,
        rate: int,
        steps: int | None,
        root: str | Path | None = None,
    ) -> None:
        bins = front.stft.bins
        super().__init__(config, Signature(steps=steps, inputs=bins, outputs=mask.outputs(bins), kind="signal"))
        self.front, self.rate, self.mask, self.snr_weight = front, rate, mask, snr_weight
        self._root = root
        window = 4 * front.stft.window  # 2048 and 512 at 16 kHz
        self._judge = Stft(window=window, hop=window // 4)

    def random_target(self, steps: int, size: int, generator: torch.Generator) -> Tensor:
        return 0.1 * torch.randn(size, 2, self.front.stft.samples(steps), generator=generator)

    def waves(self, output: Tensor, batch: Batch) -> Waves:
        """The network's wave, the clean and the noisy one, ``[B, S]`` each, and their lengths where they differ.

        Raises:
            ShapeError: the output is not one mask for every frame.
        """
        stft = self.front.stft
        frames = stft.frames(batch.target.shape[-1])
        expected = (frames, batch.size, self.signature.outputs)
        if output.shape != expected:
            raise ShapeError(
                f"Task {self.name} expected a mask for every frame, {list(expected)}, got {list(output.shape)}.",
                "a denoiser needs the readout 'every'",
            )
        clean, noisy = batch.target.unbind(1)
        answer = (output if output.dtype.itemsize >= 4 else output.float()).to(clean.dtype)
        shaped, _ = self.mask(stft(noisy), answer)
        lengths = None if batch.mask is None else stft.samples_of(batch.mask)
        return stft.inverse(shaped, batch.mask), clean, noisy, lengths

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """Mean over the clips of ``|Re D| + |Im D| + ||S'| - |S|| + w (100 - SI-SNR)``, w = ``snr_weight``.

        S' and S are spectra of the network's and the clean wave, under a window four times that of the input, and D is
        their difference; the first three terms are means over the frames and frequencies of a clip. Source, with
        w = 0.001: arXiv 2410.04785.

        Raises:
            ShapeError: the output is not one mask for every frame.
        """
        return self.judged(output, batch)[0].mean()

    def judged(self, output: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Of every clip the loss, the SI-SNR in dB, and that of the noisy wave, ``[B]`` each."""
        return self.judged_waves(self.waves(output, batch))

    def judged_waves(self, waves: Waves) -> tuple[Tensor, Tensor, Tensor]:
        """The same of waves that are there already."""
        estimate, clean, noisy, lengths = waves
        found, wanted = self._judge(estimate), self._judge(clean)
        apart = found - wanted
        far = apart.real.abs() + apart.imag.abs() + (_magnitude(found) - _magnitude(wanted)).abs()
        spectral = far.mean((0, 2)) if lengths is None else self._mean_within(far, lengths)
        ratio = si_snr(estimate, clean, lengths)
        return spectral + self.snr_weight * (100 - ratio), ratio, si_snr(noisy, clean, lengths)

    def jury(self, qualities: Sequence[str]) -> Callable[[Tensor, Batch], Hearing]:
        """What hears the network's answers as a critic does; see :mod:`spikeworks.learning.adversarial`.

        Args:
            qualities: that are measured, names of :data:`~spikeworks.tasks.speech_quality.QUALITIES`.

        Raises:
            UnknownName, ConfigError, DataError: a quality cannot be measured here, as
                :class:`~spikeworks.tasks.speech_quality.SpeechQuality` says.
        """
        measure = SpeechQuality(qualities, self.rate, self._root)
        return lambda output, batch: Hearing(self, self.waves(output, batch), measure)

    def _mean_within(self, far: Tensor, lengths: Tensor) -> Tensor:
        """The mean of ``[T, B, F]`` over those frames that a wave alone would have, ``[B]``."""
        frames = 1 + lengths // self._judge.hop
        inside = torch.arange(len(far), device=far.device).unsqueeze(1) < frames
        return (far.mean(2) * inside).sum(0) / frames

    def meter(self) -> DenoisingMeter:
        return DenoisingMeter(self.judged)


class Hearing:
    """One batch of waves, as a critic hears them.

    Attributes:
        loss: the task's own.
        clean, estimate: compressed magnitudes ``[B, F, T]`` under the window of the input.
    """

    def __init__(self, task: DenoisingTask, waves: Waves, measure: SpeechQuality) -> None:
        self._waves, self._measure = waves, measure
        self.loss = task.judged_waves(waves)[0].mean()
        stft = task.front.stft
        self.estimate, self.clean = (_loudness(stft(wave)).permute(1, 2, 0) for wave in waves[:2])

    def qualities(self) -> Tensor:
        """As measured, in [0, 1], one row for each name, ``[K, B]``; nan where a clip has none."""
        estimate, clean, _, lengths = self._waves
        return self._measure(estimate, clean, lengths)


def _loudness(spectrum: Tensor) -> Tensor:
    return (spectrum.real.square() + spectrum.imag.square() + _QUIET).pow(EXPONENT / 2)


def _magnitude(spectrum: Tensor) -> Tensor:
    # the gradient of a magnitude has no direction at 0; the floor lies far below any audible level
    return (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt()
