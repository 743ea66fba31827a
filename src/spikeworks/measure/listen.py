"""Which measures of speech are taken, by name, and what they find for a clip and over clips.

    listen = Listening(("pesq", "stoi"), rate=8_000)
    listen(estimate, clean, noisy)                        # {"si_snr": ..., "si_snr_improvement": ..., "pesq": ...}

Legend: ``S`` samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import ConfigError, UnknownName
from .perceptual import DNSMOS, pesq, stoi
from .signal import si_snr

METRICS = ("pesq", "stoi", "estoi", "dnsmos")
"""Measures beside SI-SNR; each needs a package of ``spikeworks[speech]``."""


class Listening:
    """SI-SNR of a clip, its improvement on the noisy wave, and the measures that were asked for.

    Args:
        metrics: of :data:`METRICS`.
        rate: samples a second.
        dnsmos: for ``dnsmos`` the file of its model, or the opened one.

    Raises:
        UnknownName: no such measure.
        ConfigError: ``dnsmos`` without a model, or a package is missing.
        DataError: no model is in the file.
    """

    def __init__(self, metrics: Iterable[str] = (), *, rate: int, dnsmos: DNSMOS | str | Path | None = None) -> None:
        self.metrics, self.rate = tuple(metrics), rate
        for name in self.metrics:
            if name not in METRICS:
                raise UnknownName("Measure of speech", name, METRICS, "SI-SNR is always taken")
        if "dnsmos" in self.metrics and dnsmos is None:
            raise ConfigError(
                "DNSMOS needs the file of its model, which is not part of this package.",
                "give the path of sig_bak_ovr.onnx of github.com/microsoft/DNS-Challenge",
            )
        self._dnsmos = dnsmos if isinstance(dnsmos, DNSMOS) or dnsmos is None else DNSMOS.open(dnsmos)

    def __call__(self, estimate: Tensor, clean: Tensor, noisy: Tensor) -> dict[str, float]:
        """All measures of one clip; waves ``[S]``. ``nan``: a measure has no answer for this clip.

        Raises:
            ConfigError: a package is missing, or a measure is not defined at this rate.
            ShapeError: waves that differ in shape.
        """
        pairs = torch.stack([estimate, noisy]), torch.stack([clean, clean])
        after, before = si_snr(*pairs).tolist()
        found = {"si_snr": after, "si_snr_improvement": after - before}
        if "pesq" in self.metrics:
            found["pesq"] = pesq(estimate, clean, self.rate)
        if "stoi" in self.metrics:
            found["stoi"] = stoi(estimate, clean, self.rate)
        if "estoi" in self.metrics:
            found["estoi"] = stoi(estimate, clean, self.rate, extended=True)
        if "dnsmos" in self.metrics and self._dnsmos is not None:
            found.update(self._dnsmos(estimate, self.rate))
        return found


def averages(clips: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each measure over the clips that it has an answer for; ``nan`` where there is none."""
    names = dict.fromkeys(name for clip in clips for name in clip)
    means = {}
    for name in names:
        known = [clip[name] for clip in clips if name in clip and not math.isnan(clip[name])]
        means[name] = math.fsum(known) / len(known) if known else math.nan
    return means
