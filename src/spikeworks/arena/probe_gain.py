"""Gains of the probe: differences between trained networks, sequence by sequence, with intervals.

A network's *value* on a test sequence is 1 where its answer is right and 0 where not; with a label at every step it is
the share of labelled steps where it is right; for tokens it is minus their mean loss in nats. A gain is the mean
difference of two networks' values. Legend: S seeds, N sequences.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ..core.batch import Batch
from ..measure.stats import student_quantile
from ..measure.text import token_losses
from ..tasks import Task
from .evaluate import run_network

Kind = Literal["gain", "loss", "none", "open"]
RESAMPLES = 2_000
_AT_ONCE = 2_000_000
"""Numbers drawn at once."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """A mean difference over seeds and test sequences.

    Attributes:
        mean: in fractions of the sequences, or nats a token; above 0 the first network is better.
        low, high: interval at 95 %.
        seeds: the seeds that both networks have.
    """

    mean: float
    low: float
    high: float
    seeds: tuple[int, ...] = (0,)

    def kind(self, least: float) -> Kind:
        """What it says: a gain or a loss of at least ``least``, none that counts, or nothing sure.

        ``gain``: the whole interval is above 0 and the mean at least ``least``; ``loss`` likewise below.
        ``none``: the whole interval lies within ``least`` of 0. ``open``: the rest.
        """
        if self.low > 0 and self.mean >= least:
            return "gain"
        if self.high < 0 and self.mean <= -least:
            return "loss"
        return "none" if -least < self.low and self.high < least else "open"


def values(network: nn.Module, task: Task, batch_size: int, split: str = "test") -> Tensor:
    """A trained network's value on each sequence of a split, in natural order; float64 ``[N]`` on the CPU.

    For tokens a sequence is a row of a batch. Sequences without any label are left out.
    """
    data, found = task.data(split), []
    device = next(network.parameters()).device
    state = None
    network.eval()
    with torch.no_grad():
        for item in data.plan(batch_size):
            batch = data.batch(item).to(device)
            output, state = run_network(network, batch, state)
            found.append(_values(output, batch, task).double().cpu())
    return torch.cat(found)


def _values(output: Tensor, batch: Batch, task: Task) -> Tensor:
    if task.signature.kind == "tokens":
        return -token_losses(output, batch.target).reshape(output.shape[:2]).mean(0)
    if task.signature.kind == "labelling":
        target = batch.target.t()
        kept, right = target >= 0, output.argmax(2) == target
        some = kept.any(0)
        return right.sum(0)[some] / kept.sum(0)[some]
    return output.argmax(1) == batch.target


def difference(first: Mapping[int, Tensor], second: Mapping[int, Tensor]) -> Difference | None:
    """First network minus second; ``None`` where they share no seed.

    Args:
        first, second: from seed to values ``[N]``, the same sequences in the same order.
    """
    seeds = sorted(first.keys() & second.keys())
    return _mean_of({s: first[s] - second[s] for s in seeds})


def above(found: Mapping[int, Tensor], level: float) -> Difference | None:
    """A network's values, from seed to ``[N]``, minus a constant."""
    return _mean_of({s: found[s] - level for s in sorted(found)})


def _mean_of(rows: Mapping[int, Tensor]) -> Difference | None:
    if not rows:
        return None
    each = torch.stack(list(rows.values()))
    low, high = interval(each, torch.Generator().manual_seed(0))  # the same numbers give the same interval
    return Difference(mean=each.mean().item(), low=low, high=high, seeds=tuple(rows))


def interval(
    each: Tensor, generator: torch.Generator, level: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Bootstrap interval of the mean of ``[S, N]`` values over seeds and sequences, both drawn anew.

    The means of seeds and those of sequences are resampled apart and their deviations added. A bootstrap of few
    seeds is too narrow, so that the seeds' part is widened to what Student's t would give; with one seed it is
    missing, and the interval knows the sequences alone.

    Args:
        each: float64.
        generator: source of the resampling, on the CPU.
        level: probability of the interval.
        resamples: how many means are drawn.
    """
    seeds, count = each.shape
    mean = each.mean()
    drawn = torch.full((resamples,), mean.item(), dtype=torch.float64)
    if seeds > 1:
        by_seed = (each.mean(1) - mean) * _widening(seeds, level)
        drawn += by_seed[torch.randint(seeds, (resamples, seeds), generator=generator)].mean(1)
    by_sequence = each.mean(0) - mean
    rows = max(1, _AT_ONCE // count)
    parts = [
        by_sequence[torch.randint(count, (min(rows, resamples - start), count), generator=generator)].mean(1)
        for start in range(0, resamples, rows)
    ]
    drawn += torch.cat(parts)
    tail = (1 - level) / 2
    low, high = drawn.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high


def _widening(seeds: int, level: float) -> float:
    """From the bootstrap's spread to Student's: its quantile over the normal one, and n over n - 1."""
    normal = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(0.5 + level / 2)).item()
    return student_quantile(0.5 + level / 2, seeds - 1) / normal * (seeds / (seeds - 1)) ** 0.5
