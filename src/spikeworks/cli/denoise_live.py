"""``denoise --live``: raw PCM from standard input to standard output, or a microphone, while it sounds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core import quantities
from ..core.errors import ConfigError
from ..deploy.denoise import Denoiser
from ..tasks.denoise_stream import DenoisingStream
from .denoiser import GROWS, load_denoiser, report

_SILENCE_SECONDS = 2.0
_READ = 1 << 14  # bytes at most; a pipe gives what is there


class Pcm:
    """Bytes of little-endian samples, in pieces that may end inside a sample.

    Args:
        form: ``s16le`` (full scale 32768) or ``f32le`` (full scale 1).
    """

    def __init__(self, form: str) -> None:
        self.dtype = np.dtype("<i2" if form == "s16le" else "<f4")
        self.scale = 32768.0 if form == "s16le" else 1.0
        self.limited = 0
        self._rest = b""

    @property
    def cut(self) -> int:
        """Bytes of a sample whose other bytes have not come."""
        return len(self._rest)

    def samples(self, data: bytes) -> Tensor:
        """The samples that these bytes complete, float32."""
        data = self._rest + data
        whole = len(data) // self.dtype.itemsize * self.dtype.itemsize
        self._rest = data[whole:]
        return torch.from_numpy(np.frombuffer(data[:whole], self.dtype).astype(np.float32) / self.scale)

    def bytes(self, samples: Tensor) -> bytes:
        """Samples as bytes, limited to full scale."""
        wave = samples.numpy().astype(np.float64)
        self.limited += int((np.abs(wave) > 1).sum())
        wave = np.clip(wave, -1, 1) * self.scale
        if self.dtype.kind == "i":
            wave = np.clip(np.round(wave), -32768, 32767)
        return wave.astype(self.dtype).tobytes()


def live(args: argparse.Namespace) -> int:
    """Denoise until the input ends or Ctrl-C."""
    if not args.microphone and sys.stdin.isatty():
        raise ConfigError(
            "Standard input is a terminal; --live reads raw PCM from a pipe.",
            "arecord -q -t raw -f S16_LE -c 1 -r RATE | spikeworks denoise --live --run RUN | "
            "aplay -q -t raw -f S16_LE -c 1 -r RATE; or add --microphone",
        )
    device = _sounddevice() if args.microphone else None
    loaded = load_denoiser(args)
    quiet = _SILENCE_SECONDS if args.reset_after is None else args.reset_after
    denoiser = Denoiser(loaded.network, DenoisingStream(loaded.task), frames=args.frames, reset_after=quiet)
    if not args.quiet:
        about = report(denoiser, loaded.task.rate, loaded.engine)
        _say(f"{loaded.task.rate} Hz, one channel, {args.format}; {about}; Ctrl-C ends")
        if loaded.note:
            _say(f"note: {loaded.note}")
        if denoiser.grows:
            _say(f"note: {GROWS}")
    pcm = Pcm(args.format)
    gaps = _pipe(denoiser, pcm) if device is None else _microphone(device, denoiser, pcm)
    if not args.quiet:
        for text in _facts(denoiser, loaded.engine, pcm, gaps):
            _say(text)
    return 0


def _facts(denoiser: Denoiser, engine: str, pcm: Pcm, gaps: int) -> list[str]:
    rate = denoiser.path.rate
    facts = [f"{quantities.duration(denoiser.samples / rate)} of sound; {report(denoiser, rate, engine)}"]
    if denoiser.samples:
        facts[0] += f"; the slowest answer took {quantities.duration(denoiser.slowest_call)}"
    factor = denoiser.real_time_factor
    if factor is not None and factor > 1:
        facts.append("note: this is slower than the sound itself: a live source loses samples")
    if denoiser.replaced:
        facts.append(f"note: {denoiser.replaced} sample(s) were no usable numbers and became 0")
    if denoiser.resets:
        facts.append(f"note: {denoiser.resets} reset(s) after silence")
    if gaps:
        facts.append(f"note: {gaps} gap(s): samples were lost, and the network started from rest")
    if pcm.limited:
        facts.append(f"note: {pcm.limited} sample(s) were beyond full scale and limited")
    if pcm.cut:
        facts.append(f"note: the input ended inside a sample; {pcm.cut} byte(s) were dropped")
    return facts


def _pipe(denoiser: Denoiser, pcm: Pcm) -> int:
    source: Any = sys.stdin.buffer  # a BufferedReader, not any BinaryIO
    sink = sys.stdout.buffer

    def write(samples: Tensor) -> None:
        if len(samples):
            sink.write(pcm.bytes(samples))
            sink.flush()

    try:
        # read1 gives what is there: waiting for more would add to the latency
        while data := source.read1(_READ):
            write(denoiser.push(pcm.samples(data)))
    except KeyboardInterrupt:  # how a live stream ends
        pass
    write(denoiser.flush())
    return 0


def _microphone(device: Any, denoiser: Denoiser, pcm: Pcm) -> int:
    """From the microphone to the loudspeaker, or to standard output where that is no terminal; counts gaps."""
    path = denoiser.path
    options = {"samplerate": path.rate, "blocksize": path.hop, "channels": 1, "dtype": "float32"}
    speaks = sys.stdout.isatty()
    gaps = 0
    try:
        with (device.Stream if speaks else device.InputStream)(**options) as stream:
            write = _to_device(stream) if speaks else _to_stdout(pcm)
            try:
                while True:
                    block, lost = stream.read(path.hop)
                    if lost:  # what comes is not the continuation of what came
                        gaps += 1
                        write(denoiser.flush())
                    write(denoiser.push(np.ascontiguousarray(block[:, 0])))
            except KeyboardInterrupt:
                write(denoiser.flush())
    except device.PortAudioError as error:
        raise ConfigError(
            f"The sound device refused {path.rate} Hz with one channel: {error}.",
            "choose another default device, or pipe raw PCM through --live",
        ) from error
    return gaps


def _to_device(stream: Any) -> Callable[[Tensor], None]:
    return lambda samples: stream.write(samples.clamp(-1, 1).unsqueeze(1).numpy()) if len(samples) else None


def _to_stdout(pcm: Pcm) -> Callable[[Tensor], None]:
    def write(samples: Tensor) -> None:
        sys.stdout.buffer.write(pcm.bytes(samples))
        sys.stdout.buffer.flush()

    return write


def _sounddevice() -> Any:
    try:
        import sounddevice  # type: ignore[import-not-found]
    except (ImportError, OSError) as error:  # OSError: PortAudio itself is missing
        raise ConfigError(
            f"A microphone needs the package sounddevice and PortAudio: {error}.",
            "pip install 'spikeworks[audio]', or pipe raw PCM through --live",
        ) from error
    return sounddevice


def _say(text: str) -> None:
    print(f"spikeworks: {text}", file=sys.stderr, flush=True)
