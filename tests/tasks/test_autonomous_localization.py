from __future__ import annotations

import hashlib

import pytest
import torch

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.tasks import AutonomousLocalizationConfig
from spikeworks.tasks.autonomous_localization import (
    FORWARD,
    LEFT,
    RIGHT,
    STOP,
    expand_actions,
    final_positions,
    localization_labels,
)

LETTERS = {"S": STOP, "F": FORWARD, "L": LEFT, "R": RIGHT}
STEP = {0: (0, 1), 1: (1, 0), 2: (0, -1), 3: (-1, 0)}


def walk(actions):
    """The definition, one action after the other."""
    x = y = heading = 0
    for action in actions:
        if action == FORWARD:
            x, y = x + STEP[heading][0], y + STEP[heading][1]
        elif action == LEFT:
            heading = (heading - 1) % 4
        elif action == RIGHT:
            heading = (heading + 1) % 4
    return x, y


@pytest.mark.parametrize(
    ("letters", "label"),
    [("RF", 1), ("LF", 0), ("FF", 0), ("RRF", 0), ("LLLF", 1), ("RFLLF", 0), ("RFRRF", 0), ("RFFRRF", 1)],
)
def test_vectors_of_the_source(letters, label):
    actions = torch.tensor([[LETTERS[letter] for letter in letters]], dtype=torch.uint8)
    assert localization_labels(actions).tolist() == [label]


def test_vectorised_equals_the_loop_on_1000_sequences():
    generator = torch.Generator().manual_seed(0)
    actions = torch.randint(0, 4, (1000, 61), generator=generator, dtype=torch.uint8)
    assert final_positions(actions).tolist() == [list(walk(row)) for row in actions.tolist()]


@pytest.fixture(scope="module")
def task():
    return AutonomousLocalizationConfig().build()


def test_statistics_of_the_published_size(task):
    train = task.data("train")
    assert train.inputs.shape == (50_000, 400) and train.inputs.dtype == torch.uint8
    assert abs(train.targets.double().mean().item() - 0.494) < 0.01
    assert abs((final_positions(train.inputs)[:, 0] == 0).double().mean().item() - 0.013) < 0.003
    share = torch.bincount(train.inputs.flatten(), minlength=4).double() / train.inputs.numel()
    assert torch.allclose(share, torch.tensor([0.45, 0.45, 0.05, 0.05], dtype=torch.float64), atol=5e-4)
    assert [len(task.data(split)) for split in ("validation", "test")] == [5_000, 5_000]


def test_same_seed_same_bytes():
    options = {"steps": 50, "capacity": 5.0, "train_size": 64, "validation_size": 32, "test_size": 32}
    digests = [
        hashlib.sha256(
            AutonomousLocalizationConfig(seed=seed, **options).build().data("train").inputs.numpy()
        ).hexdigest()
        for seed in (0, 0, 1)
    ]
    assert digests[0] == digests[1] != digests[2]
    assert digests[0] == GOLDEN


GOLDEN = "fc4c73323cd5a600ab92db0bb8a91daf05b837ccf297d2eedef0a8bd5927f476"


def test_splits_stay_disjoint_where_sequences_are_few():
    task = AutonomousLocalizationConfig(
        steps=6, capacity=2.0, train_size=500, validation_size=100, test_size=100
    ).build()
    rows = {
        split: {tuple(row) for row in task.data(split).inputs.tolist()} for split in ("train", "validation", "test")
    }
    assert not rows["train"] & rows["validation"]
    assert not rows["train"] & rows["test"]
    assert not rows["validation"] & rows["test"]
    assert [len(task.data(split)) for split in rows] == [500, 100, 100]
    with pytest.raises(ConfigError, match="after 100 rounds .* too few different sequences|longer T"):
        AutonomousLocalizationConfig(
            steps=1, capacity=0.25, train_size=100, validation_size=100, test_size=100
        ).build().data("train")


def test_input_is_one_hot_and_stop_is_zero():
    x = expand_actions(torch.tensor([[STOP, FORWARD, LEFT, RIGHT]], dtype=torch.uint8))
    assert x.shape == (4, 1, 3) and x.dtype == torch.float32
    assert x[:, 0].tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_errors():
    with pytest.raises(ConfigError, match="capacity above 0 and up to half"):
        AutonomousLocalizationConfig(steps=20, capacity=11.0)
    with pytest.raises(ConfigError, match="test_size must be at least 1, got 0"):
        AutonomousLocalizationConfig(test_size=0)
    with pytest.raises(DataError, match="Actions run from 0 to 3, got 4"):
        final_positions(torch.tensor([[4]], dtype=torch.uint8))
