"""A user's Python file with neurons of his own."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path

from ..core.errors import DataError, SpikeworksError
from ..models import ModelConfig
from ..neurons import NEURONS

_PREFIX = "spikeworks_plugin_"


def load_plugin(path: str | Path) -> list[str]:
    """Execute a file once and return the names of the neurons that it registered.

    Raises:
        DataError: it cannot be read, fails, or registers nothing.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"Cannot read the plugin {path}: {error.strerror or error}.",
            "give the path of a Python file that registers neurons with @register_neuron",
        ) from error
    name = f"{_PREFIX}{path.stem}_{hashlib.sha256(content).hexdigest()[:8]}"
    known = sys.modules.get(name)
    if known is not None:
        return list(known.__spikeworks_neurons__)
    before = set(NEURONS)
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
    added = sorted(set(NEURONS) - before)
    if not added:
        del sys.modules[name]
        raise DataError(f"The plugin {path} registers no neuron.", "put @register_neuron('my-neuron') above its class")
    module.__spikeworks_neurons__ = added  # type: ignore[attr-defined]
    return added


def plugin_sources(model: ModelConfig) -> dict[str, str]:
    """File name and text of the plugin that defines the model's neuron; empty for any other neuron."""
    neuron = getattr(model, "neuron", None)
    module = sys.modules.get(neuron.neuron.__module__) if neuron is not None else None
    if module is None or module.__file__ is None or not module.__name__.startswith(_PREFIX):
        return {}
    return {Path(module.__file__).name: inspect.getsource(module)}


def _where(error: Exception, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return f" in line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f" in line {lines[-1]}" if lines else ""
