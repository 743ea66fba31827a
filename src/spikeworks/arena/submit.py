"""A run from somewhere else, on its way into a folder of runs: what is checked, and why it is refused.

Everything in a run directory that says the same thing twice is compared: the description with the identity in the
name, the result with the curve, the score with the confusion matrix, the weights with the network, all of it with the
digest. That shows accidents and careless edits; who forges consistently is found by computing the score anew from the
weights, :func:`re_evaluate`. No code of the submitted directory is executed.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..core.config import to_dict
from ..core.errors import ConfigError, DataError, RunError, SpikeworksError
from ..core.files import write_json
from ..tasks import Task
from .checkpoint import load_tensors
from .config import RunConfig
from .evaluate import evaluate
from .finish import count_parameters
from .plugins import plugin_sources
from .run import Run
from .seal import FIELD, WEIGHTS, digest, weights_hash
from .store import RunRecord, load_run
from .summary import number

FILES = ("config.json", "environment.json", "metrics.jsonl", "result.json", WEIGHTS)
"""What a submission must hold; ``sample.safetensors`` and plugins that its description names come along."""
NOTE = "submission.json"
"""Written beside them: when and by which version a submission was checked, and what a new evaluation gave."""
TOLERANCE = 0.005
"""How far a score that is computed anew may lie off: of fractions the difference, else relative."""
_CLOSE = 1e-6
_ABOUT = ("spikeworks", "torch", "python", "machine")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found.

    Attributes:
        directory: of the submitted run.
        config: its description; ``None`` where it cannot be read.
        problems: why it is refused, each in one sentence; empty for a good one.
        notes: what a reader should know.
        scores: what the weights gave here, by split, where they were evaluated anew.
    """

    directory: Path
    config: RunConfig | None
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    scores: dict[str, float] = dataclasses.field(default_factory=dict)


def submit(
    directory: str | Path,
    to: str | Path = "runs",
    *,
    anew: bool = False,
    tolerance: float = TOLERANCE,
    data_root: str | Path | None = None,
) -> Path:
    """Check a run directory and copy it into a folder of runs.

    Args:
        directory: of the submitted run.
        to: folder of all runs.
        anew: whether the score is computed again from the weights, on this machine's data.
        tolerance: how far that may lie off, see :data:`TOLERANCE`.
        data_root: folder of the real data.

    Returns:
        Where it lies now; where the very same run lay there before, nothing is written.

    Raises:
        RunError: it is refused, with all reasons; another run with this description is there; or it cannot be copied.
        DataError: it shall be evaluated, and the task's data is missing.
    """
    found = check(directory)
    if anew and not found.problems:
        found = re_evaluate(found, tolerance, data_root)
    if found.problems or found.config is None:
        reasons = "".join(f"\n  - {problem}" for problem in found.problems)
        raise RunError(f"{found.directory} is refused:{reasons}")
    return _take_in(found, found.config, found.config.directory(to))


