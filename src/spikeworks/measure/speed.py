"""Speed: sequences a second, in inference and in training, after warm-up, with spread.

Inference is a forward pass in eval mode without gradients; training is forward, loss and
backward in train mode (no optimiser step: nothing may change). Each repeat is timed
by itself with the device synchronised before and after; the median stands for all. A
baseline is timed in turns with the network, so that a busy machine slows both, and the
ratio is the median over pairs.

    report = speed(network, x, baseline=other)
    report.inference.samples_per_second, report.training_ratio
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError
from .subject import call, extent
from .untouched import untouched


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """Repeats of one kind of pass over the same batch.

    Attributes:
        seconds: one entry a repeat, in the order they were run.
        samples: sequences in the batch.
    """

    seconds: tuple[float, ...]
    samples: int

    @property
    def median_seconds(self) -> float:
        """Median over the repeats."""
        return statistics.median(self.seconds)

    @property
    def samples_per_second(self) -> float:
        """Sequences a second at the median."""
        return self.samples / self.median_seconds

    @property
    def spread(self) -> float | None:
        """Distance of the quartiles relative to the median; ``None`` for a single repeat."""
        if len(self.seconds) < 2:
            return None
        low, _, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return (high - low) / self.median_seconds

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "samples_per_second": self.samples_per_second,
            "median_seconds": self.median_seconds,
            "spread": self.spread,
            "seconds": list(self.seconds),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeedReport:
    """How fast a network is, and how fast against a baseline.

    Attributes:
        inference, training: timings of the network; ``training`` is ``None`` where it has
            no parameter to train.
        baseline_inference, baseline_training: the same for the baseline, if there is one.
        samples, steps: sequences in the batch and their mean length.
        repeats, warmup: timed and untimed passes of each kind.
    """

    inference: Timing
    training: Timing | None
    baseline_inference: Timing | None
    baseline_training: Timing | None
    samples: int
    steps: float
    repeats: int
    warmup: int

    @property
    def inference_ratio(self) -> float | None:
        """Median of baseline time over own time, pair by pair: 2 means twice as fast."""
        return _ratio(self.inference, self.baseline_inference)

    @property
    def training_ratio(self) -> float | None:
        """As :attr:`inference_ratio`, for training."""
        return _ratio(self.training, self.baseline_training)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        timings = ("inference", "training", "baseline_inference", "baseline_training")
        found = {name: getattr(self, name) for name in timings}
        return {
            **{name: None if timing is None else timing.to_dict() for name, timing in found.items()},
            "inference_ratio": self.inference_ratio,
            "training_ratio": self.training_ratio,
            "samples": self.samples,
            "steps": self.steps,
            "repeats": self.repeats,
            "warmup": self.warmup,
        }


def speed(
    network: nn.Module,
    x: Tensor,
    mask: Tensor | None = None,
    loss: Callable[[Tensor], Tensor] | None = None,
    *,
    repeats: int = 9,
    warmup: int = 2,
    baseline: nn.Module | None = None,
    training: bool = True,
    batch_axis: int | None = None,
) -> SpeedReport:
    """Time ``network`` on one batch.

    Parameters, their gradients, train or eval mode, buffers and random streams are as before
    afterwards.

    Args:
        network: any module; see :mod:`~spikeworks.measure.subject`.
        x: ``[T, B, ...]`` floats, ``[B, T]`` ids, or ``[B, C]`` floats.
        mask: ``[T, B]`` bool, handed to the network.
        loss: from the output to a scalar; by default the mean of its squares.
        repeats, warmup: timed and untimed passes of each kind.
        baseline: a second network, timed in turns with the first on the same batch.
        training: false leaves the training passes out.
        batch_axis: the batch axis of ``x`` where it is another.

    Raises:
        ShapeError: ``x`` is empty or the mask does not fit.
        ConfigError: ``repeats`` or ``warmup`` is out of range, or a network takes no mask.
    """
    if repeats < 1 or warmup < 0:
        raise ConfigError(f"Expected repeats >= 1 and warmup >= 0, got repeats={repeats}, warmup={warmup}.")
    size = extent(x, mask, batch_axis)
    contestants = [network] if baseline is None else [network, baseline]
    with untouched(*contestants), _no_collection():
        for one in contestants:
            one.eval()
        inference = _race([_inference(one, x, mask) for one in contestants], x.device, repeats, warmup)
        for one in contestants:
            one.train()
        passes = [_training(one, x, mask, loss) if training else None for one in contestants]
        times = iter(_race([p for p in passes if p is not None], x.device, repeats, warmup))
        trained = [None if p is None else next(times) for p in passes]

    def timing(seconds: list[float] | None) -> Timing | None:
        return None if seconds is None else Timing(seconds=tuple(seconds), samples=size.samples)

    return SpeedReport(
        inference=Timing(seconds=tuple(inference[0]), samples=size.samples),
        training=timing(trained[0]),
        baseline_inference=timing(inference[1]) if baseline is not None else None,
        baseline_training=timing(trained[1]) if baseline is not None else None,
        samples=size.samples,
        steps=size.steps,
        repeats=repeats,
        warmup=warmup,
    )


def _ratio(own: Timing | None, other: Timing | None) -> float | None:
    if own is None or other is None:
        return None
    return statistics.median(b / a for a, b in zip(own.seconds, other.seconds, strict=True))


def _inference(network: nn.Module, x: Tensor, mask: Tensor | None) -> Callable[[], object]:
    def run() -> object:
        with torch.no_grad():
            return call(network, x, mask)

    return run


def _training(
    network: nn.Module, x: Tensor, mask: Tensor | None, loss: Callable[[Tensor], Tensor] | None
) -> Callable[[], object] | None:
    """One forward, loss and backward; ``None`` where nothing can be trained."""
    trained = [p for p in network.parameters() if p.requires_grad]
    if not trained:
        return None

    def run() -> object:
        with torch.enable_grad():
            output, _ = call(network, x, mask)
            value = output.square().mean() if loss is None else loss(output)
            # Not value.backward(): gradients that the caller has gathered stay as they are.
            return torch.autograd.grad(value, trained, allow_unused=True)

    return run


def _race(runs: list[Callable[[], object]], device: torch.device, repeats: int, warmup: int) -> list[list[float]]:
    """Seconds of each repeat of each run, taken in turns; every other turn in reverse order."""
    for run in runs:
        for _ in range(warmup):
            run()
    seconds: list[list[float]] = [[] for _ in runs]
    turns = list(enumerate(runs))
    for _ in range(repeats):
        for index, run in turns:
            seconds[index].append(_timed(run, device))
        turns.reverse()
    return seconds


def _timed(run: Callable[[], object], device: torch.device) -> float:
    _synchronise(device)
    start = time.perf_counter()
    run()
    _synchronise(device)
    return time.perf_counter() - start


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python's garbage collector out of the timed passes."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _synchronise(device: torch.device) -> None:
    """Wait for the device, so that the clock sees finished work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
