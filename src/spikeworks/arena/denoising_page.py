"""What a report shows of denoisers: a few test clips to see and to hear, figures by noise and ratio, and what it costs.

The clips are those of the best model; the other models stand in the tables. Everything is computed anew from the
weights of the first seed of each model, so the task's data must be there; where it is not, the page says so.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib.util
import io
import logging
import math
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core import quantities
from ..core.batch import Batch
from ..core.errors import SpikeworksError
from ..core.seeds import stream
from ..measure.listen import averages
from ..measure.ndns import MODES, Latency, Mode, Proxies, proxies
from ..tasks.denoising import SI_SNR, DenoisingTask
from .denoising import DenoiserEvaluation, HeardClip, denoised, evaluate_denoiser, load_denoiser, waves_apart
from .denoising_bands import bands
from .denoising_figures import clip_figure
from .store import RunRecord
from .summary import Row, number

_log = logging.getLogger(__name__)
MODELS = 4
"""Models that are heard, the best ones."""
CLIPS = 128
"""Test clips in the tables, the first ones: some seconds a model, most of them for STOI and PESQ."""
COUNTED = 4
"""Clips over which operations are counted."""
AUDIO_BYTES = 1_000_000
"""Of all sound of a task; where clips are longer, a part of each is heard."""
_PACKAGES = {"stoi": "pystoi", "pesq": "pesq"}
COUNTS: Mapping[Mode, str] = {
    "published": "as the challenge's winner counts: a model that runs for several units of the spectrum once, and "
    "only weights that meet a spike",
    "all-units": "the same, times the units that run",
    "everything": "beside that every weight that meets a real number; a network without spikes is charged for them in "
    "all three",
}


@dataclasses.dataclass(frozen=True)
class _Heard:
    """One model on the test clips."""

    label: str
    record: RunRecord
    network: nn.Module
    found: DenoiserEvaluation


def section(rows: Sequence[Row], key: str, data_root: str | Path | None = None) -> dict[str, Any] | None:
    """What the template shows of the models of one denoising task; ``None`` for another task.

    Args:
        rows: of one task, the best first.
        key: of the task, unique on the page.
        data_root: folder of the real data; by default what ``SPIKEWORKS_DATA`` names.
    """
    scored = [row for row in rows if row.metric is not None and row.score is not None and row.records]
    if not scored or scored[0].metric is None or scored[0].metric.name != SI_SNR.name:
        return None
    heard: list[_Heard] = []
    problems: list[tuple[str, str]] = []
    task: DenoisingTask | None = None
    noisy: DenoiserEvaluation | None = None
    for row in scored[:MODELS]:
        try:
            own, network = load_denoiser(row.records[0], data_root)
            task = task or own  # rows of a page's task have one description; its data is read once
            noisy = noisy or _evaluated(lambda batch: batch.target[:, 1], task)
            heard.append(_Heard(row.label, row.records[0], network, _evaluated(network, task)))
        except SpikeworksError as error:
            _log.warning("no clips of %s: %s", row.label, error)
            problems.append((row.label, str(error)))
    shown: dict[str, Any] = {"key": key, "problems": problems, "left_out": [row.label for row in scored[MODELS:]]}
    if task is None or noisy is None or not heard:
        return {**shown, "clips": [], "tables": [], "costs": [], "counts": COUNTS}
    count = len(noisy.clips)
    return {
        **shown,
        "label": heard[0].label,
        "rate": task.rate,
        "tested": f"all {count}" if count == len(task.data("test")) else f"the first {count}",
        "missing": [name.upper() for name in _PACKAGES if not _installed(name)],
        "counted": COUNTED if count > COUNTED else count,
        "clips": _clips(task, heard[0], noisy, key),
        "tables": [{"label": one.label, **_table(one.found, noisy)} for one in heard],
        "costs": [_costs(one, task) for one in heard],
        "counts": COUNTS,
    }


def _evaluated(denoiser: Any, task: DenoisingTask) -> DenoiserEvaluation:
    return evaluate_denoiser(denoiser, task, metrics=_measures(task.rate), most=CLIPS)


def _measures(rate: int) -> list[str]:
    """Those whose packages are here and that are defined at this rate."""
    return [name for name in _PACKAGES if _installed(name) and (name != "pesq" or rate in (8_000, 16_000))]


def _installed(name: str) -> bool:
    return importlib.util.find_spec(_PACKAGES[name]) is not None


def chosen(clips: Sequence[HeardClip], seed: int = 0) -> list[HeardClip]:
    """One clip of the lowest, the middle and the highest third by ratio, drawn by ``seed``; fewer of fewer clips."""
    ordered = sorted(clips, key=lambda clip: (clip.snr, clip.position))
    parts = min(3, len(ordered))
    found = []
    for part in range(parts):
        low, high = len(ordered) * part // parts, len(ordered) * (part + 1) // parts
        drawn = torch.randint(high - low, (), generator=stream(seed, "clips of a page", part))
        found.append(ordered[low + int(drawn)])
    return found


def _clips(task: DenoisingTask, best: _Heard, noisy: DenoiserEvaluation, key: str) -> list[dict[str, Any]]:
    stft, data = task.front.stft, task.data("test")
    plan = data.plan(1)
    picked = chosen(noisy.clips)
    seconds = AUDIO_BYTES / (2 * task.rate * 3 * len(picked))
    found = []
    for place, clip in enumerate(picked):
        batch = data.batch(plan[clip.position])
        with torch.no_grad():
            made, clean, heard = next(iter(waves_apart(task, batch, denoised(best.network, task, batch))))
        after = best.found.clips[clip.position].values
        waves = {
            f"noisy, SI-SNR {_ratio(clip.noisy)} dB": heard,
            f"denoised, SI-SNR {_ratio(after['si_snr'])} dB": made.to(clean),
            "clean": clean,
        }
        first, last = _part(clean, seconds, task.rate, stft.hop)
        spikes = [
            dataclasses.replace(band, spikes=band.spikes[first // stft.hop : last // stft.hop + 1])
            for band in bands(best.network, batch, task.rate / stft.window)
        ]
        cut = {title: one[first:last] for title, one in waves.items()}
        gain = 0.9 / max(max(float(one.abs().max()) for one in cut.values()), 1e-6)
        whole = last - first == len(clean)
        found.append(
            {
                "title": _title(clip),
                "gain": f"{_ratio(after['si_snr_improvement'], '+')} dB",
                "part": None if whole else f"{first / task.rate:.1f} to {last / task.rate:.1f} s",
                "svg": clip_figure(cut, spikes, stft, task.rate, f"{key}-clip{place}"),
                "spikes": bool(spikes),
                "units": any(band.units > 1 for band in spikes),
                "players": [(title, sound(gain * one, task.rate)) for title, one in cut.items()],
            }
        )
    return found


def _title(clip: HeardClip) -> str:
    """Who speaks in which noise at which ratio, as far as the task says so."""
    about = clip.about
    noise = str(about.get("kind", about.get("noise", ""))).replace("_", " ")
    who = str(about.get("speaker", ""))
    what = " in ".join(part for part in (who, noise) if part) or f"test clip {clip.position}"
    return f"{what}, {clip.snr:.0f} dB".replace("-", "\N{MINUS SIGN}") if "snr" in about else what


def _part(clean: Tensor, seconds: float, rate: int, hop: int) -> tuple[int, int]:
    """First and last sample of that part of a clip, whole hops, in which most is said."""
    size = max(1, int(seconds * rate) // hop) * hop
    if size >= len(clean):
        return 0, len(clean)
    loud = torch.nn.functional.pad(clean.double().square().cumsum(0), (1, 0))
    starts = torch.arange(0, len(clean) - size + 1, hop)
    first = int(starts[(loud[starts + size] - loud[starts]).argmax()])
    return first, first + size


def sound(samples: Tensor, rate: int) -> str:
    """A wave ``[S]`` as the address of a WAV file of 16 bits that holds it; beyond full scale it is clipped."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        whole = (samples.detach().double().clamp(-1, 1) * (2**15 - 1)).round()
        file.writeframes(whole.to(torch.int16).numpy().astype("<i2").tobytes())
    return f"data:audio/wav;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _table(found: DenoiserEvaluation, noisy: DenoiserEvaluation) -> dict[str, Any]:
    """Groups of rows of means: all clips, each kind of noise, each range of ratios."""
    names = [name for name in _PACKAGES if name in found.mean]
    ranges = {low.replace("-", "\N{MINUS SIGN}"): clips for low, clips in found.ranges.items()}
    groups = {"": {"all clips": found.clips}, "kind of noise": found.kinds, "signal to noise": ranges}
    return {
        "names": [name.upper() for name in names],
        "groups": [
            (title, [(name.replace("_", " "), *_line(clips, noisy, names)) for name, clips in members.items()])
            for title, members in groups.items()
            if members
        ],
    }


