"""What stands at the end of a run: the test score, costs on a fixed batch, one sample's spikes."""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.batch import Batch
from ..core.config import to_dict
from ..core.operations import is_spikes
from ..learning import Plan
from ..learning.exchange import alone
from ..learning.watch import watched_update
from ..measure import LiveMemory, energy, speed
from ..tasks import Task
from .checkpoint import Position, save_tensors
from .clock import clocks
from .config import RunConfig
from .evaluate import evaluate, run_network
from .plain import finite
from .seal import sealed

MEASURED = 32
"""Most sequences in the batch on which speed, memory and energy are measured."""
REPEATS = 5


def conclude(
    config: RunConfig, task: Task, network: nn.Module, position: Position, directory: Path, device: torch.device
) -> dict[str, Any]:
    """Read the test split once and measure; returns what ``result.json`` holds, with a digest of the run.

    Args:
        network: with the weights chosen on validation.
        position: where training ended.
    """
    tested = evaluate(network, task, "test", config.budget.batch_size, device)
    data = task.data("test")
    batch = data.batch(data.plan(min(config.budget.batch_size, MEASURED))[0]).to(device)
    if not task_is_tokens(task):
        save_tensors(directory / "sample.safetensors", sample(network, batch), {"split": "test", "index": 0})
    metric = task.metric
    result = finite(
        {
            **header(config, task),
            "status": "finished",
            "score": {
                "test": tested.values[metric.name],
                "validation": position.best_score,
                "chosen_epoch": position.best_epoch,
            },
            "test": tested.values,
            "parameters": count_parameters(network),
            **costs(config, network, task, batch),
            "spike_rates": tested.rates,
            "confusion": tested.confusion,
            "classes": None if task.signature.classes is None else list(task.signature.classes),
            "kernels": kernels(network, device),
            "clock": list(clocks(network)),
            "epochs": position.epoch - 1,
            "seconds": position.seconds,
        }
    )
    return sealed(directory, to_dict(config), result)


def header(config: RunConfig, task: Task) -> dict[str, Any]:
    """What finished and diverged results have in common."""
    return {
        "schema": 1,
        "id": config.id,
        "task": config.task_name,
        "model": config.model_name,
        "label": config.shown,
        "seed": config.seed,
        "metric": dataclasses.asdict(task.metric),
    }


def count_parameters(network: nn.Module) -> int:
    """Numbers that training changes, shared ones once."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def costs(config: RunConfig, network: nn.Module, task: Task, batch: Batch) -> dict[str, Any]:
    """Speed, memory and energy on one batch; of training, those of whole updates by the run's own method."""
    timed = speed(network, batch.x, batch.mask, training=False, repeats=REPEATS, warmup=1)
    seconds, kept = updates(config, network, task, batch)
    priced = energy(network, batch.x, batch.mask)
    return {
        "speed": {
            "train_samples_per_second": batch.size / seconds,
            "inference_samples_per_second": timed.inference.samples_per_second,
            "batch": timed.samples,
        },
        "memory": {"saved_bytes": kept.saved_peak, "live_bytes": kept.live_peak, "batch": batch.size},
        "energy": priced.to_dict(),
    }


@alone()
def updates(config: RunConfig, network: nn.Module, task: Task, batch: Batch) -> tuple[float, LiveMemory]:
    """Median seconds of an update, and the most that it holds in memory; a copy of the network learns."""
    plan = Plan.of_one(batch, config.optimizer, config.seed)
    learner = config.method.build(copy.deepcopy(network), task, plan)
    batch = dataclasses.replace(batch, fresh=True)
    learner.update(batch)
    spent = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        learner.update(batch)
        if batch.x.is_cuda:
            torch.cuda.synchronize(batch.x.device)
        spent.append(time.perf_counter() - began)
    return statistics.median(spent), watched_update(learner, batch)


def kernels(network: nn.Module, device: torch.device) -> dict[str, dict[str, str]]:
    """Which form of each neuron ran, and why."""
    found = {}
    for name, module in network.named_modules():
        report = getattr(module, "backend_report", None)
        if report is not None:
            backend, reason = report(device.type)
            found[name] = {"backend": backend, "reason": reason}
    return found


def sample(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """The first sequence of a batch, what every block answered to it, and the prediction where it is a class."""
    one = batch.rows(slice(0, 1))
    steps = int(one.mask.sum()) if one.mask is not None else one.x.shape[0]
    one = dataclasses.replace(one, x=one.x[:steps], mask=None)
    spikes: list[Tensor] = []
    blocks = getattr(network, "blocks", [])
    hooks = [b.register_forward_hook(lambda _m, _a, result: spikes.append(result[0])) for b in blocks]
    network.eval()
    try:
        with torch.no_grad():
            output, _ = run_network(network, one)
    finally:
        for hook in hooks:
            hook.remove()
    fired = [(i, s) for i, s in enumerate(spikes) if is_spikes(s)]
    tensors = {f"spikes.{i}": s[:, 0].flatten(1).clamp(0, 255).to(torch.uint8) for i, s in fired}
    answer = {"target": one.target[0], "predicted": output[0].argmax()} if one.target.dim() == 1 else {}
    return {"input": one.x[:, 0].flatten(1).float(), **tensors, **answer}


def task_is_tokens(task: Task) -> bool:
    """True for language tasks, whose samples are ids."""
    return task.signature.kind == "tokens"
