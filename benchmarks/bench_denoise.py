"""Denoising of spoken digits: bounds, classical methods and trained networks on the same clips, in one table.

    python benchmarks/bench_denoise.py [RUN_DIRECTORY ...] [--noise seen unseen] [--ratios -5 10] [--clips 200]

Every row is measured on the test clips of ``denoise-digits``, with kinds of noise that were trained on (``seen``; other
recordings of them) and with new ones (``unseen``). Runs with other speakers or noises (``rotation``, ``source``) have
tables of their own, as their test speakers differ; runs of one label over several rotations get a mean. PESQ and STOI
stand there where their packages are installed, and spectral gating where noisereduce is
(``benchmarks/requirements.txt``). Energy is the memory-aware model's, for a second of audio; P are the challenge's
power proxies, see spikeworks.measure.ndns.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import peers
import torch
import wiener
from side_by_side import OUT, table, write
from torch import Tensor

from spikeworks.arena import Run, RunConfig, load_run
from spikeworks.arena.checkpoint import load_tensors
from spikeworks.arena.denoising import Denoiser, evaluate_denoiser
from spikeworks.arena.store import RunRecord
from spikeworks.core.batch import Batch
from spikeworks.core.errors import ConfigError, RunError, SpikeworksError
from spikeworks.measure import energy
from spikeworks.measure.ndns import MODES, Latency, proxies
from spikeworks.tasks.denoise_digits import DenoiseDigitsConfig
from spikeworks.tasks.denoising import DenoisingTask

MEASURED = 8
"""Clips on which costs are counted."""
TUNED = 40
"""Validation clips on which the settings of spectral gating are chosen; one where ``--clips`` is given."""
COLUMNS = {
    "si_snr": ("SI-SNR dB", 2, 1.0),
    "si_snr_improvement": ("SI-SNRi dB", 2, 1.0),
    "stoi": ("STOI %", 1, 100.0),
    "pesq": ("PESQ", 2, 1.0),
    "parameters": ("params", 0, 1.0),
    "energy_uj_per_s": ("µJ/s", 1, 1.0),
    "published": ("P published M/s", 2, 1e-6),
    "all-units": ("P all units M/s", 2, 1e-6),
    "everything": ("P everything M/s", 2, 1e-6),
}


def gating(**settings: Any) -> Denoiser:
    """Spectral gating of noisereduce; it hears the whole clip before it answers."""
    reduce = peers.load("noisereduce").reduce_noise

    def denoise(batch: Batch) -> Tensor:
        waves = [reduce(y=wave, sr=8_000, **settings) for wave in batch.target[:, 1].numpy()]
        return torch.from_numpy(numpy.stack(waves)).float()

    return denoise


def chosen_gating(task: DenoisingTask) -> Denoiser:
    """The settings with the best SI-SNR on the validation clips."""
    ways = [
        {"stationary": stationary, "n_fft": window, "prop_decrease": share}
        for stationary in (True, False)
        for window in (256, 1024)
        for share in (0.5, 0.8, 1.0)
    ]
    score = [evaluate_denoiser(gating(**way), task, "validation").mean["si_snr"] for way in ways]
    best = ways[max(range(len(ways)), key=score.__getitem__)]
    print(f"spectral gating, chosen on validation: {best}")
    return gating(**best)


def masked(mask: Callable[[Tensor, Tensor], Tensor]) -> Callable[[DenoisingTask], Denoiser]:
    """An oracle's mask from the clean and the noisy spectrum."""

    def made(task: DenoisingTask) -> Denoiser:
        stft = task.front.stft

        def denoise(batch: Batch) -> Tensor:
            clean, noisy = (stft(wave) for wave in batch.target.unbind(1))
            return stft.inverse(mask(clean, noisy) * noisy)

        return denoise

    return made


def bounded(clean: Tensor, noisy: Tensor) -> Tensor:
    """The complex ratio, of magnitude 1 at most; without a bound it gives the clean wave itself."""
    ratio = clean / (noisy + 1e-12)
    return ratio / ratio.abs().clamp(min=1.0)


ROWS: dict[str, Callable[[DenoisingTask], Denoiser]] = {
    "noisy": lambda task: lambda batch: batch.target[:, 1],
    "oracle complex mask, at most 1": lambda task: masked(bounded)(task),
    "oracle magnitude mask, at most 1": lambda task: masked(
        lambda clean, noisy: (clean.abs() / (noisy.abs() + 1e-12)).clamp(max=1.0)
    )(task),
    "log-spectral estimation, minimum statistics": lambda task: (
        lambda batch: wiener.enhance(batch.target[:, 1], task.front.stft, task.rate)
    ),
}


def costs(network: torch.nn.Module, task: DenoisingTask) -> dict[str, float]:
    """Parameters, energy of a second of audio, and the challenge's proxies."""
    data = task.data("test")
    batch = data.batch(data.plan(MEASURED)[0])
    stft = task.front.stft
    frame = stft.hop / task.rate
    seconds = len(batch.x) * frame
    latency = Latency.of_window(stft.window, task.rate)
    found = proxies(network, batch.x, batch.mask, frame=frame, latency=latency)
    return {
        "parameters": float(sum(p.numel() for p in network.parameters())),
        "energy_uj_per_s": energy(network, batch.x, batch.mask).memory_aware_nj / seconds / 1e3,
        "latency_s": latency.total,
        **{mode: found.power(mode) for mode in MODES},
        **{f"pdp {mode}": found.pdp(mode) for mode in MODES},
    }


