"""Another sampling rate for a stream: what ``scipy.signal.resample_poly`` makes of the whole wave, piece by piece.

Legend: ``B`` channels, ``S`` samples.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.errors import ConfigError


class Resampler:
    """Polyphase resampling of waves ``[B, S]`` with constant memory.

    The filter is a windowed sinc (Kaiser, beta 5, 10 zero crossings on either side), cut at the lower of both half
    rates; it is centred, so that output sample m lies at the time ``m / rate_out``.

    Args:
        rate_in, rate_out: samples a second.
        channels: waves B.

    Raises:
        ConfigError: a rate below 1.

    Example:
        >>> resampler = Resampler(16_000, 8_000)
        >>> wave = np.ones((1, 1001), np.float32)
        >>> resampler.push(wave).shape[1] + resampler.flush().shape[1]
        501
    """

    def __init__(self, rate_in: int, rate_out: int, channels: int = 1) -> None:
        if min(rate_in, rate_out) < 1:
            raise ConfigError(f"A sampling rate is at least 1 Hz, got {rate_in} and {rate_out}.")
        from scipy.signal import firwin

        common = math.gcd(rate_in, rate_out)
        self.up, self.down = rate_out // common, rate_in // common
        widest = max(self.up, self.down)
        self._half = 10 * widest  # the filter's reach, in samples of the rate that both rates divide
        window: Any = ("kaiser", 5.0)
        self._filter = firwin(2 * self._half + 1, 1 / widest, window=window) if widest > 1 else np.ones(1)
        self._context = -(-self._half // self.up) + 1  # input samples that an output needs on either side
        self._buffer = np.zeros((channels, 0), np.float32)
        self._first = 0  # which input sample the buffer begins with; a multiple of ``down``
        self._came = self._gone = 0

    def length(self, samples: int) -> int:
        """Samples that ``samples`` become."""
        return -(-samples * self.up // self.down)

    def push(self, wave: np.ndarray) -> np.ndarray:
        """The resampled samples ``[B, S]`` that the next ``wave [B, S]`` completes, float32."""
        self._came += wave.shape[1]
        if self.up == self.down:
            return wave
        self._buffer = np.concatenate([self._buffer, wave.astype(np.float32)], 1)
        ready = (self._came - self._context) * self.up // self.down
        return self._until(ready)

    def flush(self) -> np.ndarray:
        """The rest, as if zeros followed the wave."""
        if self.up == self.down:
            return self._buffer
        return self._until(self.length(self._came))

    def _until(self, end: int) -> np.ndarray:
        """Outputs up to ``end``; then the buffer loses what no later one needs."""
        from scipy.signal import resample_poly

        if end <= self._gone:
            return self._buffer[:, :0]
        offset = self._first // self.down * self.up  # which output the buffer's first sample is
        # zeros stand on both sides: before the first sample of all they are true, elsewhere they lie out of reach
        made = resample_poly(self._buffer, self.up, self.down, axis=1, window=self._filter)
        out = made[:, self._gone - offset : end - offset]
        self._gone = end
        needed = max(0, end * self.down // self.up - self._context) // self.down * self.down
        self._buffer = self._buffer[:, needed - self._first :].copy()
        self._first = needed
        return out.astype(np.float32)
