"""A denoiser at work: samples in, samples out, frame by frame, with constant memory and a fixed latency.

A network stands inside the signal path of its task (:class:`~spikeworks.tasks.denoise_stream.DenoisingStream`, seen
here through the protocol :class:`SignalPath`). State, norm and buffers are carried, so that the output is that of the
whole clip however the samples are cut; in float32 up to rounding, which can tip a spike whose potential meets its
threshold within about 1e-7 of it.

What does not poison what follows: samples that are not finite (zero instead, counted); a gap (:meth:`Denoiser.flush`
ends one wave and starts another); silence, where ``reset_after`` is set: a norm over all frames so far would make the
first sound after a long silence far too loud, and neurons may have drifted.
"""

from __future__ import annotations

import time
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..core.errors import ConfigError, DataError, ShapeError, SpikeworksError
from ..core.state import State, state_bytes
from .values import check_finite

SILENCE = 1e-4
"""Amplitude (-80 dBFS) up to which a frame is silent."""
LARGEST = 1e6
"""Amplitude up to which a sample is one: beyond it, squares of a window's sum leave the range of float32."""


class SignalPath(Protocol):
    """From samples to what a network hears, and from its answers to samples."""

    rate: int
    hop: int
    latency_samples: int
    channels: int
    inputs: int
    outputs: int
    dtype: torch.dtype

    @property
    def kept_bytes(self) -> int: ...
    def spectra(self, samples: Tensor) -> Tensor: ...
    def finish(self) -> Tensor: ...
    def loudness(self, spectra: Tensor) -> Tensor: ...
    def heard(self, spectra: Tensor) -> Tensor: ...
    def wave(self, spectra: Tensor, answer: Tensor) -> Tensor: ...
    def tail(self) -> Tensor: ...
    def forget(self) -> None: ...
    def reset(self) -> None: ...


