"""Measured quality of speech as a number in [0, 1], for methods that train against a critic.

Legend: ``B`` clips, ``S`` samples, ``K`` qualities.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import UnknownName
from ..data.files import FileSet, WantedFile, locate
from ..measure.listen import Listening
from ..measure.perceptual import DNSMOS

QUALITIES: dict[str, tuple[float, float]] = {
    "stoi": (0.0, 1.0),
    "pesq": (1.0, 4.5),
    "dnsmos_ovrl": (1.0, 5.0),
    "dnsmos_sig": (1.0, 5.0),
    "dnsmos_bak": (1.0, 5.0),
}
"""By name what becomes 0 and what becomes 1; values beyond are clamped."""
DNSMOS_FILE = "sig_bak_ovr.onnx"
DNSMOS_MODEL = FileSet(
    name="dnsmos",
    title="The model of DNSMOS",
    files=(WantedFile(DNSMOS_FILE),),
    layout=DNSMOS_FILE,
    advice="it is the file of that name in github.com/microsoft/DNS-Challenge, folder DNSMOS/DNSMOS",
)


class SpeechQuality:
    """Measures clips.

    Args:
        names: of :data:`QUALITIES`.
        rate: samples a second.
        root: the data directory, in which the model of DNSMOS lies; ``None`` asks SPIKEWORKS_DATA.

    Raises:
        UnknownName: no such quality.
        ConfigError: a package is missing, or a quality is not defined at this rate.
        DataError: the model of DNSMOS is missing.
    """

    def __init__(self, names: Sequence[str], rate: int, root: str | Path | None = None) -> None:
        for name in names:
            if name not in QUALITIES:
                raise UnknownName("Quality of speech", name, QUALITIES)
        self.names = tuple(names)
        metrics = dict.fromkeys(name.partition("_")[0] for name in names)  # one model tells all three of DNSMOS
        model = DNSMOS.open(locate(DNSMOS_MODEL, root)[DNSMOS_FILE]) if "dnsmos" in metrics else None
        self._listen = Listening(metrics, rate=rate, dnsmos=model)
        second = torch.randn(rate, generator=torch.Generator().manual_seed(0))
        self._listen(second, second, second)  # what is missing says so now, not in the first update

    def __call__(self, estimate: Tensor, clean: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Qualities ``[K, B]`` in [0, 1]; nan where a clip has none, as silence has.

        Args:
            estimate, clean: ``[B, S]``; no gradient passes through.
            lengths: samples of each clip, ``[B]``; ``None``: all.
        """
        ends = [clean.shape[1]] * len(clean) if lengths is None else lengths.tolist()
        pairs = zip(estimate.detach().cpu(), clean.cpu(), ends, strict=True)
        found = [self._of_clip(one[:end], other[:end]) for one, other, end in pairs]
        worst, best = clean.new_tensor([QUALITIES[name] for name in self.names]).unbind(1)
        values = clean.new_tensor(found).reshape(-1, len(self.names))
        return ((values - worst) / (best - worst)).clamp(0, 1).T

    def _of_clip(self, estimate: Tensor, clean: Tensor) -> list[float]:
        heard = self._listen(estimate, clean, clean)
        return [heard[name] for name in self.names]
