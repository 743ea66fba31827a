"""Read run directories back: what was asked, on which machine, how it went, what came out.

A run lives in ``<root>/<task>/<neuron>-s<seed>-<id>/``; ``result.json`` is written last, so a
directory without it holds a run that was cut off or still trains. Such runs are returned with
status ``"unfinished"`` and the reason; they never stop a reader from seeing the others.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeworks.core.errors import RunError

if TYPE_CHECKING:
    import numpy as np

SCHEMA = 1
"""Version of ``result.json`` that this reader understands."""

_EXPECTED = "expected run directories <task>/<neuron>-s<seed>-<id>/ with config.json, metrics.jsonl and result.json"
_START = "train first, for example: spikeworks compare --task seq-digits --neurons lif,tc-lif --seeds 2"


@dataclasses.dataclass(frozen=True)
class Sample:
    """One real test sample and what every block answered.

    Attributes:
        input: ``[T, C]`` float.
        spikes: per block ``[T, N]`` uint8.
        target: true class, or ``None``.
        predicted: class with the highest output, or ``None``.
    """

    input: np.ndarray
    spikes: tuple[np.ndarray, ...]
    target: int | None
    predicted: int | None


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """One run directory as it was found.

    Attributes:
        path: the directory.
        id: the directory's name, unique below its task.
        task, label, model: names; ``label`` is what people read, ``model`` the neuron's kind.
        seed: the run's seed, or ``None`` where it is not recorded.
        status: ``"finished"``, ``"diverged"`` or ``"unfinished"``.
        problem: why the run has no score; ``None`` for a finished run.
        config, environment, result: the contents of the JSON files, empty where absent.
        metrics: one dictionary per finished epoch, in order.
    """

    path: Path
    id: str
    task: str
    label: str
    model: str
    seed: int | None
    status: str
    problem: str | None
    config: dict[str, Any]
    environment: dict[str, Any]
    metrics: tuple[dict[str, Any], ...]
    result: dict[str, Any]

    @property
    def finished(self) -> bool:
        """True where a score exists."""
        return self.status == "finished"

    def sample(self) -> Sample | None:
        """The recorded sample, read on demand; ``None`` where there is none or it is damaged."""
        return _read_sample(self.path / "sample.safetensors")


def load_runs(root: str | Path, task: str | None = None, strict: bool = False) -> list[RunRecord]:
    """All runs below ``root``, ordered by task, label and seed.

    Args:
        root: a folder of runs, the folder of one task, or one run directory.
        task: keep the runs of this task only.
        strict: refuse half-written runs instead of returning them as ``"unfinished"``.

    Raises:
        RunError: ``root`` holds no run, or none that has ended, or none of ``task``;
            with ``strict`` also where any run is half written.

    Example:
        >>> load_runs("no/such/folder")  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        spikeworks.core.errors.RunError: no/such/folder does not exist: expected run directories ...
    """
    root = Path(root)
    records = [_read_run(path) for path in _run_directories(root)]
    if not records:
        raise RunError(f"{root} holds no run ({_contents(root)}): {_EXPECTED}.", _START)
    if task is not None:
        found = sorted({record.task for record in records})
        records = [record for record in records if record.task == task]
        if not records:
            raise RunError(f"{root} holds no run of task '{task}'.{_near(task, found)} Found: {', '.join(found)}.")
    half = [record for record in records if record.status == "unfinished"]
    if half and (strict or len(half) == len(records)):
        raise RunError(_half_written(root, half, len(records)), "start the same command again: it resumes what was cut")
    return sorted(records, key=lambda r: (r.task, r.label, r.seed if r.seed is not None else -1, r.id))


def load_run(path_or_id_prefix: str | Path, root: str | Path = "runs") -> RunRecord:
    """One run, given its directory or the beginning of its name or of its id.

    Raises:
        RunError: nothing or more than one run below ``root`` matches.
    """
    path = Path(path_or_id_prefix)
    if _is_run(path):
        return _read_run(path)
    wanted = str(path_or_id_prefix)
    if path.is_dir():
        raise RunError(f"{path} is no run directory ({_contents(path)}): {_EXPECTED}.")
    if not wanted.strip():
        raise RunError("The id of a run is empty.", "give a run directory or the first characters of a run's id")
    if not Path(root).exists():
        raise RunError(f"No run '{wanted}': it is no run directory, and {root} does not exist: {_EXPECTED}.", _START)
    directories = _run_directories(Path(root))
    if not directories:
        raise RunError(f"No run '{wanted}': {root} holds no run ({_contents(Path(root))}).", _START)
    exact = [d for d in directories if wanted in _names(d)]
    matches = exact or [d for d in directories if any(name.startswith(wanted) for name in _names(d))]
    if len(matches) == 1:
        return _read_run(matches[0])
    if matches:
        shown = _listed([f"{d.parent.name}/{d.name}" for d in matches])
        raise RunError(f"'{wanted}' fits {len(matches)} runs below {root}: {shown}.", "give more characters")
    known = {name: directory for directory in directories for name in _names(directory)}
    close = difflib.get_close_matches(wanted, known, n=3, cutoff=0.4)
    near = list(dict.fromkeys(known[name].name for name in close)) or [d.name for d in directories[:3]]
    raise RunError(f"No run below {root} begins with '{wanted}'.", f"nearest of {len(directories)}: {', '.join(near)}")


def _run_directories(root: Path) -> list[Path]:
    if not root.exists():
        raise RunError(f"{root} does not exist: {_EXPECTED}.", _START)
    if not root.is_dir():
        raise RunError(f"{root} is a file: {_EXPECTED}.", "give the folder that holds the runs")
    if _is_run(root):
        return [root]
    try:
        return sorted(p for depth in ("*", "*/*") for p in root.glob(depth) if p.is_dir() and _is_run(p))
    except OSError as error:
        raise RunError(f"Cannot read {root}: {error.strerror or error}.") from error


def _is_run(path: Path) -> bool:
    return any((path / name).is_file() for name in ("result.json", "config.json", "metrics.jsonl"))


def _names(directory: Path) -> tuple[str, ...]:
    """What a user may type for a run: its directory's name, with its task, and the bare id at its end."""
    return directory.name, f"{directory.parent.name}/{directory.name}", directory.name.rpartition("-")[2]


