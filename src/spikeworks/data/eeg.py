"""From a continuous EEG to trials at a lower rate, as in motor imagery.

Common average reference, band-pass of zero phase, a trial behind every cue, fewer samples a second:
in that order, as in the EEG task of the Neuromorphic Sequential Arena (arXiv 2505.22035).

The band-pass is an FIR filter of the length that EEGLAB's ``eegfilt`` takes, three periods of the lower
edge, run forwards and backwards. The arena leaves its design to whatever version of EEGLAB is at hand;
ours is the Hamming window, since the least-squares design of this length has no bound between
pass and stop band. The filter looks ahead, and it reaches three periods of the lower edge to
either side (3 s at 1 Hz), so that trials of one recording are never quite independent: split by
recording.

Legend: ``L`` samples of a recording, ``C`` channels, ``N`` trials, ``T`` samples of a trial.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from typing import Literal

import numpy as np
import torch
from scipy import signal
from torch import Tensor

from ..core.errors import ConfigError, DataError
from .scale import Standardizer

_CHANNELS_AT_ONCE = 8  # bounds the memory for a filtered recording of hundreds of megabytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialPipeline:
    """What makes trials of a recording.

    Attributes:
        rate: of the recording, in hertz.
        factor: samples of the recording for one of a trial.
        steps: T, samples of a trial after decimation.
        low, high: edges of the pass band in hertz.
        decimation: ``mean`` takes the mean of every ``factor`` samples, which is what the arena's
            program does and lets some of what lies above the new Nyquist frequency fold back;
            ``fir`` removes that by a low-pass of zero phase, then takes every ``factor``-th sample.

    Example:
        >>> pipeline = TrialPipeline(rate=160.0, factor=2, steps=320)
        >>> pipeline(np.random.default_rng(0).normal(size=(8000, 3)), [1000, 4000]).shape
        torch.Size([2, 320, 3])
    """

    rate: float
    factor: int
    steps: int
    low: float = 1.0
    high: float = 50.0
    decimation: Literal["fir", "mean"] = "fir"

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < self.rate / 2:
            raise ConfigError(
                f"A band from {self.low:g} to {self.high:g} Hz does not fit into a recording at {self.rate:g} Hz, "
                f"which holds frequencies below {self.rate / 2:g} Hz."
            )
        if self.factor < 1 or self.steps < 1:
            raise ConfigError(f"factor and steps are at least 1, got factor={self.factor}, steps={self.steps}.")

    @property
    def length(self) -> int:
        """Samples of the recording behind a cue that a trial takes."""
        return self.steps * self.factor

    def __call__(self, recording: np.ndarray, cues: Iterable[int], who: str = "the recording") -> Tensor:
        """Trials, float32 ``[N, T, C]``.

        Args:
            recording: ``[L, C]`` of any float dtype, in any unit.
            cues: first samples of the trials, from 0.
            who: the file, for messages.

        Raises:
            DataError: not two channels, values that are not finite, a recording shorter than the filter,
                or a trial that reaches beyond its end; says how many trials are fine.
        """
        cues = list(cues)
        self._check(recording, cues, who)
        channels = recording.shape[1]
        common = recording.mean(axis=1, dtype=np.float64)
        trials = np.empty((len(cues), self.steps, channels), dtype=np.float32)
        kernel = both_ways(band_pass(self.rate, self.low, self.high))
        if self.decimation == "fir":
            kernel = np.convolve(kernel, anti_alias(self.factor))
        for first in range(0, channels, _CHANNELS_AT_ONCE):
            some = slice(first, first + _CHANNELS_AT_ONCE)
            filtered = zero_phase(recording[:, some].T - common, kernel)
            for trial, taken in zip(trials, ([slice(cue, cue + self.length) for cue in cues]), strict=True):
                if self.decimation == "fir":
                    trial[:, some] = filtered[:, taken][:, :: self.factor].T
                else:
                    trial[:, some] = filtered[:, taken].reshape(len(filtered), self.steps, self.factor).mean(axis=2).T
        return torch.from_numpy(trials)

    def _check(self, recording: np.ndarray, cues: list[int], who: str) -> None:
        if recording.ndim != 2 or recording.shape[1] < 2:
            raise DataError(f"{who}: expected a signal [samples, channels], got the shape {list(recording.shape)}.")
        length = len(recording)
        reach = len(band_pass(self.rate, self.low, self.high)) + 20 * self.factor
        if length <= reach:
            raise DataError(
                f"{who} lasts {length / self.rate:.1f} s; the filter from {self.low:g} Hz needs more than "
                f"{reach / self.rate:.1f} s."
            )
        wrong = np.argwhere(~np.isfinite(recording))
        if len(wrong):
            sample, channel = (int(i) for i in wrong[0])
            raise DataError(
                f"{who}: the signal is {recording[sample, channel]} at sample {sample} of channel {channel} "
                f"({len(wrong)} such values).",
                "cut these stretches away, or get the file again",
            )
        beyond = [i for i, cue in enumerate(cues) if not 0 <= cue <= length - self.length]
        if beyond:
            raise DataError(
                f"{who}: trial {beyond[0] + 1} begins at sample {cues[beyond[0]]} and takes {self.length}, but the "
                f"recording has {length}. {len(cues) - len(beyond)} of {len(cues)} trials are fine.",
                "the recording is cut off, or its rate is another",
            )


@functools.cache
def band_pass(rate: float, low: float, high: float) -> np.ndarray:
    """The coefficients: an odd number of them, symmetric; about half the gain at the edges."""
    order = 3 * int(rate / low)
    return np.asarray(signal.firwin(order + order % 2 + 1, [low, high], pass_zero=False, fs=rate))


@functools.cache
def anti_alias(factor: int) -> np.ndarray:
    """A low-pass whose stop band begins at the Nyquist frequency of a ``factor``-th of the rate; gain 1 at 0 Hz."""
    if factor == 1:
        return np.ones(1)
    return np.asarray(signal.firwin(40 * factor + 1, 0.91 / factor))


def both_ways(coefficients: np.ndarray) -> np.ndarray:
    """One filter that does what ``coefficients`` do when they run forwards and then backwards."""
    return np.convolve(coefficients, coefficients[::-1])


def zero_phase(rows: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Rows of ``[C, L]`` filtered without delay by a symmetric FIR filter, float64.

    Beyond its ends a row is continued by its mirror image about the end point.

    Args:
        rows: the signal, longer than the filter reaches to one side.
        coefficients: an odd number of them, symmetric.
    """
    reach = len(coefficients) // 2
    longer = np.pad(rows.astype(np.float64), ((0, 0), (reach, reach)), mode="reflect", reflect_type="odd")
    return signal.oaconvolve(longer, coefficients[None], mode="valid", axes=1)


def channel_scale(parts: Iterable[Tensor]) -> Standardizer:
    """Mean and deviation of every channel over trials ``[N, T, C]`` of many recordings, one at a time in double.

    Raises:
        DataError: there are no trials.
    """
    parts = [part for part in parts if len(part)]
    count = sum(part.shape[0] * part.shape[1] for part in parts)
    if not count:
        raise DataError("There are no trials to take mean and deviation from.")
    mean = torch.stack([part.double().sum((0, 1)) for part in parts]).sum(0) / count
    square = torch.stack([(part.double() - mean).square().sum((0, 1)) for part in parts]).sum(0) / count
    deviation = square.sqrt()
    return Standardizer(mean, deviation.masked_fill(deviation <= 1e-12 * mean.abs(), 1.0))
