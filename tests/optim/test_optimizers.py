"""Optimisers: groups, rates, and state that survives as flat tensors."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from spikeworks.core.config import from_dict, to_dict
from spikeworks.core.errors import ConfigError, RunError, UnknownName
from spikeworks.optim import (
    OPTIMIZERS,
    SPAM,
    AdamWConfig,
    OptimizerConfig,
    SGDConfig,
    SPAMConfig,
    StableSPAM,
    StableSPAMConfig,
    load_optimizer,
    optimizer_state,
)


def parameters() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(3, 2, generator=generator)), torch.nn.Parameter(torch.zeros(4))]


def advance(optimizer: torch.optim.Optimizer, held: list[torch.nn.Parameter], steps: range) -> None:
    for step in steps:
        for i, p in enumerate(held):
            p.grad = torch.full_like(p, 0.1 * (step + 1) + i)
        optimizer.step()


QUICK = SPAMConfig(reset_every=4, rewarm_steps=1, clip_holdoff=2)
CONFIGS = [
    AdamWConfig(weight_decay=0.1),
    SGDConfig(learning_rate=0.1),
    SGDConfig(momentum=0.9, nesterov=True),
    QUICK,
    dataclasses.replace(QUICK, density=0.5, weight_decay=0.1),
    StableSPAMConfig(reset_every=4, momentum_decay_steps=5),
]


@pytest.mark.parametrize("config", CONFIGS, ids=repr)
def test_stored_state_continues_bit_for_bit(config: OptimizerConfig) -> None:
    whole = parameters()
    advance(config.build([{"params": whole}]), whole, range(6))
    first = parameters()
    optimizer = config.build([{"params": first}])
    advance(optimizer, first, range(3))
    stored = {name: tensor.clone() for name, tensor in optimizer_state(optimizer).items()}
    again = config.build([{"params": first}])
    load_optimizer(again, stored)
    advance(again, first, range(3, 6))
    for a, b in zip(whole, first, strict=True):
        assert torch.equal(a, b)


def test_adamw_state_matters() -> None:
    config, held = AdamWConfig(), parameters()
    optimizer = config.build([{"params": held}])
    advance(optimizer, held, range(3))
    assert {"0.exp_avg", "0.exp_avg_sq", "0.step", "1.exp_avg"} <= optimizer_state(optimizer).keys()


def test_groups_scale_the_rate_and_choose_their_decay() -> None:
    a, b = parameters()
    config = AdamWConfig(learning_rate=0.5, weight_decay=0.2)
    optimizer = config.build([{"params": [a]}, {"params": [b], "lr_scale": 0.1, "weight_decay": 0.0}])
    assert config.set_rate(optimizer, 0.5) == 0.25
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.025]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.2, 0.0]


def test_state_of_another_network_is_refused() -> None:
    held = parameters()
    optimizer = AdamWConfig().build([{"params": held}])
    with pytest.raises(RunError, match=r"'7.exp_avg' fits none of 2 parameters"):
        load_optimizer(optimizer, {"7.exp_avg": torch.zeros(1)})
    with pytest.raises(RunError, match=r"expected shape \[3, 2\], got \[5\]"):
        load_optimizer(optimizer, {"0.exp_avg": torch.zeros(5)})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rate": -1.0}, "optimizer.learning_rate must be finite and not negative, got -1.0"),
        ({"learning_rate": float("nan")}, "optimizer.learning_rate must be finite"),
        ({"weight_decay": float("inf")}, "optimizer.weight_decay must be finite"),
        ({"clip": 0.0}, "optimizer.clip must be positive or None, got 0.0"),
    ],
)
def test_values_out_of_range_are_named(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AdamWConfig(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (SPAMConfig, {"beta1": 1.0}, r"SPAM: betas\[0\] must be"),
        (SPAMConfig, {"reset_every": 100}, "SPAM: rewarm_steps=150 must not exceed reset_every=100"),
        (SPAMConfig, {"threshold": 0.0}, "SPAM: threshold must be a number above 0"),
        (StableSPAMConfig, {"gammas": (0.7, 0.9, 1.0)}, r"StableSPAM: gammas\[2\] must be"),
    ],
)
def test_wrong_values_are_named_before_anything_is_built(
    kind: type[OptimizerConfig], values: dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**values)


def test_spam_gets_what_its_description_says() -> None:
    config = SPAMConfig(learning_rate=0.5, beta1=0.8, threshold=None, density=0.5, bias_correction="global", seed=3)
    matrix, vector = parameters()
    optimizer = config.build([{"params": [matrix, vector], "lr_scale": 0.1, "weight_decay": 0.2}])
    assert isinstance(optimizer, SPAM)
    first, second = optimizer.param_groups
    assert first["params"] == [matrix] and second["params"] == [vector]
    assert [first["density"], second["density"]] == [0.5, 1.0]
    for group in (first, second):
        assert group["lr"] == 0.05 and group["weight_decay"] == 0.2 and group["lr_scale"] == 0.1
        assert group["betas"] == (0.8, 0.999) and group["threshold"] == math.inf
        assert group["bias_correction"] == "global" and group["seed"] == 3
    assert isinstance(StableSPAMConfig().build([{"params": [matrix]}]), StableSPAM)


def test_moments_of_another_density_are_refused() -> None:
    held = parameters()
    dense, sparse = (dataclasses.replace(QUICK, density=d).build([{"params": held}]) for d in (1.0, 0.5))
    advance(dense, held, range(2))
    with pytest.raises(RunError, match=r"'0.exp_avg' expected shape \[3\], got \[3, 2\]"):
        load_optimizer(sparse, optimizer_state(dense))


def test_the_base_builds_nothing() -> None:
    with pytest.raises(ConfigError, match="describes no optimizer"):
        OptimizerConfig().build([{"params": parameters()}])


def test_descriptions_travel_through_json() -> None:
    for name in OPTIMIZERS:
        config = OPTIMIZERS.get(name)(learning_rate=0.25)
        assert from_dict(OptimizerConfig, to_dict(config)) == config
    with pytest.raises(UnknownName, match="Did you mean 'adamw'"):
        from_dict(OptimizerConfig, {"kind": "adam"})
