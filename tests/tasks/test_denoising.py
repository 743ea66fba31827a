"""Denoising tasks: masks that do nothing change nothing, losses equal their definition, clips have what they say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tests.data.raw_speech import write_clip, write_ndns

from spikeworks.core.batch import Batch
from spikeworks.core.errors import ConfigError, DataError, ShapeError
from spikeworks.data.deep_filter import Mask
from spikeworks.data.digit_speech import speakers_of
from spikeworks.data.esc10 import Clip
from spikeworks.data.mixing import active_rms
from spikeworks.data.ndns import find_clips
from spikeworks.data.stft import Stft
from spikeworks.measure.signal import si_snr
from spikeworks.tasks import SPLITS
from spikeworks.tasks.denoise_digits import DenoiseDigitsConfig
from spikeworks.tasks.denoise_noises import KINDS, recorded_noises
from spikeworks.tasks.denoising import DenoisingTask, Front
from spikeworks.tasks.ndns import NdnsConfig

FRONT = Front(Stft(window=32, hop=8), "cumulative")
BRIEF = {"train_size": 12, "validation_size": 6, "test_size": 6, "train_seconds": 1.0, "test_seconds": 1.0}


class Bare(DenoisingTask):
    """A task without data."""

    def _load(self, split):
        return {}


def bare(mask="magnitude", snr_weight=0.001, taps=1) -> Bare:
    return Bare(NdnsConfig(mask=mask, taps=taps), FRONT, Mask(mask, taps), snr_weight, rate=8000, steps=None)


def pairs(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    clean = [torch.randn(n, generator=generator) for n in lengths]
    return [torch.stack([w, w + 0.5 * torch.randn(len(w), generator=generator)]) for w in clean]


# -- batches and masks ---------------------------------------------------------------------------


def test_a_batch_carries_both_waves_and_what_is_heard():
    batch = FRONT.join(pairs(170, 163, 96))
    assert batch.target.shape == (3, 2, 168) and batch.x.shape == (22, 3, 17) and batch.count == 3
    assert batch.mask is not None and batch.mask.sum(0).tolist() == [22, 21, 13]  # 168, 160 and 96 samples
    assert not batch.target[2, :, 96:].any() and not batch.x[13:, 2].any()
    assert FRONT.join(pairs(80, 80)).mask is None


def test_a_padded_batch_hears_what_each_clip_hears_alone():
    whole = pairs(160, 96)
    batch = FRONT.join(whole)
    for i, pair in enumerate(whole):
        alone = FRONT.join([pair]).x
        torch.testing.assert_close(batch.x[: len(alone), i], alone[:, 0])


@pytest.mark.parametrize(("mask", "taps"), [("magnitude", 1), ("complex", 1), ("complex", 3)])
def test_an_untrained_answer_lets_the_noisy_wave_through(mask, taps):
    task, batch = bare(mask, taps=taps), FRONT.join(pairs(160, 96))
    estimate, _, noisy, lengths = task.waves(torch.zeros(21, 2, task.signature.outputs), batch)
    assert lengths is not None and lengths.tolist() == [160, 96]
    torch.testing.assert_close(estimate, noisy, rtol=0, atol=1e-5)


def test_a_complex_mask_can_give_the_clean_wave():
    task, batch = bare("complex"), FRONT.join([pair.double() for pair in pairs(160)])
    stft = FRONT.stft
    ratio = stft(batch.target[:, 0]) / stft(batch.target[:, 1])
    answer = torch.cat([ratio.real - 1, ratio.imag], 2)
    estimate, clean, _, _ = task.waves(answer, batch)
    assert si_snr(estimate, clean).item() > 99
    meter = task.meter()
    meter.update(answer, batch)
    figures = meter.compute()
    assert figures["si_snr"] > 99 and figures["si_snr_improvement"] > 90


def test_the_loss_is_its_definition():
    task, batch = bare(snr_weight=0.3), FRONT.join(pairs(1600, 1600))
    output = torch.randn(201, 2, 17, generator=torch.Generator().manual_seed(1))
    estimate, clean, _, _ = task.waves(output, batch)
    losses = []
    for found, wanted in zip(estimate, clean, strict=True):
        window = torch.hann_window(128)
        a, b = (
            torch.stft(w, 128, 32, window=window, center=True, pad_mode="constant", return_complex=True)
            for w in (found, wanted)
        )
        spectral = (a - b).real.abs().mean() + (a - b).imag.abs().mean() + (a.abs() - b.abs()).abs().mean()
        losses.append(spectral + 0.3 * (100 - si_snr(found[None], wanted[None])[0]))
    torch.testing.assert_close(task.loss(output, batch), torch.stack(losses).mean(), rtol=1e-5, atol=1e-6)


def test_the_loss_of_a_padded_batch_is_the_mean_over_its_clips():
    task, whole = bare(), pairs(1600, 960)
    output = torch.randn(201, 2, 17, generator=torch.Generator().manual_seed(1))
    alone = [task.loss(output[: len(pair[0]) // 8 + 1, i : i + 1], FRONT.join([pair])) for i, pair in enumerate(whole)]
    torch.testing.assert_close(task.loss(output, FRONT.join(whole)), torch.stack(alone).mean(), rtol=1e-5, atol=1e-6)


def test_gradients():
    task, batch = bare(), FRONT.join([pair.double() for pair in pairs(32, 24)])
    output = torch.randn(5, 2, 17, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: task.loss(y, batch), output)


def test_an_answer_for_the_whole_clip_is_refused():
    with pytest.raises(ShapeError, match=r"(?s)expected a mask for every frame, \[11, 1, 17\], got \[1, 17\].*'every'"):
        bare().loss(torch.zeros(1, 17), FRONT.join(pairs(80)))


def test_random_targets_have_the_length_of_their_frames():
    task = bare()
    target = task.random_target(21, 3, torch.Generator().manual_seed(0))
    assert target.shape == (3, 2, 160)
    assert torch.isfinite(task.loss(torch.zeros(21, 3, 17), Batch(torch.zeros(21, 3, 17), target)))


# -- denoise-digits ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(data_set, data_root):
    data_set("fsdd"), data_set("esc10")
    return {noise: DenoiseDigitsConfig(noise=noise, **BRIEF).build(data_root) for noise in ("unseen", "seen")}


@pytest.mark.parametrize("noise", ["unseen", "seen"])
def test_speakers_kinds_and_recordings_of_the_splits(digits, noise):
    task = digits[noise]
    kinds: dict[str, set] = {}
    sources: dict[str, set] = {}
    for split in SPLITS:
        task.data(split)
        mixer = task._mixers[split]
        (recordings,) = mixer.sources
        kinds[split] = {clip.category for clip in recordings}
        sources[split] = {clip.source for clip in recordings}
        said = {task.mixture(split, i)[1]["speaker"] for i in range(6)}
        assert said <= set(speakers_of()[split])
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not sources[one] & sources[other]
        assert bool(kinds[one] & kinds[other]) == (noise == "seen")
    assert kinds["train"] == set(KINDS["train"])


def test_a_rotation_moves_the_speakers_on_and_leaves_the_noises(digits, data_root):
    turned = DenoiseDigitsConfig(**BRIEF, noise="seen", rotation=2).build(data_root)
    for split in SPLITS:
        found = [turned.mixture(split, i)[1] for i in range(6)]
        assert {about["speaker"] for about in found} <= set(speakers_of(2)[split])
        plain = [digits["seen"].mixture(split, i)[1] for i in range(6)]
        assert [about["noise"] for about in found] == [about["noise"] for about in plain]


@pytest.mark.parametrize("noise", ["unseen", "seen"])
def test_made_noises_of_a_test_are_new_kinds_or_those_of_training(noise, data_set, data_root):
    data_set("fsdd")
    task = DenoiseDigitsConfig(noise=noise, source="made", **BRIEF).build(data_root)
    task.data("test")
    kinds = {split: {sound.category for sound in task._mixers[split].sources[0]} for split in SPLITS}
    assert len(kinds["train"]) == 9 and kinds["validation"] == kinds["train"]
    assert kinds["test"] == (kinds["train"] if noise == "seen" else {"siren", "fan"})
    mixture, about = task.mixture("test", 1)
    ratio = 20 * np.log10(active_rms(mixture.clean, 8000) / active_rms(mixture.noise, 8000))
    assert ratio == pytest.approx(about["snr"], abs=0.05) and about["noise"] in kinds["test"]


def test_both_sources_have_half_of_the_clips_each(data_set, data_root):
    data_set("fsdd")
    data_set("esc10")
    task = DenoiseDigitsConfig(noise="seen", source="both", **BRIEF | {"train_size": 60}).build(data_root)
    task.data("train")
    kinds = [task.mixture("train", i)[1]["kind"] for i in range(60)]
    recorded = [kind for kind in kinds if kind in KINDS["train"]]
    assert 18 <= len(recorded) <= 42 and len(set(recorded)) > 3 and len(set(kinds) - set(recorded)) > 5


def test_the_same_noise_trains_both_variants(digits):
    mine, theirs = (digits[noise].mixture("train", 3, draw=7)[0] for noise in ("seen", "unseen"))
    assert torch.equal(mine.noisy, theirs.noisy)


def test_clips_have_the_ratio_that_they_say(digits):
    task = digits["seen"]
    found = [task.mixture("test", i) for i in range(6)]
    for mixture, about in found:
        ratio = 20 * np.log10(active_rms(mixture.clean, 8000) / active_rms(mixture.noise, 8000))
        assert ratio == pytest.approx(about["snr"], abs=0.05) and -5 <= about["snr"] <= 19
        assert -35 <= about["level"] <= -16
        torch.testing.assert_close(mixture.noisy, mixture.clean + mixture.noise, rtol=0, atol=1e-6)
    batch = task.data("test").batch(task.data("test").plan(6)[0])
    cut = batch.target.shape[2]
    assert torch.equal(batch.target[2, 1], found[2][0].noisy[:cut])


def test_epochs_differ_and_a_plan_decides_what_is_mixed(digits):
    data = digits["seen"].data("train")
    first, again, other = (data.plan(4, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(data.batch(first).x, data.batch(again).x)
    same_position = other.clone()
    same_position[:, 0] = first[:, 0]
    assert not torch.equal(data.batch(first).x, data.batch(same_position).x)
    held = digits["seen"].data("test")
    shuffled = torch.cat(held.plan(6, torch.Generator().manual_seed(1)))
    order = shuffled[:, 0].argsort()
    assert torch.equal(held.batch(shuffled[order]).x, held.batch(held.plan(6)[0]).x)


def test_untrained_networks_improve_nothing(digits):
    task, data = digits["unseen"], digits["unseen"].data("validation")
    meter = task.meter()
    for item in data.plan(4):
        batch = data.batch(item)
        meter.update(torch.zeros(*batch.x.shape[:2], 129), batch)
    assert abs(meter.compute()["si_snr_improvement"]) < 1e-3


def clip(category: str, fold: int, source: str) -> Clip:
    return Clip(f"{category}{fold}", fold, source, 0, category, torch.ones(8))


def test_a_recording_in_two_splits_is_refused():
    clips = [clip(kind, 1, f"{kind}-{split}") for split in SPLITS for kind in KINDS[split]]
    assert len(recorded_noises(clips, "unseen")["train"]) == 6
    clips[-1] = dataclasses.replace(clips[-1], source="rain-train")
    with pytest.raises(DataError, match=r"splits train and test share 1 recording\(s\): rain-train"):
        recorded_noises(clips, "unseen")
    with pytest.raises(DataError, match="no clip of rain, .* is there for the split validation"):
        recorded_noises(clips, "seen")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": "both"}, "noise is one of 'unseen', 'seen', got 'both'"),
        ({"rotation": 6}, "rotation is a number from 0 to 5, got 6"),
        ({"colour": 1.0}, "from 0 to below 1"),
        ({"speeds": (1.2, 0.8)}, "from the slowest to the fastest"),
        ({"source": "air"}, "source is one of 'esc10', 'made', 'both', got 'air'"),
        ({"mask": "phase"}, "mask is 'magnitude' or 'complex', got 'phase'"),
        ({"mask": "complex", "taps": 0}, "at least one tap"),
        ({"taps": 3}, "a magnitude mask exactly one"),
        ({"level": "loud"}, "level is 'cumulative' or 'raw', got 'loud'"),
        ({"snr_weight": -1.0}, "snr_weight is a number from 0 on"),
        ({"snr_low": 5, "snr_high": 0}, "snr runs from low to high"),
        ({"test_seconds": 0.1}, "clips last from 0.5 to 60 seconds"),
        ({"train_size": 0}, "at least one clip"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ConfigError, match=message):
        DenoiseDigitsConfig(**options)


# -- ndns ----------------------------------------------------------------------------------------


def test_ndns_crops_to_train_and_hears_whole_clips_else(tmp_path):
    written = write_ndns(tmp_path)
    task = NdnsConfig(crop=0.5).build(tmp_path)
    train, test = task.data("train"), task.data("test")
    plan = train.plan(3, torch.Generator().manual_seed(0))
    assert train.batch(plan[0]).x.shape == (1 + 8000 // 128, 3, 257)
    assert not torch.equal(train.batch(plan[0]).target, train.batch(train.plan(3)[0]).target)
    batch = test.batch(test.plan(2)[0])
    assert batch.x.shape == (3751, 2, 257) and batch.mask is None and task.shared == 0
    assert np.array_equal(batch.target[1, 0, :16_000].numpy(), written["test_set_1"][1]["clean"].astype(np.float32))
    assert task.front.stft.latency / task.rate == 0.032  # as the challenge counts it
    assert NdnsConfig().build(tmp_path).data("train").batch(plan[0]).x.shape[0] == 751


def test_a_crop_is_a_part_of_its_clip(tmp_path):
    for folder in ("training_set", "validation_set", "test_set_1"):
        number = len(folder)
        write_clip(tmp_path / "ndns" / folder, number, folder, seconds=30)
    task = NdnsConfig(crop=0.512).build(tmp_path)
    data = task.data("train")
    (item,) = data.plan(1, torch.Generator().manual_seed(0))
    crop, whole = data.batch(item).target[0, 1], find_clips(tmp_path)["train"][0].read()[1]
    starts = (whole == crop[0]).nonzero().flatten().tolist()
    assert any(torch.equal(whole[s : s + len(crop)], crop) for s in starts)


def test_clips_with_the_sources_of_another_set_do_not_train(tmp_path):
    write_ndns(tmp_path)
    write_clip(tmp_path / "ndns" / "training_set", 5, "book_10_snr_street_10", snr=0)
    clean, paper = (NdnsConfig(protocol=name).build(tmp_path) for name in ("clean", "paper"))
    assert len(clean.data("train")) == 3 and len(paper.data("train")) == 4
    assert clean.shared == paper.shared == 1


def test_options_of_ndns():
    with pytest.raises(ConfigError, match="a crop lasts from 0.5 to 30 seconds, got 31"):
        NdnsConfig(crop=31)
    with pytest.raises(ConfigError, match="protocol is 'clean' or 'paper'"):
        NdnsConfig(protocol="nsa")  # type: ignore[arg-type]


def test_training_alone_varies_speed_and_colour_of_voices(data_set, data_root):
    data_set("fsdd"), data_set("esc10")
    plain = DenoiseDigitsConfig(**BRIEF, speeds=(1.0, 1.0), colour=0.0).build(data_root)
    varied = DenoiseDigitsConfig(**BRIEF).build(data_root)
    for split, same in (("train", False), ("validation", True), ("test", True)):
        waves = [task.mixture(split, 2)[0].clean for task in (plain, varied)]
        assert torch.equal(*waves) == same
    coloured = DenoiseDigitsConfig(**BRIEF, speeds=(1.0, 1.0)).build(data_root).mixture("train", 2)[0].clean
    before, after = (torch.fft.rfft(w).abs() for w in (plain.mixture("train", 2)[0].clean, coloured))
    assert not torch.allclose(before, after, rtol=0.1)
