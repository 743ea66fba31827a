from __future__ import annotations

import numpy as np
import pytest
import soundfile

from spikeworks.core.errors import DataError
from spikeworks.data.esc10 import load_esc10


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "esc10"
    (folder / "audio").mkdir(parents=True)
    names = [f"{fold}-{100 + fold}-A-{target}.flac" for fold in (1, 2) for target in (0, 3)]
    for i, name in enumerate(names):
        noise = np.random.default_rng(i).normal(0, 0.1, 900)
        soundfile.write(folder / "audio" / name, noise, 8000, subtype="PCM_16")
    rows = [f"{name},{name[0]},{name[-6]},sound,0.1,0" for name in reversed(names)]
    (folder / "meta.csv").write_text("\n".join(["filename,fold,target,category,seconds,sha1", *rows]) + "\n")
    return tmp_path


def test_clips_by_name(tree):
    clips = load_esc10(tree)
    assert [(c.name, c.fold, c.source, c.target, c.category) for c in clips] == [
        (f"{fold}-{100 + fold}-A-{target}.flac", fold, f"{100 + fold}", target, "sound")
        for fold in (1, 2)
        for target in (0, 3)
    ]
    assert all(clip.wave.shape == (900,) for clip in clips)


def test_damage(tree):
    folder = tree / "esc10"
    meta = (folder / "meta.csv").read_text()
    (folder / "meta.csv").write_text(meta.replace("2-102-A-3.flac,2", "2-102-A-3.flac,1"))
    with pytest.raises(DataError, match="1 of 4 ESC-10 clips .* other 3 are fine. The first: .*row of 2-102-A-3.flac"):
        load_esc10(tree)
    (folder / "meta.csv").write_text(meta.replace("sound", ""))
    with pytest.raises(DataError, match="meta.csv, line 2: expected filename, fold, target and category"):
        load_esc10(tree)
    (folder / "meta.csv").write_text(meta)
    soundfile.write(folder / "audio" / "1-101-A-3.flac", np.zeros(900), 16_000, subtype="PCM_16")
    with pytest.raises(DataError, match="1 of 4 ESC-10 clips .* rate of 8000 Hz, got 16000"):
        load_esc10(tree)
    (folder / "audio" / "1-101-A-3.flac").unlink()
    with pytest.raises(DataError, match="1 of 4 clips of .*meta.csv are missing in .*audio: 1-101-A-3.flac"):
        load_esc10(tree)


def test_the_real_set(data_set, data_root):
    data_set("esc10")
    clips = load_esc10(data_root)
    assert len(clips) == 400 and {clip.fold for clip in clips} == {1, 2, 3, 4, 5}
    assert [sum(clip.target == k for clip in clips) for k in range(10)] == [40] * 10
    folds = {}
    for clip in clips:
        folds.setdefault(clip.source, set()).add(clip.fold)
    assert all(len(found) == 1 for found in folds.values())
