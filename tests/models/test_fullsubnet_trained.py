"""Spiking-FullSubNet learns to denoise a speaker whom it has never heard."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from spikeworks.arena.config import RunConfig
from spikeworks.arena.denoising import evaluate_denoiser
from spikeworks.arena.run import Run
from spikeworks.learning import BPTTConfig, Plan
from spikeworks.recipes import RECIPES
from spikeworks.tasks.denoise_digits import DenoiseDigitsConfig


def recipe(**options) -> tuple[RunConfig, DenoiseDigitsConfig]:
    """The recipe ``denoise`` on made noises, -5 to 10 dB, and its task with some options set."""
    config = RECIPES.get("denoise")()
    task = config.task
    assert isinstance(task, DenoiseDigitsConfig)
    task = dataclasses.replace(task, source="made", snr_high=10, **options)
    return dataclasses.replace(config, task=task), task


def test_a_few_updates_help_a_new_speaker(data_root, data_set):
    data_set("fsdd")
    config, task = recipe(train_size=16 * 24, validation_size=1, test_size=12)
    built = task.build(data_root)
    network = Run(config).network(built)
    data = built.data("train")
    items = data.plan(16, torch.Generator().manual_seed(0))
    plan = Plan.of_one(data.batch(items[0]), config.optimizer)
    learner = BPTTConfig().build(network, built, plan)
    for item in items:
        learner.update(data.batch(item))
    assert evaluate_denoiser(network, built).mean["si_snr_improvement"] > 1.5


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_recipe_gains_six_decibels_for_a_new_speaker_and_three_in_new_noise(data_root, data_set, tmp_path: Path):
    data_set("fsdd")
    config, task = recipe()
    run = Run(config, tmp_path, data_root)
    assert run.execute()["test"]["si_snr_improvement"] >= 6
    new = dataclasses.replace(task, noise="unseen").build(data_root)
    assert evaluate_denoiser(run.trained(), new).mean["si_snr_improvement"] >= 3
