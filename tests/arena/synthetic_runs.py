"""Synthetic run directories for tests of what reads them: made-up scores, never shipped.

The rasters are real: a leaky integrate-and-fire layer answers a drifting sine. Everything else is
drawn from a seeded generator so that files look like those of a training.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

ENVIRONMENT = {
    "machine": {
        "architecture": "x86_64",
        "cpu": "Synthetic Test Processor",
        "cores": 2,
        "memory_bytes": 8_000_000_000,
        "os": "Linux",
        "devices": [],
    },
    "threads": 2,
    "python": "3.11.2",
    "torch": "2.13.0+cpu",
    "spikeworks": "0.1.0",
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "modified": False,
    "command": "spikeworks compare --task seq-digits --neurons lif,tc-lif --seeds 2",
    "started": "2026-01-02T03:04:05+00:00",
}
ACCURACY = {"name": "accuracy", "unit": "fraction", "higher_is_better": True}
PERPLEXITY = {"name": "perplexity", "unit": "perplexity", "higher_is_better": False}


def write_run(
    root: Path,
    label: str = "lif",
    seed: int = 0,
    *,
    task: str = "seq-digits",
    score: float = 0.6,
    metric: dict[str, Any] = ACCURACY,
    energy: float = 20.0,
    seconds: float = 30.0,
    rates: tuple[float, ...] = (0.12, 0.08),
    epochs: int = 12,
    classes: int = 10,
    steps: int = 64,
    channels: int = 1,
    directory: str | None = None,
    config: dict[str, Any] | None = None,
    result_energy: dict[str, Any] | None = None,
    **result: Any,
) -> Path:
    """One finished run; keyword arguments left over replace top-level keys of result.json."""
    random = np.random.default_rng([seed, *label.encode()])
    description = {
        "task": {"kind": task, "steps": steps},
        "model": {"kind": "stack", "hidden": [64, 64], "neuron": {"kind": label, "threshold": 1.0}},
        "budget": {"epochs": epochs, "batch_size": 64},
        "seed": seed,
        "device": "cpu",
        **(config or {}),
    }
    identity = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:12]
    path = root / task / (directory or f"{label}-s{seed}-{identity}")
    path.mkdir(parents=True)
    _json(path / "config.json", description)
    _json(path / "environment.json", ENVIRONMENT)
    start = 1 / classes if metric["higher_is_better"] else 6 * score
    curve = [start + (score - start) * (1 - np.exp(-4 * (e + 1) / epochs)) for e in range(epochs)]
    lines = [
        {
            "epoch": e + 1,
            "step": 20 * (e + 1),
            "train_loss": float(2.3 * np.exp(-2 * e / epochs)),
            "validation_loss": float(2.4 * np.exp(-1.8 * e / epochs)),
            "validation_score": float(value * (1 + 0.01 * random.standard_normal())),
            "seconds": seconds * (e + 1) / epochs,
            "spike_rates": list(rates),
        }
        for e, value in enumerate(curve)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    _sample(path / "sample.safetensors", random, steps, channels, len(rates))
    share = np.array([0.2, *[0.7 / len(rates)] * len(rates), 0.1])
    names = ["blocks.0.synapse", *[f"blocks.{i}.neuron" for i in range(len(rates))], "readout"]
    content: dict[str, Any] = {
        "schema": 1,
        "id": identity,
        "task": task,
        "model": label,
        "label": label,
        "seed": seed,
        "status": "finished",
        "metric": metric,
        "score": {"test": score, "validation": score, "chosen_epoch": epochs},
        "test": {metric["name"]: score},
        "parameters": 9034,
        "speed": {"train_samples_per_second": 1.0e4 / seconds, "inference_samples_per_second": 3.1e4 / seconds},
        "memory": {"saved_bytes": 4_300_000, "peak_bytes": None, "batch": 32},
        "energy": result_energy
        or {
            "convention_nj": energy / 3,
            "memory_aware_nj": energy,
            "layers": [
                {"name": name, "convention_nj": energy / 3 * part, "memory_aware_nj": energy * part}
                for name, part in zip(names, share, strict=True)
            ],
        },
        "spike_rates": list(rates),
        "confusion": _confusion(random, classes, score) if metric is ACCURACY else None,
        "classes": [str(i) for i in range(classes)] if metric is ACCURACY else None,
        "kernels": {"blocks.0.neuron": {"backend": "c", "reason": "compiled with cc"}},
        "epochs": epochs,
        "seconds": seconds,
        **result,
    }
    _json(path / "result.json", content)
    return path


def write_methods(root: Path) -> None:
    """One network that learned by three methods, with two seeds: memory and time go opposite ways."""
    model = {"kind": "stack", "hidden": [64, 64], "neuron": {"kind": "lif", "threshold": 1.0}}
    for method, score, saved, live, seconds in (
        ("bptt", 0.91, 8_000_000, 9_600_000, 20.0),
        ("sltt", 0.84, 250_000, 420_000, 36.0),
        ("local", 0.70, 90_000, 130_000, 48.0),
    ):
        for seed in range(2):
            write_run(
                root, "lif" if method == "bptt" else f"lif {method}", seed, score=score + 0.01 * seed, seconds=seconds,
                config={"model": model, "method": {"kind": method}}, directory=f"lif-{method}-s{seed}",
                memory={"saved_bytes": saved, "live_bytes": live, "batch": 32},
            )  # fmt: skip


def write_diverged(root: Path, label: str = "lif", seed: int = 0, **options: Any) -> Path:
    """A run whose loss turned NaN: no score, an error text."""
    path = write_run(root, label, seed, **options)
    result = json.loads((path / "result.json").read_text())
    kept = {key: result[key] for key in ("schema", "id", "task", "model", "label", "seed")}
    _json(path / "result.json", {**kept, "status": "diverged", "error": "loss is nan at step 41, learning rate 0.9"})
    return path


def write_unfinished(root: Path, label: str = "lif", seed: int = 0, **options: Any) -> Path:
    """A run killed in the middle of writing a metrics line."""
    path = write_run(root, label, seed, **options)
    (path / "result.json").unlink()
    metrics = path / "metrics.jsonl"
    metrics.write_text(metrics.read_text()[:-40])
    return path


def write_comparison(root: Path) -> None:
    """A full comparison: two tasks, several models and seeds, one diverged and one cut off."""
    models = {
        "lif": (0.312, 9.0, 21.0, (0.06, 0.05)),
        "plif": (0.371, 9.6, 24.0, (0.07, 0.06)),
        "alif": (0.452, 14.0, 39.0, (0.09, 0.07)),
        "tc-lif": (0.684, 17.0, 44.0, (0.16, 0.11)),
        "pmsn": (0.861, 41.0, 61.0, (0.22, 0.17)),
        "sliding-psn": (0.842, 55.0, 58.0, (0.26, 0.21)),
    }
    for index, (label, (score, energy, seconds, rates)) in enumerate(models.items()):
        for seed in range(3):
            shift = 0.012 * ((seed * 7 + index * 3) % 5 - 2)
            write_run(
                root, label, seed, score=score + shift, energy=energy * (1 + shift), seconds=seconds * (1 - shift),
                rates=rates, parameters=9034 + 128 * index, epochs=30,
            )  # fmt: skip
    write_diverged(root, "cuba-lif", 0)
    write_unfinished(root, "adlif", 1)
    for label, score, energy in (("lif", 141.2, 2100.0), ("tc-lif", 118.4, 3900.0), ("alif", 117.9, 3300.0)):
        for seed in range(2):
            write_run(
                root, label, seed, task="ptb", score=score + 1.5 * seed, metric=PERPLEXITY, energy=energy,
                seconds=3100.0 + energy / 9, rates=(0.11, 0.09), channels=16, steps=35,
            )  # fmt: skip


def _json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))


def _sample(path: Path, random: np.random.Generator, steps: int, channels: int, blocks: int) -> None:
    time = np.arange(steps)[:, None]
    signal = 0.5 + 0.5 * np.sin(time / 5 + np.arange(channels)) + 0.05 * random.standard_normal((steps, channels))
    tensors: dict[str, np.ndarray] = {"input": signal.astype(np.float32)}
    below = signal
    for block in range(blocks):
        drive = np.maximum(below @ random.normal(0.1, 0.5, (below.shape[1], 64)), 0) * 0.5
        voltage, spikes = np.zeros(64), np.zeros((steps, 64), dtype=np.uint8)
        for step in range(steps):
            voltage = 0.9 * voltage + drive[step]
            spikes[step] = voltage >= 1.0
            voltage = voltage - spikes[step]
        tensors[f"spikes.{block}"] = spikes
        below = spikes.astype(float)
    tensors["target"] = np.array(3, dtype=np.int64)
    tensors["predicted"] = np.array(3 if random.random() < 0.7 else 8, dtype=np.int64)
    save_file(tensors, str(path))


def _confusion(random: np.random.Generator, classes: int, score: float) -> list[list[int]]:
    matrix = random.poisson(36 * (1 - score) / (classes - 1), (classes, classes))
    np.fill_diagonal(matrix, round(36 * score))
    return matrix.tolist()
