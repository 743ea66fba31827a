"""Measures of how speech sounds: identity, order, units, clips without an answer, what is said without a package."""

from __future__ import annotations

import math
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spikeworks.core.errors import ConfigError, DataError, ShapeError, UnknownName
from spikeworks.data.fsdd import load_fsdd
from spikeworks.measure.listen import Listening, averages
from spikeworks.measure.perceptual import DNSMOS, DNSMOS_SAMPLES, pesq, stoi


@pytest.fixture(scope="module")
def speech(data_root, data_set) -> Tensor:
    """Two seconds of spoken digits at 8 kHz."""
    data_set("fsdd")
    return torch.cat([recording.wave for recording in load_fsdd(data_root)[:8]])[:16_000].double()


def noisy(wave: Tensor, level: float) -> Tensor:
    noise = torch.randn(wave.shape, generator=torch.Generator().manual_seed(0), dtype=wave.dtype)
    return wave + level * wave.std() * noise


def at_16k(wave: Tensor) -> Tensor:
    return torch.from_numpy(np.interp(np.arange(2 * len(wave)) / 2, np.arange(len(wave)), wave.numpy()))


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_pesq_falls_with_noise_and_tells_the_bands_apart(speech, rate):
    theirs = pytest.importorskip("pesq")
    wave = speech if rate == 8_000 else at_16k(speech)
    found = [pesq(noisy(wave, level), wave, rate) for level in (0.0, 0.1, 1.0)]
    assert 4.5 < found[0] <= 4.65 and found[0] > found[1] > found[2] >= 1.0
    band = "nb" if rate == 8_000 else "wb"
    assert found[1] == theirs.pesq(rate, wave.numpy(), noisy(wave, 0.1).numpy(), band)
    assert math.isnan(pesq(wave, torch.zeros_like(wave), rate)) and math.isnan(pesq(torch.zeros_like(wave), wave, rate))
    assert math.isnan(pesq(wave[:500], wave[:500], rate))


@pytest.mark.parametrize("extended", [False, True])
def test_stoi_falls_with_noise_and_ignores_gain(speech, extended):
    pytest.importorskip("pystoi")
    found = [stoi(noisy(speech, level), speech, 8_000, extended=extended) for level in (0.0, 0.3, 3.0)]
    assert found[0] == pytest.approx(1.0, abs=1e-3) and found[0] > found[1] > found[2]
    assert stoi(7 * noisy(speech, 0.3), speech, 8_000, extended=extended) == pytest.approx(found[1], abs=1e-3)
    assert math.isnan(stoi(speech[:1_000], speech[:1_000], 8_000, extended=extended))
    assert math.isnan(stoi(speech[:50], speech[:50], 8_000, extended=extended))
    assert math.isnan(stoi(speech, torch.zeros_like(speech), 8_000, extended=extended))


class Loudness:
    """Stands where the model does: its raw scores are the loudest sample, the first one, and the mean."""

    def __init__(self) -> None:
        self.heard: list[np.ndarray] = []

    def get_inputs(self) -> Any:
        return [SimpleNamespace(name="wave")]

    def run(self, output_names: Any, input_feed: dict[str, Any]) -> Any:
        window = input_feed["wave"]
        assert output_names is None and list(input_feed) == ["wave"]
        assert window.shape == (1, DNSMOS_SAMPLES) and window.dtype == np.float32
        self.heard.append(window[0])
        return [np.array([[window.max(), window[0, 0], window.mean()]], dtype=np.float32)]


def test_polynomials_of_dnsmos():
    found = DNSMOS(Loudness())(torch.full((DNSMOS_SAMPLES,), 3.0), 16_000)
    assert found == pytest.approx(
        {
            "dnsmos_sig": -0.08397278 * 9 + 1.22083953 * 3 + 0.00524390,
            "dnsmos_bak": -0.13166888 * 9 + 1.60915514 * 3 - 0.39604546,
            "dnsmos_ovrl": -0.06766283 * 9 + 1.11546468 * 3 + 0.04602535,
        },
        rel=1e-6,
    )