def _contents(root: Path) -> str:
    names = sorted(p.name for p in root.iterdir())
    return f"found there: {_listed(names, ', ')}" if names else "it is empty"


def _listed(names: Sequence[str], separator: str = ", ", most: int = 5) -> str:
    return separator.join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _near(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def _half_written(root: Path, half: Sequence[RunRecord], total: int) -> str:
    what = "the only run is" if total == 1 else f"{len(half)} of {total} runs are"
    reasons = _listed([f"{record.id}: {record.problem}" for record in half], "; ", 3)
    return f"{root}: {what} half written ({reasons}); expected runs that ended with a result.json."


def _read_run(path: Path) -> RunRecord:
    config, config_problem = _read_json(path / "config.json")
    environment, _ = _read_json(path / "environment.json")
    metrics, metrics_problem = _read_metrics(path / "metrics.jsonl")
    result, problem = _read_json(path / "result.json")
    status = "unfinished"
    if not problem:
        problem = _result_problem(result) or config_problem
        status = "unfinished" if problem else result["status"]
    if status == "diverged":
        problem = str(result.get("error") or "the loss is no longer a finite number")
    elif not (path / "result.json").exists():
        problem = "; ".join(filter(None, ["no result.json", _progress(metrics, config), metrics_problem]))
    guess = re.fullmatch(r"(?P<label>.+?)(-s(?P<seed>\d+))?(-[0-9a-f]{6,})?", path.name)
    kind = _kind(config, "model", "neuron") or (guess["label"] if guess else path.name)
    method = _kind(config, "method")
    shown = (guess["label"] if guess else kind) + ("" if method in (None, "", "bptt") else f" {method}")
    seed = result.get("seed", config.get("seed", int(guess["seed"]) if guess and guess["seed"] else None))
    return RunRecord(
        path=path,
        id=path.name,
        task=str(result.get("task") or _kind(config, "task") or path.parent.name),
        label=str(result.get("label") or config.get("label") or shown),
        model=str(result.get("model") or kind),
        seed=seed if isinstance(seed, int) else None,
        status=status,
        problem=problem,
        config=config,
        environment=environment,
        metrics=metrics,
        result=result,
    )


def _read_json(path: Path) -> tuple[dict[str, Any], str | None]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, f"no {path.name}"
    except OSError as error:
        return {}, f"{path.name} cannot be read: {error.strerror or error}"
    except ValueError as error:  # broken JSON or broken UTF-8
        return {}, f"{path.name} is damaged: {error}"
    if not isinstance(data, dict):
        return {}, f"{path.name} is damaged: expected an object, got {type(data).__name__}"
    return data, None


def _read_metrics(path: Path) -> tuple[tuple[dict[str, Any], ...], str | None]:
    """Lines up to the first that is not whole: a killed run leaves half a line at the end."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return (), None
    except OSError as error:
        return (), f"metrics.jsonl cannot be read: {error.strerror or error}"
    epochs: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            return tuple(epochs), f"metrics.jsonl is cut off in line {number}"
        if not isinstance(entry, dict):
            return tuple(epochs), f"metrics.jsonl is damaged in line {number}"
        epochs.append(entry)
    return tuple(epochs), None


def _result_problem(result: dict[str, Any]) -> str | None:
    if result.get("schema") != SCHEMA:
        return f"result.json has schema {result.get('schema')!r}, this version of spikeworks reads {SCHEMA}"
    if result.get("status") not in ("finished", "diverged"):
        return f"result.json says status {result.get('status')!r}, expected 'finished' or 'diverged'"
    if result["status"] == "diverged":
        return None
    score = result.get("score")
    test = score.get("test") if isinstance(score, dict) else None
    if not isinstance(test, int | float) or not math.isfinite(test):
        return "result.json is damaged: no finite number under score.test"
    metric = result.get("metric")
    if not isinstance(metric, dict) or not {"name", "higher_is_better"} <= metric.keys():
        return "result.json is damaged: metric needs name, unit and higher_is_better"
    return None


def _progress(metrics: Sequence[dict[str, Any]], config: dict[str, Any]) -> str:
    budget = config.get("budget")
    planned = budget.get("epochs") if isinstance(budget, dict) else None
    return f"{len(metrics)}{f' of {planned}' if planned else ''} epochs done"


def _kind(config: dict[str, Any], *keys: str) -> str | None:
    """The ``kind`` of a nested description, or of the deepest part of the path that has one."""
    kind, node = None, config
    for key in keys:
        node = node.get(key)
        if not isinstance(node, dict):
            break
        kind = node.get("kind", kind)
    return kind


def _read_sample(path: Path) -> Sample | None:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(str(path))
    except (OSError, SafetensorError):
        return None
    blocks = sorted((name for name in tensors if re.fullmatch(r"spikes\.\d+", name)), key=lambda n: int(n[7:]))
    if "input" not in tensors or tensors["input"].ndim not in (1, 2):
        return None
    signal = tensors["input"].reshape(len(tensors["input"]), -1)
    target, predicted = (
        int(tensors[n].reshape(-1)[0]) if n in tensors and tensors[n].size else None for n in ("target", "predicted")
    )
    return Sample(signal, tuple(tensors[name] for name in blocks), target, predicted)
