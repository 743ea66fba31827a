"""Measured qualities as numbers in [0, 1]."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from spikeworks.measure.perceptual import DNSMOS
from spikeworks.tasks import speech_quality
from spikeworks.tasks.speech_quality import QUALITIES, SpeechQuality

RATE = 8_000


class Model:
    """Answers the same raw scores, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def get_inputs(self) -> Any:
        return [type("Input", (), {"name": "wave"})]

    def run(self, output_names: Any, input_feed: dict[str, Any]) -> Any:
        self.asked += 1
        return [[[3.0, 2.0, 2.5]]]


def waves(size: int = 3, seconds: float = 1.0) -> torch.Tensor:
    return 0.1 * torch.randn(size, int(seconds * RATE), generator=torch.Generator().manual_seed(0))


def test_stoi_is_taken_as_it_is_within_each_clip():
    pytest.importorskip("pystoi")
    measure, clean = SpeechQuality(("stoi",), RATE), waves()
    clean[2] = 0.0
    noise = 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    clear, noisy, silent = measure(clean + noise * torch.tensor([[0.0], [1.0], [1.0]]), clean)[0].tolist()
    assert clear == pytest.approx(1.0, abs=1e-3) and 0 <= noisy < 0.9 and math.isnan(silent)
    spoilt = clean.clone()
    spoilt[0, RATE // 2 :] = 9 * noise[0, RATE // 2 :]  # behind the clip's own end
    lengths = torch.tensor([RATE // 2, RATE, RATE])
    assert measure(spoilt, clean, lengths)[0, 0].item() == pytest.approx(1.0, abs=1e-3)


def test_scores_of_dnsmos_run_from_0_at_1_to_1_at_5_from_one_call_a_clip(monkeypatch, tmp_path):
    (tmp_path / "dnsmos").mkdir()
    (tmp_path / "dnsmos" / "sig_bak_ovr.onnx").touch()
    model = Model()
    monkeypatch.setattr(speech_quality.DNSMOS, "open", lambda path: DNSMOS(model))
    names = ("dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl")
    measure = SpeechQuality(names, RATE, tmp_path)
    model.asked = 0
    found = measure(waves(2), waves(2))
    assert model.asked == 2 and found.shape == (3, 2)
    scores = DNSMOS(model)(waves()[0], RATE)
    assert found[:, 0].tolist() == [pytest.approx((scores[name] - 1) / 4, abs=1e-6) for name in names]


def test_every_quality_has_a_range():
    assert all(low < high for low, high in QUALITIES.values())
