"""Two real processes with half a batch each compute what one computes with the whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch import nn

from spikeworks.core.batch import Batch
from spikeworks.core.seeds import stream
from spikeworks.learning import BPTTConfig, Plan, exchange_gradients, rank, world_size
from spikeworks.models import Network, StackConfig
from spikeworks.optim import ConstantConfig, SGDConfig


class CrossEntropy:
    def loss(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        return nn.functional.cross_entropy(output, batch.target)


def network() -> Network:
    return StackConfig(hidden=(6, 5)).build(3, 4, stream(0, "weights")).double()


def batch(size: int) -> Batch:
    generator = stream(1, "batch")
    x = 2 * torch.rand(7, size, 3, generator=generator, dtype=torch.float64)
    return Batch(x=x, target=torch.randint(4, (size,), generator=generator))


def train(size: int, rows: slice) -> tuple[dict[str, float], list[torch.Tensor]]:
    """Two updates; the second starts from weights that the exchange has shaped."""
    net = network()
    plan = Plan(
        optimizer=SGDConfig(learning_rate=0.5, clip=0.2), schedule=ConstantConfig(), steps_per_epoch=2, epochs=1
    )
    one = BPTTConfig().build(net, CrossEntropy(), plan)
    unused = nn.Parameter(torch.ones(2, dtype=torch.float64))  # no gradient anywhere: must stay without
    one.parameters.append(unused)
    one.update(batch(size).rows(rows))
    metrics = one.update(batch(size).rows(rows))
    assert unused.grad is None
    return metrics, [p.grad.clone() for p in one.parameters if p.grad is not None] + [
        p.detach() for p in net.parameters()
    ]


CASES = {"halves": (8, 4), "uneven": (7, 5), "one without a share": (1, 1)}
"""Size of the batch, and how much of it the first process gets."""


def worker(number: int, processes: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=number, world_size=processes)
    try:
        shares = {name: slice(0, cut) if number == 0 else slice(cut, size) for name, (size, cut) in CASES.items()}
        torch.save({name: train(CASES[name][0], rows) for name, rows in shares.items()}, f"{folder}/{number}.pt")
    finally:
        dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    multiprocessing.spawn(worker, (2, str(tmp_path)), nprocs=2)
    for number in range(2):
        found = torch.load(tmp_path / f"{number}.pt")
        for name, (size, _) in CASES.items():
            whole, expected = train(size, slice(0, size))
            metrics, tensors = found[name]
            assert metrics["count"] == size, name
            assert metrics["loss"] == pytest.approx(whole["loss"], abs=1e-12), name
            assert metrics["gradient_norm"] == pytest.approx(whole["gradient_norm"], abs=1e-12), name
            for ours, theirs in zip(tensors, expected, strict=True):
                assert (ours - theirs).abs().max().item() < 1e-10, name


def test_one_process_is_left_alone() -> None:
    p = nn.Parameter(torch.ones(2))
    p.grad = torch.full((2,), 3.0)
    assert exchange_gradients([p], 0.5, 7) == (0.5, 7)
    assert p.grad.tolist() == [3.0, 3.0] and (rank(), world_size()) == (0, 1)
