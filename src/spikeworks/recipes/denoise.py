"""Denoising of speech that trains in minutes."""

from __future__ import annotations

import dataclasses

from ..arena.config import Budget, RunConfig
from ..arena.resolve import NeuronLike, describe_run
from ..tasks import task_for
from .registry import RECIPES


@RECIPES.register("denoise")
def denoise(neuron: NeuronLike | None = None, seed: int = 0) -> RunConfig:
    """Spiking-FullSubNet with 89 k parameters on spoken digits in noise at 8 kHz, filters of up to 3 taps.

    Half of the clips have recorded noise, half made one. The test split has a new speaker and other recordings of the
    kinds of noise that training heard; the ten minutes of training are of one-second clips.
    """
    task = task_for(
        "denoise-digits",
        noise="seen",
        source="both",
        mask="complex",
        taps=3,
        train_seconds=1.0,
        validation_size=60,
        snr_weight=0.05,
    )
    described = describe_run(
        task, neuron, network="spiking-fullsubnet", seed=seed, widths=(4, 16, 32), orders=(3, 1, 1)
    )
    return dataclasses.replace(described, budget=Budget(epochs=40, batch_size=16))
