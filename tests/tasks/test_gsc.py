from __future__ import annotations

import pytest
import torch
from tests.data.raw_sloclas import write_wav
from tests.data.raw_speech_commands import SPEAKERS, command, write_speech_commands
from tests.tasks.learn import learn

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data.mel_power import mel_power
from spikeworks.data.speech_commands import TEN, WORDS, read_command
from spikeworks.tasks import SPLITS
from spikeworks.tasks.gsc import TWELVE, GscConfig

SOME = (*TEN, "bed", "cat", "dog")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("gsc")
    write_speech_commands(root, SOME)
    return root


def counts(task, split):
    return torch.bincount(task.data(split).targets, minlength=task.signature.outputs).tolist()


def test_clean_words_of_listed_speakers(tree):
    task = GscConfig().build(tree)
    assert task.signature.classes == WORDS and task.signature.steps == 101
    for split in SPLITS:
        data = task.data(split)
        expected = len(SPEAKERS[split]) * (1 if split == "train" else 2)
        assert counts(task, split) == [expected if word in SOME else 0 for word in WORDS]
        assert {one.speaker for one in task.members[split]} == set(SPEAKERS[split])
        x = data.batch(torch.arange(len(data))).x
        assert x.shape == (101, len(data), 40) and x.dtype == torch.float32
        torch.testing.assert_close(x.mean((0, 2)), torch.zeros(len(data)), atol=1e-3, rtol=0)
        torch.testing.assert_close(x.std((0, 2)), torch.ones(len(data)), atol=1e-3, rtol=0)


def test_clean_twelve_classes_have_few_unknown_and_silence(tree):
    task = GscConfig(classes=12).build(tree)
    assert task.signature.classes == TWELVE
    assert counts(task, "train") == [6, 6, *[6] * 10]  # a tenth of 60
    assert counts(task, "validation") == counts(task, "test") == [2, 2, *[2] * 10]
    again, other = GscConfig(classes=12).build(tree), GscConfig(classes=12, seed=1).build(tree)
    assert torch.equal(task.data("test").inputs, again.data("test").inputs)
    assert not torch.equal(task.data("test").inputs[-2:], other.data("test").inputs[-2:])
    silent = {row.numpy().tobytes() for split in SPLITS for row in task.data(split).inputs[-2:]}
    assert len(silent) == 6


def test_paper_tests_on_the_validation_list_without_a_logarithm(tree):
    task = GscConfig(protocol="paper", classes=12).build(tree)
    assert counts(task, "train") == [3 * 5, 0, *[5] * 10] and counts(task, "validation") == [3, 0, *[1] * 10]
    assert {one.speaker for one in task.members["test"]} == set(SPEAKERS["validation"])
    one = task.members["test"][3]
    power = mel_power(read_command(one.path), rate=16_000, points=480, hop=160, bands=40)
    expected = (power - power.mean()) / power.std()
    data = task.data("test")
    torch.testing.assert_close(data.batch(torch.tensor([3])).x[:, 0], expected, atol=1e-3, rtol=1e-3)
    assert data.targets[3] == (TWELVE.index(one.word) if one.word in TEN else 0)


@pytest.mark.parametrize("protocol", ["clean", "paper"])
def test_short_long_and_silent_recordings(tmp_path, protocol):
    folder = write_speech_commands(tmp_path, ("yes", "no"), samples=16_000)
    for name, samples in (("b0000001_nohash_0", 8000), ("b0000001_nohash_1", 17_000)):
        write_wav(folder / "yes" / f"{name}.wav", command("yes", "b", 0, samples))
    write_wav(folder / "no" / "b0000001_nohash_0.wav", 0 * command("no", "b", 0, 100))
    task = GscConfig(protocol=protocol).build(tmp_path)
    split = "validation" if protocol == "clean" else "test"
    x = task.data(split).batch(torch.arange(4)).x
    assert x.shape == (101, 4, 40) and bool(torch.isfinite(x).all())
    names = [one.name for one in task.members[split]]
    assert not x[:, names.index("no/b0000001_nohash_0.wav")].any()
    short = x[60:, names.index("yes/b0000001_nohash_0.wav")]
    assert bool(short.any()) == (protocol == "clean")  # zeros behind the frames, or frames of silence


def test_damage_is_counted_and_speakers_stay_apart(tmp_path):
    folder = write_speech_commands(tmp_path, ("yes", "no"), samples=800)
    path = folder / "yes" / "c0000001_nohash_1.wav"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="1 of 4 Speech Commands v2 recordings cannot be used, the other 3 are fine"):
        GscConfig().build(tmp_path).data("test")
    write_wav(folder / "yes" / "c0000001_nohash_7.wav", command("yes", "c", 7, 800))  # tested, and now trained on
    with pytest.raises(DataError, match=r"gsc: the splits test and train share 1 speaker\(s\): c0000001"):
        GscConfig().build(tmp_path).data("train")


def test_refusals(tmp_path):
    for wrong in ({"classes": 37}, {"protocol": "nsa"}):
        with pytest.raises(ConfigError, match="protocol is 'clean' or 'paper' and classes 12 or 35"):
            GscConfig(**wrong)
    for protocol in ("clean", "paper"):
        with pytest.raises(ConfigError, match="400 mel bands are too many"):
            GscConfig(protocol=protocol, bands=400)
    folder = write_speech_commands(tmp_path, TEN, samples=800)
    write_wav(folder / "_background_noise_" / "short.wav", command("yes", "c", 7, 16_000))
    with pytest.raises(DataError, match="its part for test has 1600 samples, less than 1 s"):
        GscConfig(classes=12).build(tmp_path).data("test")


def test_words_are_learnt(tree):
    assert learn(GscConfig().build(tree), updates=40, batch_size=32) > 0.5