def check(directory: str | Path) -> Checked:
    """Everything that can be checked without the task's data.

    Raises:
        RunError: there is no such directory.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise RunError(f"{directory} is no directory.", "give the directory of one run")
    problems = list(_file_problems(directory))
    if problems:
        return Checked(directory=directory, config=None, problems=tuple(problems))
    record = load_run(directory)
    if not record.finished:
        return Checked(directory=directory, config=None, problems=(f"it has no score: {record.problem}",))
    try:
        config = RunConfig.from_dict(record.config)
    except SpikeworksError as error:
        why = f"its description cannot be read by version {__version__}: {error}"
        return Checked(directory=directory, config=None, problems=(why,))
    task = _built(config)
    problems += _identity_problems(record, config, task)
    problems += _number_problems(directory)
    problems += _curve_problems(record, config)
    problems += _score_problems(record)
    problems += _network_problems(record, config, task)
    problems += _seal_problems(record)
    notes = tuple(_notes(record))
    return Checked(directory=directory, config=config, problems=tuple(dict.fromkeys(problems)), notes=notes)


def re_evaluate(found: Checked, tolerance: float = TOLERANCE, data_root: str | Path | None = None) -> Checked:
    """Compute validation and test score from the weights on this machine's data and compare.

    Raises:
        ConfigError: the description could not be read; DataError: the task's data is missing.
    """
    if found.config is None:
        raise ConfigError(f"{found.directory} cannot be evaluated: {'; '.join(found.problems)}")
    config, record = found.config, load_run(found.directory)
    task = config.task.build(data_root)
    network = Run(config).network(task)
    network.load_state_dict(load_tensors(found.directory / WEIGHTS)[0])
    problems, scores = list(found.problems), {}
    for split in ("validation", "test"):
        seen = evaluate(network, task, split, config.budget.batch_size, torch.device("cpu"))
        scores[split] = seen.values[task.metric.name]
        said = number(record.result, "score", split)
        allowed = tolerance * (1.0 if task.metric.unit == "fraction" else abs(scores[split]))
        if said is None or abs(said - scores[split]) > allowed:
            problems.append(
                f"its weights give a {split} {task.metric.name} of {scores[split]:.6g} here, the result says {said}"
            )
    return dataclasses.replace(found, problems=tuple(problems), scores=scores)


def read_note(directory: Path) -> dict[str, Any] | None:
    """What was written when a run was taken in; ``None`` for a run that was trained here."""
    try:
        note = json.loads((directory / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None


def _file_problems(directory: Path) -> Iterator[str]:
    for name in FILES:
        path = directory / name
        if path.is_symlink() or not path.is_file():
            yield f"{name} is {'a link' if path.is_symlink() else 'missing'}"


def _built(config: RunConfig) -> Task | None:
    """The task; ``None`` where it cannot be built without data that is not here."""
    try:
        return config.task.build()
    except DataError:
        return None


def _identity_problems(record: RunRecord, config: RunConfig, task: Task | None) -> Iterator[str]:
    """The description against its hash, the directory's name, and what the result repeats of it."""
    if to_dict(config) != record.config:
        yield "config.json is not what this version writes for that description: it was edited, or comes from another"
    if record.result.get("id") != config.id:
        yield f"the description has the identity {config.id}, the result says {record.result.get('id')}"
    name = config.directory("").name
    if record.path.resolve().name != name:
        yield f"a run of this description is called {name}, the directory {record.path.resolve().name}"
    for key, expected in (
        ("task", config.task_name),
        ("model", config.model_name),
        ("label", config.shown),
        ("seed", config.seed),
    ):
        if record.result.get(key) != expected:
            yield f"the description says {key} {expected!r}, the result {record.result.get(key)!r}"
    metric = dataclasses.asdict(config.task.info.metric if task is None else task.metric)
    if record.result.get("metric") != metric:
        yield f"{config.task_name} is ranked by {metric}, the result says {record.result.get('metric')}"
    missing = [key for key in _ABOUT if not record.environment.get(key)]
    if missing:
        yield f"environment.json does not say {', '.join(missing)}"


def _number_problems(directory: Path) -> Iterator[str]:
    """Numbers that are none: JSON does not know them, but many a program writes them."""
    for name in ("config.json", "metrics.jsonl", "result.json"):
        text = (directory / name).read_text(encoding="utf-8", errors="replace")
        wrong: list[str] = []
        for part in text.splitlines() if name == "metrics.jsonl" else [text]:
            if part.strip():
                try:
                    json.loads(part, parse_constant=wrong.append)
                except ValueError as error:
                    yield f"{name} is damaged: {error}"
        if wrong:
            yield f"{name} holds {wrong[0]}, which is not finite"


def _curve_problems(record: RunRecord, config: RunConfig) -> Iterator[str]:
    """Epochs in order, as many as the budget allows and the result says; the chosen one is the best."""
    lines, result = record.metrics, record.result
    epochs = [number(line, "epoch") for line in lines]
    if epochs != list(range(1, len(lines) + 1)) or not lines:
        yield f"metrics.jsonl has epochs {epochs[:5]} ..., expected 1, 2, 3 ..."
        return
    if number(result, "epochs") != len(lines):
        yield f"metrics.jsonl has {len(lines)} epochs, the result says {result.get('epochs')}"
    budget = config.budget
    early = budget.patience is not None or budget.max_seconds is not None
    if len(lines) > budget.epochs or (len(lines) < budget.epochs and not early):
        yield f"the description asks for {budget.epochs} epochs, metrics.jsonl has {len(lines)}"
    for key in ("step", "seconds"):
        values = [number(line, key) for line in lines]
        known = [value for value in values if value is not None]
        if len(known) < len(values) or known != sorted(known):
            yield f"{key} in metrics.jsonl does not grow from epoch to epoch"
    seconds, last = number(result, "seconds"), number(lines[-1], "seconds")
    if seconds is None or last is None or not math.isclose(seconds, last, rel_tol=_CLOSE):
        yield f"training took {last} seconds by metrics.jsonl, {result.get('seconds')} by the result"
    yield from _choice_problems(record)