@pytest.mark.parametrize("seconds, windows", [(3, 1), (9, 1), (9.01, 1), (10, 1), (10.01, 2), (12.5, 4)])
def test_windows_of_dnsmos_come_every_second_and_short_sound_is_repeated(seconds, windows):
    session, samples = Loudness(), round(seconds * 16_000)
    wave = torch.arange(samples) / samples
    found = DNSMOS(session)(wave, 16_000)
    assert len(session.heard) == windows
    for index, window in enumerate(session.heard):
        expected = wave[(torch.arange(DNSMOS_SAMPLES) + 16_000 * index) % samples]
        assert np.array_equal(window, expected.numpy())
    raw = np.array([window.max() for window in session.heard], dtype=np.float64)
    assert found["dnsmos_sig"] == pytest.approx((-0.08397278 * raw**2 + 1.22083953 * raw + 0.0052439).mean(), rel=1e-6)


def test_dnsmos_hears_other_rates_at_16_khz():
    session = Loudness()
    tone = torch.sin(2 * math.pi * 440 * torch.arange(80_000) / 8_000)
    DNSMOS(session)(tone, 8_000)
    expected = np.sin(2 * np.pi * 440 * np.arange(100, 60_000) / 16_000)
    assert np.abs(session.heard[0][100:60_000] - expected).max() < 0.01


def test_what_is_no_model_of_dnsmos_is_said(tmp_path):
    with pytest.raises(DataError, match=r"DNSMOS needs the file of its model, and .*no\.onnx is none"):
        DNSMOS.open(tmp_path / "no.onnx")
    session = Loudness()
    session.run = lambda output_names, input_feed: [np.zeros((1, 2))]  # type: ignore[method-assign]
    with pytest.raises(DataError, match=r"answers scores \[1, 3\], this one \[1, 2\]"):
        DNSMOS(session)(torch.ones(100), 16_000)
    with pytest.raises(ConfigError, match="DNSMOS needs the file of its model, which is not part of this package"):
        Listening(["dnsmos"], rate=8_000)


def test_a_file_that_onnxruntime_cannot_read(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(DataError, match=r"bad\.onnx holds no model that onnxruntime can run"):
        DNSMOS.open(tmp_path / "bad.onnx")


@pytest.mark.parametrize("module", ["pesq", "pystoi", "onnxruntime"])
def test_a_missing_package_is_named_with_the_extra(module, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "model.onnx").write_bytes(b"")
    wave = torch.rand(8_000)
    ask = {
        "pesq": lambda: pesq(wave, wave, 8_000),
        "pystoi": lambda: stoi(wave, wave, 8_000),
        "onnxruntime": lambda: DNSMOS.open(tmp_path / "model.onnx"),
    }
    with pytest.raises(ConfigError, match=rf"(?s)needs the package {module}.*pip install 'spikeworks\[speech\]'"):
        ask[module]()


def test_wrong_waves_and_rates_are_named():
    wave = torch.rand(8_000)
    with pytest.raises(ConfigError, match=r"PESQ is defined at 8000 Hz \(narrow band\) and 16000 Hz .*got 44100 Hz"):
        pesq(wave, wave, 44_100)
    for ask in (lambda a, b: pesq(a, b, 8_000), lambda a, b: stoi(a, b, 8_000)):
        with pytest.raises(ShapeError, match=r"expected waves \[S\] of one length, got \[8000\] and \[7\]"):
            ask(wave, wave[:7])
        with pytest.raises(DataError, match="no finite numbers"):
            ask(torch.full((8_000,), math.nan), wave)
    with pytest.raises(ShapeError, match=r"DNSMOS expected waves"):
        DNSMOS(Loudness())(torch.rand(2, 8), 16_000)
    with pytest.raises(UnknownName, match="Measure of speech 'stio' is not registered. Did you mean 'stoi'"):
        Listening(["stio"], rate=8_000)


def test_listening_and_averages():
    clean = torch.sin(torch.arange(4_000) / 10).double()
    estimate, before = noisy(clean, 0.1), noisy(clean, 1.0)
    found = Listening(["dnsmos"], rate=8_000, dnsmos=DNSMOS(Loudness()))(estimate, clean, before)
    assert list(found) == ["si_snr", "si_snr_improvement", "dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl"]
    assert found["si_snr"] == pytest.approx(20, abs=0.5) and found["si_snr_improvement"] == pytest.approx(20, abs=0.5)
    means = averages([{"a": 1.0, "b": math.nan}, {"a": 2.0, "b": math.nan}, {"a": math.nan}])
    assert means["a"] == 1.5 and math.isnan(means["b"])