class Denoiser:
    """Runs a network on a stream of samples.

    Args:
        network: ``network(x, state) -> (answer, state)`` over chunks ``[T, B, F]``, as all networks of this library;
            it is put into evaluation.
        path: the signal path of its task; ``path.channels`` waves run side by side, each for itself.
        frames: at most so many frames in one call of the network: memory against speed, never the result.
        reset_after: seconds of silence after which the next sound starts from rest; ``None``: never, as offline.

    Attributes:
        latency_samples: how far the output is behind the input: one window.
        replaced: samples that were no numbers (or beyond ``LARGEST``) and became 0.
        resets: how often silence has ended in a reset.
        slowest_call: seconds of the longest call of :meth:`push`.
        grows: whether the network's state grows with every frame, as that of an attention over all frames does.

    Raises:
        ConfigError: the network does not fit the task, does not stream, or holds weights that are not finite.

    Example:
        >>> from spikeworks.models import StackConfig
        >>> from spikeworks.layers import ReadoutConfig
        >>> from spikeworks.tasks import task_for
        >>> from spikeworks.tasks.denoise_stream import DenoisingStream
        >>> task = task_for("denoise-digits").build()
        >>> model = StackConfig(hidden=(8,), readout=ReadoutConfig(kind="every"))
        >>> network = model.build(task.signature.inputs, task.signature.outputs, torch.Generator())
        >>> denoiser = Denoiser(network, DenoisingStream(task))
        >>> first = denoiser.push(torch.randn(1000))
        >>> len(first) + len(denoiser.flush()), denoiser.latency_samples
        (1000, 256)
    """

    def __init__(
        self, network: nn.Module, path: SignalPath, *, frames: int = 64, reset_after: float | None = None
    ) -> None:
        if frames < 1:
            raise ConfigError(f"A call of the network takes at least one frame, got frames={frames}.")
        if reset_after is not None and not reset_after > 0:
            raise ConfigError(f"reset_after is a number of seconds above 0, or None, got {reset_after}.")
        self.network, self.path, self.frames = network.eval(), path, frames
        self.latency_samples = path.latency_samples
        self._patience = None if reset_after is None else max(1, round(reset_after * path.rate / path.hop))
        self.grows = _check(network, path)
        self.replaced = self.resets = self.samples = 0
        self.seconds = self.slowest_call = 0.0
        self.reset()

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of computing for a second of sound: below 1 is faster than real time; ``None`` before any sound."""
        return self.seconds / (self.samples / self.path.rate) if self.samples else None

    @property
    def kept_bytes(self) -> int:
        """What is held between two calls: samples, spectra and the network's state."""
        return self.path.kept_bytes + state_bytes(self._state)

    def reset(self) -> None:
        """Drop what is under way and start anew; counts stay."""
        self.path.reset()
        self._state: State = None
        self._silent = 0  # silent frames just before

    def push(self, samples: Tensor | np.ndarray) -> Tensor:
        """The samples that are final with these.

        Args:
            samples: floats ``[S]`` for one channel, else ``[B, S]``; any number of them.

        Returns:
            As many axes, of the path's dtype; together with :meth:`flush` as many samples as came.

        Raises:
            ShapeError: another number of channels, or no floats.
            DataError: the network answers with numbers that are not finite.
        """
        begun = time.perf_counter()
        flat, rows = self._rows(samples)
        count = rows.shape[1]
        step = self.frames * self.path.hop  # a long piece must not be held as frames all at once
        out = [self._process(self.path.spectra(part)) for part in rows.split(step, 1)]
        self.samples += count
        spent = time.perf_counter() - begun
        self.seconds, self.slowest_call = self.seconds + spent, max(self.slowest_call, spent)
        return _joined(out, flat)

    def flush(self) -> Tensor:
        """The rest of the wave: call it at its end, or where samples are missing. What comes next starts from rest.

        Returns:
            ``[S]`` for one channel, else ``[B, S]``.
        """
        begun = time.perf_counter()
        out = [self._process(self.path.finish()), self.path.tail()]
        self.reset()
        self.seconds += time.perf_counter() - begun
        return _joined(out, self.path.channels == 1)

    def _rows(self, samples: Tensor | np.ndarray) -> tuple[bool, Tensor]:
        """Samples as finite rows ``[B, S]`` of the path's dtype, and whether one axis came."""
        wave = torch.as_tensor(samples)
        channels = self.path.channels
        flat = wave.dim() == 1 and channels == 1
        rows = wave.unsqueeze(0) if flat else wave
        if rows.dim() != 2 or len(rows) != channels or not rows.is_floating_point():
            want = "[S]" if channels == 1 else f"[{channels}, S]"
            raise ShapeError(f"A denoiser expected float samples {want}, got {wave.dtype} {list(wave.shape)}.")
        rows, broken = repaired(rows)
        self.replaced += broken
        return flat, rows.to(self.path.dtype)

    def _process(self, spectra: Tensor) -> Tensor:
        """Frames through the network, in pieces that end where silence does."""
        out, start = [], 0
        for end in self._ends_of_silence(spectra):
            out.append(self._call(spectra[start:end]))
            self._state = None
            self.path.forget()
            self.resets += 1
            start = end
        out.append(self._call(spectra[start:]))
        return torch.cat(out, 1)

    def _ends_of_silence(self, spectra: Tensor) -> list[int]:
        """Frames that are the first with sound after a long silence."""
        if self._patience is None:
            return []
        ends = []
        for t, silent in enumerate((self.path.loudness(spectra) <= SILENCE).tolist()):
            if not silent and self._silent >= self._patience:
                ends.append(t)
            self._silent = self._silent + 1 if silent else 0
        return ends

    def _call(self, spectra: Tensor) -> Tensor:
        parts = [torch.zeros(self.path.channels, 0, dtype=self.path.dtype)]
        for piece in spectra.split(self.frames) if len(spectra) else ():
            with torch.no_grad():
                answer, self._state = self.network(self.path.heard(piece), self._state)
            if not torch.isfinite(answer).all():
                self.reset()
                raise DataError(
                    "The network answers with numbers that are not finite: it is unstable on this sound.",
                    "train it again with a lower learning rate, or take another run",
                )
            parts.append(self.path.wave(piece, answer))
        return torch.cat(parts, 1)


def repaired(samples: Tensor) -> tuple[Tensor, int]:
    """Samples with 0 for each that is NaN, infinite or beyond ``LARGEST``, and how many these were."""
    broken = ~(samples.abs() <= LARGEST)  # NaN compares false
    count = int(broken.sum())
    return (samples.masked_fill(broken, 0.0) if count else samples), count


def _joined(parts: list[Tensor], flat: bool) -> Tensor:
    rows = torch.cat(parts, 1)
    return rows[0] if flat else rows


def _check(network: nn.Module, path: SignalPath) -> bool:
    """Whether the state grows; raises ConfigError unless the network takes frame after frame and answers each."""
    check_finite(network)
    frame = torch.zeros(1, path.channels, path.inputs, dtype=path.dtype)
    try:
        with torch.no_grad():
            _, state = network(frame, None)
            answer, later = network(frame, state)
    except SpikeworksError as error:
        raise ConfigError(f"The network does not work frame by frame: {error}") from error
    if answer.shape != (1, path.channels, path.outputs):
        raise ConfigError(
            f"The network answers a frame with {list(answer.shape)}, and this task wants "
            f"{[1, path.channels, path.outputs]}.",
            "a denoiser needs the readout 'every'",
        )
    return state_bytes(later) > state_bytes(state)