def _line(clips: Sequence[HeardClip], noisy: DenoiserEvaluation, names: Sequence[str]) -> tuple[int, list[str]]:
    after = averages([clip.values for clip in clips])
    before = averages([noisy.clips[clip.position].values for clip in clips])
    cells = [_ratio(after["si_snr_improvement"], "+"), _ratio(before["si_snr"]), _ratio(after["si_snr"])]
    cells += [f"{_number(before[name])} → {_number(after[name])}" for name in names]
    return len(clips), cells


def _costs(one: _Heard, task: DenoisingTask) -> dict[str, Any]:
    """The challenge's figures of a model and its energy for a second of sound."""
    stft, data = task.front.stft, task.data("test")
    batch: Batch = data.batch(data.plan(COUNTED)[0])
    frame = stft.hop / task.rate
    found: Proxies | None = None
    problem = None
    try:
        latency = Latency.of_window(stft.window, task.rate)
        found = proxies(one.network, batch.x, batch.mask, frame=frame, latency=latency)
    except SpikeworksError as error:
        problem = str(error)
    return {
        "label": one.label,
        "problem": problem,
        "latency": "" if found is None else _latency(found.latency),
        "unseen": () if found is None else found.unseen,
        "rows": [] if found is None else [_count_row(found, mode) for mode in MODES],
        "energy": _energy(one.record, frame),
    }


