from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
import soundfile
import torch

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.models import StackConfig
from spikeworks.neurons import LIF
from spikeworks.tasks import SPLITS
from spikeworks.tasks.array_esc10 import ArrayEsc10Config

SMALL = {"angles": 8, "train_size": 640, "validation_size": 160, "test_size": 160}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Ten clips of half a second, two of one recording in each fold, in the layout of the set."""
    root = tmp_path_factory.mktemp("esc10")
    (root / "esc10/audio").mkdir(parents=True)
    rows = ["filename,fold,target,category"]
    for fold in range(1, 6):
        for take in "AB":
            name = f"{fold}-{100 + fold}-{take}-3.flac"
            draw = np.random.default_rng([fold, ord(take)])
            sound = draw.normal(0, 0.1, 4000) * (np.arange(4000) // 500 % 2)  # half of it is silent
            soundfile.write(root / "esc10/audio" / name, sound, 8000, subtype="PCM_16")
            rows.append(f"{name},{fold},3,helicopter")
    (root / "esc10/meta.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def built(root):
    return lambda **options: ArrayEsc10Config(**{**SMALL, **options}).build(root)


def whole(task, split):
    data = task.data(split)
    return data.batch(torch.arange(len(data)))


def test_splits_share_no_clip_and_no_recording(data_set, data_root):
    data_set("esc10")
    task = ArrayEsc10Config(**SMALL).build(data_root)
    task.data("train")
    assert [len(task.clips[split]) for split in SPLITS] == [240, 80, 80]
    sources = [{name.split("-")[1] for name in task.clips[split]} for split in SPLITS]
    assert not sources[0] & sources[1] and not sources[0] & sources[2] and not sources[1] & sources[2]


def test_paper_shares_clips_and_neighbours_but_no_window_and_clean_nothing(data_set, data_root):
    data_set("esc10")
    neighbours, clips = {}, {}
    for protocol in ("clean", "paper"):
        task = ArrayEsc10Config(**{**SMALL, "train_size": 1600, "protocol": protocol}).build(data_root)
        task.data("train")
        trained = set(task.spans["train"])
        assert not trained & set(task.spans["test"]) and len(task.spans["test"]) == 160
        clips[protocol] = {name for name, _, _ in task.spans["test"]} & {name for name, _, _ in trained}
        beside = [{(name, a - 500, b - 500), (name, a + 500, b + 500)} for name, a, b in task.spans["test"]]
        neighbours[protocol] = sum(bool(pair & trained) for pair in beside)
    assert not clips["clean"] and neighbours["clean"] == 0
    assert len(clips["paper"]) > 100 and neighbours["paper"] > 10


def test_a_recording_in_two_folds_is_refused(tmp_path, root):
    shutil.copytree(root / "esc10", tmp_path / "esc10")
    folder = tmp_path / "esc10"
    (folder / "audio/5-105-A-3.flac").rename(folder / "audio/5-101-A-3.flac")
    meta = folder / "meta.csv"
    meta.write_text(meta.read_text().replace("5-105-A", "5-101-A"))
    with pytest.raises(DataError, match=r"ESC-10: the splits train and test share 1 source\(s\): 101"):
        ArrayEsc10Config(**SMALL).build(tmp_path).data("train")


def test_windows_have_power_1_and_every_direction_equally(built):
    for split in SPLITS:
        batch = whole(built(), split)
        power = batch.x.square().mean((0, 2))
        torch.testing.assert_close(power, torch.ones_like(power))
        assert torch.bincount(batch.target).tolist() == [batch.size // 8] * 8


def test_arrival_times_tell_the_direction(built):
    """Without a network: the direction whose delays fit the phases best is the class, nearly always."""
    task = built(snr=60.0)
    batch = whole(task, "test")
    spectra = torch.fft.rfft(batch.x.double(), dim=0)  # [F, B, 4]
    frequencies = torch.fft.rfftfreq(500, 1 / 16_000, dtype=torch.float64)
    azimuths = (torch.arange(8, dtype=torch.float64) + 1) * math.pi / 4
    late = task.array.delays(azimuths)  # [8, 4]
    steered = torch.polar(torch.ones(()).double(), 2 * math.pi * frequencies[:, None, None] * late)
    power = torch.einsum("fbm,fkm->fbk", spectra, steered).abs().square().sum(0)
    assert (power.argmax(1) == batch.target).double().mean() > 0.9


def test_noise_has_its_level_and_kind(built):
    quiet = whole(built(snr=200.0, nearest=1.0, farthest=1.0), "test").x
    for kind in ("incoherent", "diffuse", "both"):
        noisy = whole(built(snr=0.0, noise=kind, nearest=1.0, farthest=1.0), "test").x
        # both have power 1: signal s and noise n of equal power give a correlation of 1 / sqrt 2
        correlation = (quiet * noisy).mean((0, 2)).mean()
        assert 0.66 < correlation < 0.76
    far = whole(built(snr=0.0, noise="incoherent", nearest=4.0, farthest=4.0), "test").x
    assert 0.18 < (quiet * far).mean((0, 2)).mean() < 0.30  # 1 / sqrt(1 + 16) = 0.24


def test_nsa_layout_is_the_reshape(built):
    time, nsa = whole(built(), "test").x, whole(built(layout="nsa"), "test").x
    assert torch.equal(nsa, time.permute(1, 2, 0).reshape(-1, 500, 4).transpose(0, 1))


def test_refusals():
    for wrong in (
        {"angles": 10}, {"layout": "x"}, {"protocol": "nsa"},
        {"noise": "loud"}, {"nearest": 0.0}, {"nearest": 3.0, "farthest": 2.0},
        {"snr": math.inf}, {"train_size": 100}, {"test_size": 0},
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="array-esc10"):
            ArrayEsc10Config(**wrong)


def test_a_small_network_learns(data_set, data_root):
    """Two passes over a few windows tell eight directions far better than chance (0.125)."""
    data_set("esc10")
    task = ArrayEsc10Config(**{**SMALL, "train_size": 1600, "snr": 20.0}).build(data_root)
    config = StackConfig(hidden=(64,), neuron=LIF.Config(decay=0.6, threshold=0.5))
    network = config.build(4, 8, torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=0)
    train = task.data("train")
    for epoch in range(2):
        for item in train.plan(32, torch.Generator().manual_seed(epoch)):
            batch = train.batch(item)
            optimizer.zero_grad()
            task.loss(network(batch.x)[0], batch).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
    batch = whole(task, "validation")
    with torch.no_grad():
        assert (network(batch.x)[0].argmax(1) == batch.target).float().mean() > 0.3
