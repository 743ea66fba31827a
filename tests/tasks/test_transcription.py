"""Transcription tasks: labels, lengths and splits are what was said; sets that CTC cannot align are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.data.raw_speech import write_aishell, write_wave

from spikeworks.core.batch import Batch
from spikeworks.core.errors import ConfigError, DataError, ShapeError
from spikeworks.data.digit_speech import load_digit_speech
from spikeworks.data.mel import LogMel
from spikeworks.measure.transcript import ctc_losses, edit_distance
from spikeworks.tasks import SPLITS
from spikeworks.tasks.aishell import AishellConfig
from spikeworks.tasks.digit_strings import NUMERALS, DigitStringsConfig
from spikeworks.tasks.transcription import join_frames

BRIEF = {"train_size": 12, "validation_size": 6, "test_size": 6}


def test_joined_frames():
    frames = torch.arange(14.0).reshape(7, 2)
    assert join_frames(frames, 3).tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert join_frames(frames[:2], 3).tolist() == [[0, 1, 2, 3, 0, 0]]
    assert join_frames(frames, 1) is frames


# -- digit-strings -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strings(data_set, data_root):
    data_set("fsdd")
    return DigitStringsConfig(**BRIEF).build(data_root)


def whole(task, split, generator=None):
    data = task.data(split)
    (item,) = data.plan(len(data), generator)
    return data.batch(item)


def test_strings_have_two_to_six_digits(strings):
    for split in SPLITS:
        batch = whole(strings, split)
        lengths = (batch.target >= 0).sum(1)
        assert int(lengths.min()) >= 2 and int(lengths.max()) <= 6
        assert int(batch.target.max()) <= 10 and not (batch.target == 0).any()  # no blank is ever said
        assert batch.mask is not None and bool((batch.mask.sum(0) > 2 * lengths).all())
    assert strings.signature.classes == ("blank", *NUMERALS) and len(NUMERALS) == 10


def test_frames_are_those_of_the_recordings(strings, data_root):
    """The test speaker's own recordings, found again in a string without silence and without scaling."""
    task = DigitStringsConfig(shortest=1, longest=1, silence_low=0, silence_high=0, stack=1, **BRIEF).build(data_root)
    batch = whole(task, "test")
    takes = load_digit_speech(data_root)["test"]["theo"]
    said = {take.wave: take.digit for take in takes}
    scaled = {digit: [] for digit in range(10)}
    for wave, digit in said.items():
        scaled[digit].append(task.scale(LogMel(rate=8000)(wave)))
    for i in range(6):
        frames = batch.x[: int(batch.mask[:, i].sum()), i]
        digit = int(batch.target[i, 0]) - 1
        assert any(torch.equal(frames, candidate) for candidate in scaled[digit])


