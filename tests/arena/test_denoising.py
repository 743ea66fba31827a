"""A denoiser over a split: the figures are those of the task's own meter, clip by clip and by kind of noise."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from spikeworks.arena.denoising import evaluate_denoiser
from spikeworks.arena.evaluate import evaluate
from spikeworks.core.batch import Batch
from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.data.deep_filter import Mask
from spikeworks.data.stft import Stft
from spikeworks.layers import ReadoutConfig
from spikeworks.measure.perceptual import DNSMOS
from spikeworks.models import GRUConfig
from spikeworks.tasks.denoise_digits import DenoiseDigitsConfig
from spikeworks.tasks.denoising import DenoisingTask, Front


@pytest.fixture(scope="module")
def task(data_root, data_set) -> DenoisingTask:
    data_set("fsdd")
    data_set("esc10")
    config = DenoiseDigitsConfig(test_size=5, train_size=1, validation_size=1, test_seconds=1.5, train_seconds=1.5)
    return config.build(data_root)


def network(outputs: int) -> nn.Module:
    config = GRUConfig(hidden=(8,), readout=ReadoutConfig(kind="every"))
    return config.build(129, outputs, torch.Generator().manual_seed(0))


def test_the_means_are_those_of_the_meter_whatever_the_batch(task):
    made = network(129).train()
    found = evaluate_denoiser(made, task, batch_size=2)
    assert made.training
    expected = evaluate(made, task, "test", 5, torch.device("cpu")).values
    assert found.mean["si_snr"] == pytest.approx(expected["si_snr"], abs=1e-3)
    assert found.mean["si_snr_improvement"] == pytest.approx(expected["si_snr_improvement"], abs=1e-3)
    again = evaluate_denoiser(made, task, batch_size=5)
    for one, other in zip(found.clips, again.clips, strict=True):
        assert one.position == other.position and one.about == other.about
        assert one.values == pytest.approx(other.values, abs=1e-3)
    assert [clip.position for clip in found.clips] == list(range(5))
    assert {clip.about["speaker"] for clip in found.clips} == {"theo"}
    assert json.loads(json.dumps(found.to_dict()))["mean"] == found.mean


def test_kinds_of_noise_are_parts_of_the_whole(task):
    found = evaluate_denoiser(lambda batch: batch.target[:, 1], task)
    assert found.mean["si_snr_improvement"] == 0
    groups: dict[str, list[float]] = {}
    for clip in found.clips:
        kind = clip.about.get("kind", clip.about["noise"])
        groups.setdefault(str(kind), []).append(clip.values["si_snr"])
    assert len(found.clips) == 5 and found.by_kind.keys() == groups.keys()
    for kind, values in groups.items():
        assert found.by_kind[kind]["si_snr"] == pytest.approx(math.fsum(values) / len(values))


def test_the_clean_wave_has_the_best_figures(task):
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    metrics = ("stoi", "pesq")
    best = evaluate_denoiser(lambda batch: batch.target[:, 0], task, metrics=metrics).mean
    noisy = evaluate_denoiser(lambda batch: batch.target[:, 1], task, metrics=metrics).mean
    assert best["si_snr"] == pytest.approx(100, abs=1) and best["stoi"] > 0.999 and best["pesq"] > 4.5
    assert noisy["stoi"] < best["stoi"] and noisy["pesq"] < best["pesq"]


class Padded(DenoisingTask):
    """Two clips of unequal length."""

    def __init__(self) -> None:
        front = Front(Stft(window=256, hop=64), "raw")
        super().__init__(DenoiseDigitsConfig(), front, Mask("magnitude"), 0.001, 8_000, None)

    def _load(self, split):
        waves = [torch.randn(2, size, generator=torch.Generator().manual_seed(size)) for size in (640, 1_000)]
        return {split: Clips(self.front.join(waves))}


class Clips:
    def __init__(self, batch: Batch) -> None:
        self.one = batch

    def __len__(self):
        return 2

    def plan(self, batch_size, generator=None):
        return [0]

    def batch(self, item):
        return self.one


def test_clips_are_heard_without_padding_and_without_names():
    class Heard(DNSMOS):
        def __init__(self) -> None:
            self.lengths: list[int] = []

        def __call__(self, wave, rate):
            self.lengths.append(len(wave))
            return {"dnsmos_ovrl": 1.0}

    heard = Heard()
    found = evaluate_denoiser(network(129), Padded(), metrics=["dnsmos"], dnsmos=heard)
    assert heard.lengths == [640, 960] and found.by_kind == {}
    assert [clip.about for clip in found.clips] == [{}, {}]


def test_a_network_for_another_task_and_a_measure_without_a_model_are_named(task):
    with pytest.raises(ShapeError, match="expected a mask for every frame"):
        evaluate_denoiser(network(7), task)
    with pytest.raises(ConfigError, match="DNSMOS needs the file of its model"):
        evaluate_denoiser(network(129), task, metrics=["dnsmos"])