def described(directory: Path) -> tuple[RunRecord, RunConfig, DenoiseDigitsConfig]:
    """A finished run of this task, and the task."""
    record = load_run(directory)
    if not record.finished:
        raise RunError(f"{directory} has no result: it is {record.status}.", "start the same command again")
    config = RunConfig.from_dict(record.config)
    if not isinstance(config.task, DenoiseDigitsConfig):
        raise ConfigError(f"{directory} is a run of {config.task_name}, and this table is of denoise-digits.")
    return record, config, config.task


def trained(record: RunRecord, config: RunConfig, task: DenoisingTask) -> torch.nn.Module:
    """Its network, with the weights chosen on validation."""
    network = Run(config).network(task)
    network.load_state_dict(load_tensors(record.path / "best.safetensors")[0])
    return network


def scene(task: DenoiseDigitsConfig, ratios: Sequence[int] | None, sizes: Mapping[str, Any]) -> DenoiseDigitsConfig:
    """What decides which clips a run may be measured on, and no more."""
    low, high = ratios or (task.snr_low, task.snr_high)
    return DenoiseDigitsConfig(
        source=task.source, rotation=task.rotation, mode=task.mode, snr_low=low, snr_high=high, **sizes
    )


def title(clips: DenoiseDigitsConfig) -> str:
    """A scene in words."""
    return f"{clips.source}, rotation {clips.rotation}, {clips.snr_low} to {clips.snr_high} dB ({clips.mode})"


def over_rotations(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[list[str]]:
    """Mean improvement and its spread, a row for each name that several rotations have."""
    gains: dict[tuple[str, str], list[float]] = {}
    for part in found.values():
        for noise, rows in part.items():
            for row, values in rows.items():
                gains.setdefault((values.get("label", row), noise), []).append(values["si_snr_improvement"])
    return [
        [name, noise, str(len(one)), f"{statistics.mean(one):+.2f} ± {statistics.stdev(one):.2f}"]
        for (name, noise), one in gains.items()
        if len(one) > 1
    ]


def figure(values: Mapping[str, Any], name: str) -> str:
    """A cell of the table; a dash where there is nothing."""
    _, digits, factor = COLUMNS[name]
    value = values.get(name, math.nan)
    return "–" if math.isnan(value) else f"{value * factor:.{digits}f}"


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("runs", nargs="*", type=Path, help="directories of finished runs of denoise-digits")
    options.add_argument("--noise", nargs="+", choices=("seen", "unseen"), default=["seen", "unseen"])
    options.add_argument(
        "--ratios", nargs=2, type=int, metavar="DB", help="lowest and highest; those of the run without"
    )
    options.add_argument("--clips", type=int, default=None, help="test clips; all of the task without it")
    options.add_argument("--rounds", type=int, default=1, help="not used here: scores do not vary")
    options.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    options.add_argument("--out", type=Path, default=OUT, help="folder for JSON")
    asked = options.parse_args()
    torch.set_num_threads(asked.threads)
    runs = [described(directory) for directory in asked.runs]
    packages = {"stoi": "pystoi", "pesq": "pesq"}
    metrics = [name for name, package in packages.items() if importlib.util.find_spec(package)]
    rows = dict(ROWS)
    if importlib.util.find_spec("noisereduce"):
        rows["spectral gating (noisereduce), its defaults"] = lambda task: gating()
        rows["spectral gating (noisereduce), chosen on validation"] = chosen_gating
    absent = [p for p in (*packages.values(), "noisereduce") if not importlib.util.find_spec(p)]
    if absent:
        print(f"not installed: {', '.join(absent)}")
    sized = {"validation_size": TUNED} if asked.clips is None else {"validation_size": 1, "test_size": asked.clips}
    trained_on = [task for _, _, task in runs] or [DenoiseDigitsConfig()]
    scenes = [scene(task, asked.ratios, sized) for task in trained_on]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    noises: list[str] = asked.noise
    for place, noise in itertools.product(dict.fromkeys(scenes), noises):
        clips = dataclasses.replace(place, noise=noise)
        task = clips.build()
        part = found.setdefault(title(place), {})[noise] = {}
        for name, made in rows.items():
            part[name] = evaluate_denoiser(made(task), task, metrics=metrics).mean
        for (record, config, learned), own_place in zip(runs, scenes, strict=False):
            if own_place != place:
                continue
            heard_as: dict[str, Any] = {name: getattr(learned, name) for name in ("mask", "taps", "level")}
            own = dataclasses.replace(clips, **heard_as).build()
            network = trained(record, config, own)
            heard = evaluate_denoiser(network, own, metrics=metrics)
            about = {"label": record.label, "by_kind": heard.by_kind, "by_snr": heard.by_snr}
            part[f"{record.label} ({record.path.name})"] = heard.mean | costs(network, own) | about
        shown = [name for name in COLUMNS if any(name in values for values in part.values())]
        print(f"\n{title(place)}; noise: {noise}, {len(task.data('test'))} clips\n")
        head = ["", *(COLUMNS[name][0] for name in shown)]
        print(table(head, [[row, *(figure(values, name) for name in shown)] for row, values in part.items()]))
    if means := over_rotations(found):
        print(f"\n{table(['', 'noise', 'rotations', 'SI-SNRi dB'], means)}")
    write(asked.out, "denoise", {"measures": metrics, "rows": found})


if __name__ == "__main__":
    try:
        main()
    except SpikeworksError as error:
        raise SystemExit(str(error)) from None
