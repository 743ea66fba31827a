"""Trimming, joining, and who speaks where."""

from __future__ import annotations

import pytest
import torch

from spikeworks.data.digit_speech import RATE, ROTATIONS, at_speed, joined, load_digit_speech, speakers_of, trimmed


def test_trimmed():
    wave = torch.zeros(1000)
    wave[300:400] = torch.linspace(-1, 1, 100)
    wave[100] = 0.004  # below -45 dB
    found = trimmed(3 * wave)
    assert len(found) == 100 and float(found.abs().max()) == pytest.approx(1, abs=0.01)
    assert not trimmed(torch.zeros(5)).any()


def test_joined():
    generator = torch.Generator().manual_seed(0)
    whole = joined([torch.ones(10), torch.ones(20)], (0.05, 0.2), generator)
    edges = torch.nn.functional.pad(whole, (1, 1)).diff()
    starts, stops = edges.eq(1).nonzero().flatten().tolist(), edges.eq(-1).nonzero().flatten().tolist()
    gaps = [starts[0], starts[1] - stops[0], len(whole) - stops[1]]
    assert [b - a for a, b in zip(starts, stops, strict=True)] == [10, 20]
    assert all(0.05 * RATE <= gap <= 0.2 * RATE for gap in gaps)


@pytest.mark.parametrize("speed", [0.8, 1.0, 1.25])
def test_speed_changes_length_and_pitch(speed):
    tone = torch.sin(2 * torch.pi * 100 * torch.arange(RATE) / RATE)
    heard = at_speed(tone, speed)
    assert len(heard) == round(RATE / speed)
    assert int(torch.fft.rfft(heard).abs().argmax()) * RATE / len(heard) == pytest.approx(100 * speed, abs=1)


def test_every_speaker_is_in_one_split(data_set, data_root):
    data_set("fsdd")
    found = load_digit_speech(data_root)
    assert {split: tuple(voices) for split, voices in found.items()} == speakers_of()
    assert sum(len(takes) for voices in found.values() for takes in voices.values()) == 3000
    assert all(len(r.wave) > 500 and r.speaker == name for name, takes in found["test"].items() for r in takes)


def test_rotations_give_every_speaker_every_part_once():
    splits = [speakers_of(rotation) for rotation in range(ROTATIONS)]
    for split, times in (("train", 4), ("validation", 1), ("test", 1)):
        heard = [speaker for one in splits for speaker in one[split]]
        assert sorted(heard) == sorted(6 * times // len(set(heard)) * list(set(heard))) and len(set(heard)) == 6
    for one in splits:
        everyone = [speaker for members in one.values() for speaker in members]
        assert len(everyone) == len(set(everyone)) == 6