def _latency(latency: Latency) -> str:
    parts = {
        "window": latency.buffer,
        "transforms": latency.codec,
        "network": latency.network,
        "look-ahead": latency.algorithmic,
    }
    return f"{1000 * latency.total:.2f} ms ({', '.join(f'{name} {1000 * part:g}' for name, part in parts.items())})"


def _count_row(found: Proxies, mode: Mode) -> tuple[str, list[str]]:
    figures = (found.synops(mode), found.neuronops(mode), found.power(mode), found.pdp(mode))
    return mode, [quantities.count(round(figure)) for figure in figures]


def _energy(record: RunRecord, frame: float) -> str | None:
    """For a second of sound, by both models, as measured when the run ended; ``None`` where it is not known in full."""
    energy = record.result.get("energy")
    if not isinstance(energy, dict) or energy.get("uncounted") or energy.get("not_called"):
        return None
    aware, plain, steps = (number(energy, name) for name in ("memory_aware_nj", "convention_nj", "steps"))
    if aware is None or plain is None or not steps:
        return None
    seconds = steps * frame
    return f"{quantities.energy(aware / seconds)} with memory, {quantities.energy(plain / seconds)} of arithmetic alone"


def _ratio(value: float, sign: str = "") -> str:
    return f"{value:{sign}.1f}".replace("-", "\N{MINUS SIGN}")


def _number(value: float) -> str:
    return quantities.MISSING if math.isnan(value) else f"{value:.2f}"
