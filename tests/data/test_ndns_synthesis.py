"""Clips made by the challenge's recipe are read back as its clips, with the ratios and levels that their names say."""

from __future__ import annotations

import re

import numpy as np
import pytest
import soundfile
import torch

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data.mixing import active_rms
from spikeworks.data.ndns import find_clips
from spikeworks.data.ndns_synthesis import synthesize

SECOND = 16_000


@pytest.fixture
def folders(tmp_path):
    draw = np.random.default_rng(0)
    for folder, count in (("speech", 10), ("sounds", 5)):
        for k in range(count):
            path = tmp_path / folder / f"reader{k}" / f"{folder}_{k}.wav"
            path.parent.mkdir(parents=True)
            wave = 0.3 * np.sin(np.arange(SECOND) * (0.05 + 0.01 * k)) + 0.02 * draw.standard_normal(SECOND)
            soundfile.write(path, wave, SECOND, subtype="PCM_16")
    return tmp_path


def make(folders, out="out", **options):
    clips = {"train": 3, "validation": 1, "test": 2}
    return synthesize(folders / "speech", folders / "sounds", folders / out, clips, samples=2 * SECOND, **options)


def test_clips_are_read_back_with_what_their_names_say(folders):
    make(folders)
    found = find_clips(folders / "out")
    assert [len(found[split]) for split in ("train", "validation", "test")] == [3, 1, 2]
    for clips in found.values():
        for clip in clips:
            clean, noisy = (wave[: 2 * SECOND] for wave in clip.read())
            noise, _ = soundfile.read(clip.noisy.parent.parent / "noise" / f"noise_fileid_{clip.number}.wav")
            assert torch.allclose(noisy, clean + torch.from_numpy(noise).float(), atol=2e-4)
            ratio = 20 * np.log10(active_rms(clean, SECOND) / active_rms(torch.from_numpy(noise), SECOND))
            level = 10 * np.log10(noisy.square().mean().item())
            assert ratio == pytest.approx(clip.snr, abs=0.3) and level == pytest.approx(clip.level, abs=0.1)
            assert -5 <= clip.snr <= 19 and -35 <= clip.level <= -16


def test_no_file_is_in_two_splits(folders):
    make(folders)
    for kind in ("speech", "sounds"):
        used = [
            {number for clip in clips for number in re.findall(rf"{kind}_(\d+)", clip.sources)}
            for clips in find_clips(folders / "out").values()
        ]
        assert all(used) and not used[0] & used[1] and not used[0] & used[2] and not used[1] & used[2]


def test_a_cut_synthesis_goes_on_and_the_same_seed_writes_the_same(folders):
    first, again, other = make(folders), make(folders, "again"), make(folders, "other", seed=1)
    read = {name: {p.relative_to(path): p.read_bytes() for p in path.rglob("*.wav")} for name, path in
            (("first", first), ("again", again), ("other", other))}  # fmt: skip
    assert read["first"] == read["again"] != read["other"]
    gone = next((first / "training_set" / "clean").iterdir())
    gone.unlink()
    told: list[int] = []
    make(folders, progress=lambda split, number: told.append(number))
    assert told == [int(gone.stem.split("_")[-1])]
    assert {p.relative_to(first): p.read_bytes() for p in first.rglob("*.wav")} == read["again"]


def test_the_challenges_own_ratio_is_another(folders):
    draw = np.random.default_rng(1)
    for path in (folders / "sounds").rglob("*.wav"):  # flat against its peak, unlike the speech
        soundfile.write(path, np.sign(draw.standard_normal(SECOND)) * 0.5, SECOND, subtype="PCM_16")
    made = [next((make(folders, mode, mode=mode) / "test_set_1" / "noise").iterdir()) for mode in ("true", "dns")]
    assert made[0].read_bytes() != made[1].read_bytes()


def test_what_cannot_be_made_is_said(folders):
    with pytest.raises(ConfigError, match="Clips are for train, validation, test"):
        synthesize(folders / "speech", folders / "sounds", folders / "out", {"dev": 1})
    with pytest.raises(DataError, match=r"holds 0 file\(s\) of noise; each of three splits"):
        synthesize(folders / "speech", folders / "nothing", folders / "out", {"train": 1})
    for path in (folders / "speech").rglob("*.wav"):
        soundfile.write(path, np.zeros(SECOND), SECOND, subtype="PCM_16")
    with pytest.raises(DataError, match="with enough sound"):
        make(folders)