def test_epochs_differ_in_strings_and_speed(strings):
    first, again, other = (whole(strings, "train", torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.x, again.x) and torch.equal(first.target, again.target)
    assert first.target.tolist() != other.target.tolist()


def test_the_loss_is_the_mean_over_strings_of_nats_a_label(strings):
    batch = whole(strings, "test")
    output = torch.randn(*batch.x.shape[:2], 11, generator=torch.Generator().manual_seed(0))
    lengths = (batch.target >= 0).sum(1)
    theirs = torch.nn.functional.ctc_loss(
        output.log_softmax(2), batch.target[batch.target >= 0], batch.mask.sum(0), lengths, reduction="mean"
    )
    torch.testing.assert_close(strings.loss(output, batch), theirs)
    torch.testing.assert_close(strings.loss(output, batch), (ctc_losses(output, batch) / lengths).mean())


def test_an_answer_for_the_whole_string_is_refused(strings):
    batch = whole(strings, "test")
    with pytest.raises(ShapeError, match="needs the readout 'every'"):
        strings.loss(torch.zeros(6, 11), batch)


def test_random_targets_have_a_path(strings):
    for steps in (1, 2, 9, 200):
        target = strings.random_target(steps, 4, torch.Generator().manual_seed(0))
        x = torch.zeros(steps, 4, 80)
        assert torch.isfinite(strings.loss(torch.zeros(steps, 4, 11), Batch(x, target)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shortest": 3, "longest": 2}, "strings have 1 to 50 digits, got 3 to 2"),
        ({"silence_low": -1.0}, "silences last from 0 to 5 s"),
        ({"stack": 0}, "stack counts the frames of a step"),
        ({"speeds": ()}, "speeds lie between 0.5 and 2"),
        ({"speeds": (1.0, 9.0)}, "speeds lie between 0.5 and 2"),
        ({"test_size": 0}, "at least one string"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ConfigError, match=message):
        DigitStringsConfig(**options)


# -- aishell -------------------------------------------------------------------------------------


def test_what_was_written_is_read(tmp_path):
    write_aishell(tmp_path)
    task = AishellConfig(characters=5, stack=2).build(tmp_path)
    batch = whole(task, "train")
    assert task.skipped == {"train": 1, "validation": 1, "test": 1}
    assert batch.x.shape == ((1 + (9600 - 512) // 128) // 2, 2, 160) and batch.x.dtype == torch.float32
    # two utterances, six characters, five labels: the last by code point shares the label of the unknown
    assert task.alphabet == tuple(sorted("而对楼市成交"))[:5]
    text = "".join(sorted("而对楼市成交"))[5]
    assert task.text(batch.target[0].tolist()) == "而对楼市成交".replace(text, "□")
    assert task.text(whole(task, "test").target[0].tolist()) == "对而□".replace(text, "□")
    assert task.signature.outputs == 7 and int(batch.target.max()) <= 6


def test_frames_are_those_of_the_file(tmp_path):
    base = write_aishell(tmp_path)
    task = AishellConfig(stack=1).build(tmp_path)
    batch = whole(task, "test")
    import soundfile

    wave, _ = soundfile.read(base / "wav" / "test" / "S0002" / "BAC009S0002W0001.wav", dtype="float32")
    frames = LogMel(rate=16_000, bands=80, window=0.032, hop=0.008)(torch.from_numpy(wave))
    torch.testing.assert_close(batch.x[:, 1], task.scale(frames))


def test_speeds_are_drawn_for_training_alone(tmp_path):
    write_aishell(tmp_path)
    task = AishellConfig(speeds=(0.5,)).build(tmp_path)
    drawn = torch.Generator().manual_seed(0)
    assert len(whole(task, "train", drawn).x) > 1.9 * len(whole(task, "train").x)
    assert len(whole(task, "test", drawn).x) == len(whole(task, "test").x)


def test_unknown_characters_never_count_as_right(tmp_path):
    write_aishell(tmp_path)
    task = AishellConfig(characters=5).build(tmp_path)
    batch = whole(task, "train")
    # the reference itself as an answer, one label a step with blanks between
    row = batch.target[0].tolist()
    path = [label for pair in zip(row, [0] * len(row), strict=True) for label in pair]
    output = 9 * torch.nn.functional.one_hot(torch.tensor(path), 7).float().unsqueeze(1)
    meter = task.meter()
    meter.update(output, Batch(torch.zeros(len(path), 1, 1), batch.target[:1]))
    assert meter.compute()["cer"] == edit_distance(row, [-1 if label == 1 else label for label in row]) / len(row) > 0


def test_a_text_too_long_for_its_recording(tmp_path):
    base = write_aishell(tmp_path)
    write_wave(base / "wav" / "dev" / "S0001" / "BAC009S0001W0001.wav", np.zeros(1500) + 0.1)
    with pytest.raises(
        DataError, match="1 of 2 utterances of validation are too short .* has 2 steps, its text needs 4"
    ):
        AishellConfig().build(tmp_path).data("train")
