from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.data.raw_dvs_lip import write_dvs_lip

from spikeworks.core.errors import DataError
from spikeworks.data.dvs_lip import WORDS, load_dvs_lip
from spikeworks.data.event_clips import EventClips

SOME = WORDS[:2]


@pytest.fixture
def tree(tmp_path):
    write_dvs_lip(tmp_path, SOME)
    return tmp_path


def test_words():
    assert len(WORDS) == 100 and list(WORDS) == sorted(set(WORDS))
    assert (WORDS[0], WORDS[-1], WORDS.index("water")) == ("accused", "young", 94)


def test_counts_equal_the_events_kept(tree):
    places, classes, names = load_dvs_lip(tree, "train", SOME, steps=40, width=6000.0, inner=96)
    assert classes.tolist() == [0, 0, 0, 1, 1, 1] and names[:2] == ["accused/0", "accused/1"]
    data = EventClips(places, classes, 40, 96)
    for i, name in enumerate(names):
        raw = np.load(tree / "dvs_lip/train" / f"{name}.npy")
        kept = (np.round(raw["t"] / 6000) < 40) & (abs(raw["x"] - 63.5) < 48) & (abs(raw["y"] - 63.5) < 48)
        clip = data.clip(i)
        assert 0 < kept.sum() == int(clip.abs().sum())
        assert (
            int(clip[:, 0].sum()) == (raw["p"][kept] == 1).sum()
            and int(clip[:, 1].sum()) == -(raw["p"][kept] == 0).sum()
        )


def test_wanted_words_only(tree):
    _, classes, names = load_dvs_lip(tree, "test", ("action",), steps=4, width=6000.0, inner=96)
    assert classes.tolist() == [0, 0, 0] and torch.equal(classes, torch.zeros(3, dtype=torch.int64))
    assert {name.split("/")[0] for name in names} == {"action"}


def test_damage(tree):
    folder = tree / "dvs_lip/train"
    whole = (folder / "action/1.npy").read_bytes()

    def refused(message, words=SOME):
        with pytest.raises(DataError, match=message):
            load_dvs_lip(tree, "train", words, steps=4, width=6000.0, inner=96)

    (folder / "action/1.npy").write_bytes(whole[:-9])
    refused("1 of 6 DVS-Lip clips cannot be used, the other 5 are fine. The first: .*action/1.npy is damaged")
    (folder / "action/1.npy").write_bytes(whole)
    refused("train has no clips of 1 words: allow", WORDS[:3])
    (folder / "accused").rename(folder / "acused")
    refused("1 of 2 folders are none of the 100 words, the other 1 are fine. The first: .*train/acused")
