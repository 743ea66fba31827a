"""A user's Python file with parts of his own: neurons, networks, methods, tasks and more."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import DataError, SpikeworksError
from ..core.registry import Registry
from ..learning import METHODS
from ..measure.constants import PROFILES
from ..measure.conventions import CONVENTIONS
from ..models import NETWORKS
from ..neurons import NEURONS, SURROGATES, NeuronConfig
from ..optim import OPTIMIZERS, SCHEDULES
from ..tasks import TASKS

_PREFIX = "spikeworks_plugin_"
REGISTRIES: Mapping[str, Registry[Any]] = {
    "neurons": NEURONS,
    "networks": NETWORKS,
    "methods": METHODS,
    "tasks": TASKS,
    "optimizers": OPTIMIZERS,
    "schedules": SCHEDULES,
    "surrogates": SURROGATES,
    "energy profiles": PROFILES,
    "energy conventions": CONVENTIONS,
}
"""What a plugin can add to."""


def load_plugin(path: str | Path, beside: Mapping[str, Registry[Any]] | None = None) -> dict[str, list[str]]:
    """Execute a file once and return the names that it registered, by kind: ``{"methods": ["mine"]}``.

    Args:
        path: a Python file.
        beside: further registries, by the name of what they hold, beside :data:`REGISTRIES`.

    Raises:
        DataError: it cannot be read, fails, or registers nothing.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"Cannot read the plugin {path}: {error.strerror or error}.",
            "give the path of a Python file that registers a neuron, a learning method, a task ...",
        ) from error
    name = f"{_PREFIX}{path.stem}_{hashlib.sha256(content).hexdigest()[:8]}"
    known = sys.modules.get(name)
    if known is not None:
        return {kind: list(names) for kind, names in known.__spikeworks_added__.items()}
    registries = {**REGISTRIES, **(beside or {})}
    before = {kind: set(registry) for kind, registry in registries.items()}
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise DataError(f"{path} is no Python file.", "a plugin ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # the source of its classes is looked up there
    try:
        spec.loader.exec_module(module)
    except SpikeworksError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise DataError(f"The plugin {path} fails{_where(error, path)}: {type(error).__name__}: {error}") from error
    added = {kind: new for kind, registry in registries.items() if (new := sorted(set(registry) - before[kind]))}
    if not added:
        del sys.modules[name]
        raise DataError(
            f"The plugin {path} registers nothing; it can add {_listed(registries)}.",
            "put @register_neuron('my-neuron') above the class of a neuron, "
            "@METHODS.register('my-method') above the description of a method, and so on",
        )
    module.__spikeworks_added__ = added  # type: ignore[attr-defined]
    return {kind: list(names) for kind, names in added.items()}


def plugin_sources(description: Any) -> dict[str, str]:
    """File name and text of every plugin that defines a part of a description: of a run, a model, a method ..."""
    found = {}
    for part in _parts(description):
        defined = part.neuron if isinstance(part, NeuronConfig) else type(part)
        module = sys.modules.get(defined.__module__)
        if module is not None and module.__file__ is not None and module.__name__.startswith(_PREFIX):
            found[Path(module.__file__).name] = inspect.getsource(module)
    return found


def _parts(value: Any) -> Iterator[Any]:
    """A description and all descriptions in it."""
    if isinstance(value, tuple | list):
        for item in value:
            yield from _parts(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield value
        for field in dataclasses.fields(value):
            yield from _parts(getattr(value, field.name))


def _listed(names: Mapping[str, Any]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}"


def _where(error: Exception, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return f" in line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f" in line {lines[-1]}" if lines else ""