def _choice_problems(record: RunRecord) -> Iterator[str]:
    scores = [number(line, "validation_score") for line in record.metrics]
    known = [score for score in scores if score is not None]
    if len(known) < len(scores):
        yield "metrics.jsonl lacks a finite validation score"
        return
    best = max(known) if record.result["metric"]["higher_is_better"] else min(known)
    first = known.index(best) + 1
    chosen, said = number(record.result, "score", "chosen_epoch"), number(record.result, "score", "validation")
    if chosen != first:
        yield f"by metrics.jsonl validation chose epoch {first}, by the result {chosen}"
    if said is None or not math.isclose(said, best, rel_tol=_CLOSE, abs_tol=_CLOSE):
        yield f"the best validation score is {best} by metrics.jsonl, {said} by the result"


def _score_problems(record: RunRecord) -> Iterator[str]:
    """The test score against its other mentions and what it can be."""
    result, metric = record.result, record.result["metric"]
    test = number(result, "score", "test")
    assert test is not None  # the reader of run directories has seen to it
    again = number(result, "test", str(metric["name"]))
    if again is None or not math.isclose(test, again, rel_tol=_CLOSE, abs_tol=_CLOSE):
        yield f"the test score is {test} under score and {again} under test"
    values = [value for value in (test, number(result, "score", "validation")) if value is not None]
    most = 1.0 if metric["higher_is_better"] else math.inf  # an error rate can be above 1
    if metric.get("unit") == "fraction" and not all(0 <= value <= most for value in values):
        yield f"a {metric['name']} lies between 0 and {most:g}, got {', '.join(map(str, values))}"
    if metric["name"] == "accuracy" and result.get("confusion"):
        share = _share_right(result["confusion"])
        if share is None or abs(share - test) > _CLOSE:
            yield f"by the confusion matrix the test score is {share}, by the result {test}"


def _share_right(counts: Any) -> float | None:
    """The diagonal of a confusion matrix over its sum; ``None`` where it is no such matrix."""
    try:
        total = sum(sum(row) for row in counts)
        return sum(row[index] for index, row in enumerate(counts)) / total
    except (TypeError, IndexError, ZeroDivisionError):
        return None


def _network_problems(record: RunRecord, config: RunConfig, task: Task | None) -> Iterator[str]:
    """The weights against the network that the description builds, and against the chosen epoch."""
    try:
        tensors, about = load_tensors(record.path / WEIGHTS)
    except RunError:
        yield f"{WEIGHTS} cannot be read"
        return
    chosen = number(record.result, "score", "chosen_epoch")
    if number(about, "epoch") != chosen:
        yield f"the weights are of epoch {about.get('epoch')}, the result says {chosen}"
    said = number(record.result, "score", "validation")
    if said is not None and number(about, "score") != said:
        yield f"the weights reached a validation score of {about.get('score')}, the result says {said}"
    if any(not bool(tensor.isfinite().all()) for tensor in tensors.values() if tensor.is_floating_point()):
        yield "a weight is not finite"
    if task is None:
        return
    try:
        network = Run(config).network(task)
    except ConfigError as error:
        yield f"the network of its description cannot be built: {error}"
        return
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != expected:
        yield "the weights do not fit the network of the description"
    count = count_parameters(network)
    if number(record.result, "parameters") != count:
        yield f"the network has {count} parameters, the result says {record.result.get('parameters')}"


def _seal_problems(record: RunRecord) -> Iterator[str]:
    said = record.result.get(FIELD)
    if said is None:
        yield "the result has no digest: let a newer version conclude the run (remove result.json, run it again)"
    elif said != digest(record.config, record.metrics, record.result, weights_hash(record.path)):
        yield "the digest does not fit: description, curve, weights or result were changed after the run ended"


def _notes(record: RunRecord) -> Iterator[str]:
    version = record.environment.get("spikeworks")
    if version != __version__:
        yield f"made with spikeworks {version}, checked with {__version__}"
    if record.environment.get("modified"):
        yield "made from a working copy with uncommitted changes"


def _take_in(found: Checked, config: RunConfig, target: Path) -> Path:
    """Copy the files of a run, all or none."""
    if target.exists():
        if (target / "result.json").is_file() and _content(target) == _content(found.directory):
            return target
        raise RunError(
            f"{target} is there already and is not the same run.", "the same description was trained here or twice"
        )
    names = [*FILES, "sample.safetensors", *plugin_sources(config)]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".submission-", dir=target.parent) as temporary:
            folder = Path(temporary) / target.name
            folder.mkdir()
            for name in names:
                source = found.directory / name
                if source.is_file() and not source.is_symlink():
                    shutil.copyfile(source, folder / name)
            write_json(folder / NOTE, _note(found))
            folder.rename(target)
    except OSError as error:
        raise RunError(f"Cannot write {target}: {error.strerror or error}.") from error
    return target


def _content(directory: Path) -> Any:
    return json.loads((directory / "result.json").read_text(encoding="utf-8"))


def _note(found: Checked) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"checked": now, "spikeworks": __version__, "notes": list(found.notes), "scores": found.scores}
