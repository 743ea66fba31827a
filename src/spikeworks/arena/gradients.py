"""What every learning method keeps of the gradient, on a network and batches of a task."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping

from torch import nn

from ..core.errors import ConfigError
from ..core.seeds import stream
from ..learning import METHODS, MethodConfig
from ..learning.observatory import Agreement, agreements, loss_of
from ..tasks import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class GradientStudy:
    """The gradients of several methods beside that of BPTT for the same loss.

    Attributes:
        title: which network was looked at.
        layers: blocks, readout and ``all``, from the input on.
        rows: by method and layer; over several batches the mean.
        losses: by method ``sequence`` (the task's own) or ``step`` (of every step): what BPTT is of.
        refused: by method why it cannot learn this network.
        batches, size, steps: how many batches of how many sequences of at most how many steps.
    """

    title: str
    layers: tuple[str, ...]
    rows: Mapping[tuple[str, str], Agreement]
    losses: Mapping[str, str]
    refused: Mapping[str, str]
    batches: int
    size: int
    steps: int

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that can learn the network."""
        return tuple(self.losses)


def study_gradients(
    network: nn.Module,
    task: Task,
    methods: Mapping[str, MethodConfig] | None = None,
    *,
    batches: int = 1,
    batch_size: int = 32,
    seed: int = 0,
    title: str = "untrained",
    heard: Callable[[str], None] | None = None,
) -> GradientStudy:
    """Look at one network on training batches of its task; it stays as it is.

    Args:
        network: built for the task.
        methods: by the name that tables show; ``None``: all registered ones.
        batches: over how many the figures are means.
        batch_size: sequences of each.
        seed: chooses the batches and draws what is random in methods.
        title: what the network is called.
        heard: gets the name of each method before its turn.

    Raises:
        ConfigError: no batches, or none of the methods can learn the network.
    """
    if batches < 1:
        raise ConfigError(f"Gradients are looked at on at least 1 batch, got {batches}.")
    if methods is None:
        methods = {name: METHODS.get(name)() for name in METHODS.names()}
    data = task.data("train")
    items = data.plan(batch_size, stream(seed, "gradients"))[:batches]
    device = next(network.parameters()).device
    examples = [data.batch(item).to(device) for item in items]
    found: dict[tuple[str, str], list[Agreement]] = {}
    refused: dict[str, str] = {}
    for name, config in methods.items():
        if heard is not None:
            heard(name)
        try:
            rows = [agreements(network, task, example, {name: config}, seed=seed) for example in examples]
            for row in (row for several in rows for row in several):
                found.setdefault((row.method, row.layer), []).append(row)
        except ConfigError as error:
            refused[name] = str(error)
    if not found:
        raise ConfigError(
            f"None of {', '.join(methods)} can learn this network. {next(iter(refused.values()))}",
            "spikeworks list methods shows all",
        )
    able = dict.fromkeys(method for method, _ in found)
    return GradientStudy(
        title=title,
        layers=tuple(dict.fromkeys(layer for _, layer in found)),
        rows={key: _mean(rows) for key, rows in found.items()},
        losses={name: loss_of(methods[name]) for name in able},
        refused=refused,
        batches=len(examples),
        size=max(example.size for example in examples),
        steps=max(example.length for example in examples),
    )


def _mean(rows: list[Agreement]) -> Agreement:
    """The mean over batches of what is known."""

    def over(values: list[float]) -> float:
        known = [value for value in values if math.isfinite(value)]
        return statistics.fmean(known) if known else math.nan

    cosine, ratio = (over([getattr(row, name) for row in rows]) for name in ("cosine", "ratio"))
    return dataclasses.replace(rows[0], cosine=cosine, ratio=ratio)
