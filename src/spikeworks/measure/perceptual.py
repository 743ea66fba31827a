"""How speech sounds to people: PESQ, STOI and DNSMOS of waves. The packages are extras: ``spikeworks[speech]``.

All take waves ``[S]`` of one clip and give numbers that are higher for better speech; ``nan`` where a measure has no
answer for a clip, such as PESQ where nobody speaks.

Legend: ``S`` samples.
"""

from __future__ import annotations

import importlib
import math
import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from ..core.errors import ConfigError, DataError, ShapeError

_STOI_SECONDS = 0.4
_PESQ = {16_000: "wb", 8_000: "nb"}
DNSMOS_RATE = 16_000
DNSMOS_SAMPLES = 144_160
"""Of a window: 9.01 s."""
_POLYNOMIALS = {  # of the raw score, from the highest power down
    "dnsmos_sig": (-0.08397278, 1.22083953, 0.0052439),
    "dnsmos_bak": (-0.13166888, 1.60915514, -0.39604546),
    "dnsmos_ovrl": (-0.06766283, 1.11546468, 0.04602535),
}
_WHERE = "it is sig_bak_ovr.onnx of github.com/microsoft/DNS-Challenge, folder DNSMOS/DNSMOS"


def pesq(estimate: Tensor, clean: Tensor, rate: int) -> float:
    """Perceptual evaluation of speech quality, as a mean opinion score from 1.0 to 4.6.

    At 16 kHz the wide-band form (ITU-T P.862.2), at 8 kHz the narrow-band one (P.862 with P.862.1).

    Args:
        estimate, clean: ``[S]``.
        rate: samples a second.

    Raises:
        ConfigError: another rate, or the package is missing.
        ShapeError: waves that differ in shape.
    """
    first, second = _waves(estimate, clean, "PESQ")
    if rate not in _PESQ:
        raise ConfigError(
            f"PESQ is defined at 8000 Hz (narrow band) and 16000 Hz (wide band), got {rate} Hz.",
            "resample both waves before",
        )
    module = _package("pesq", "PESQ")
    if not (first.any() and second.any()):
        return math.nan
    try:
        return float(module.pesq(rate, second, first, _PESQ[rate]))
    except (module.NoUtterancesError, module.BufferTooShortError):
        return math.nan


def stoi(estimate: Tensor, clean: Tensor, rate: int, *, extended: bool = False) -> float:
    """Short-time objective intelligibility, up to 1 (Taal et al. 2011); ``extended``: Jensen and Taal 2016.

    Both waves are resampled to 10 kHz. A clip with less than 0.4 s of speech has none.

    Args:
        estimate, clean: ``[S]``.
        rate: samples a second.

    Raises:
        ConfigError: no rate, or the package is missing.
        ShapeError: waves that differ in shape.
    """
    first, second = _waves(estimate, clean, "STOI")
    if rate < 1:
        raise ConfigError(f"STOI needs a rate of samples a second, got {rate}.")
    module = _package("pystoi", "STOI")
    if len(second) < _STOI_SECONDS * rate or not second.any():
        return math.nan
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Not enough STFT frames", category=RuntimeWarning)
            return float(module.stoi(second, first, rate, extended=extended))
    except RuntimeWarning:
        return math.nan


class Session(Protocol):
    """What runs the model: an ``onnxruntime.InferenceSession``."""

    def get_inputs(self) -> Any:
        """Descriptions of the inputs, each with a name."""
        ...

    def run(self, output_names: Any, input_feed: dict[str, Any]) -> Any:
        """The outputs for named inputs."""
        ...


class DNSMOS:
    """Mean opinion scores from 1 to 5 that a network foretells, without a clean wave: speech, background, overall.

    Windows of 9.01 s every second; a shorter clip is repeated until it fills one. The raw scores of each window go
    through a polynomial each, and a clip has their mean. The model was trained at 16 kHz: waves of other rates are
    resampled, and their scores are an indication only.

    Source: Reddy et al., arXiv 2110.01763; polynomials of the challenge's program.

    Args:
        session: runs the model: in, windows ``[1, 144160]``; out, raw scores ``[1, 3]`` of speech, background and
            overall.

    Example:
        ``DNSMOS.open("sig_bak_ovr.onnx")(wave, 16_000)["dnsmos_ovrl"]``
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    @classmethod
    def open(cls, model: str | Path) -> DNSMOS:
        """The model of a file, on one thread.

        Raises:
            ConfigError: onnxruntime is missing.
            DataError: there is no such file, or it holds no such model.
        """
        path = Path(model)
        if not path.is_file():
            raise DataError(f"DNSMOS needs the file of its model, and {path} is none.", _WHERE)
        runtime = _package("onnxruntime", "DNSMOS")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            return cls(runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]))
        except Exception as error:  # its errors have no common base of their own
            raise DataError(f"{path} holds no model that onnxruntime can run: {error}", _WHERE) from error

    def __call__(self, wave: Tensor, rate: int) -> dict[str, float]:
        """``dnsmos_sig``, ``dnsmos_bak`` and ``dnsmos_ovrl`` of a wave ``[S]``.

        Raises:
            ConfigError: no rate.
            DataError: the model answers something else than three scores.
            ShapeError: no wave, or an empty one.
        """
        heard, _ = _waves(wave, wave, "DNSMOS")
        if rate < 1:
            raise ConfigError(f"DNSMOS needs a rate of samples a second, got {rate}.")
        if rate != DNSMOS_RATE:
            heard = _resampled(heard, rate)
        heard = heard.astype(np.float32)
        if len(heard) < DNSMOS_SAMPLES:
            heard = np.tile(heard, -(-DNSMOS_SAMPLES // len(heard)))[:DNSMOS_SAMPLES]
        starts = range(0, len(heard) - DNSMOS_SAMPLES + 1, DNSMOS_RATE)
        raw = np.array([self._raw(heard[start : start + DNSMOS_SAMPLES]) for start in starts])
        return {
            name: float(np.polyval(powers, raw[:, column]).mean())
            for column, (name, powers) in enumerate(_POLYNOMIALS.items())
        }

    def _raw(self, window: np.ndarray) -> np.ndarray:
        found = np.asarray(self._session.run(None, {self._input: window[None]})[0], dtype=np.float64)
        if found.shape != (1, 3):
            raise DataError(f"A model of DNSMOS answers scores [1, 3], this one {list(found.shape)}.", _WHERE)
        return found[0]


def _waves(first: Tensor, second: Tensor, who: str) -> tuple[np.ndarray, np.ndarray]:
    if first.shape != second.shape or first.dim() != 1 or not len(first):
        raise ShapeError(f"{who} expected waves [S] of one length, got {list(first.shape)} and {list(second.shape)}.")
    found = tuple(wave.detach().cpu().double().numpy() for wave in (first, second))
    if not all(np.isfinite(wave).all() for wave in found):
        raise DataError(f"{who} was given a wave with samples that are no finite numbers.")
    return found  # type: ignore[return-value]


def _resampled(wave: np.ndarray, rate: int) -> np.ndarray:
    from scipy.signal import resample_poly

    shared = math.gcd(rate, DNSMOS_RATE)
    return resample_poly(wave, DNSMOS_RATE // shared, rate // shared)


def _package(module: str, who: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"{who} needs the package {module}: {error}.", "pip install 'spikeworks[speech]'") from None
