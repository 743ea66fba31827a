"""A user's Python file with neurons of his own."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path

from ..core.errors import DataError, SpikeworksError
from ..neurons import NEURONS
from .config import Plugin


def load_plugin(path: str | Path) -> list[str]:
    """Execute a file once and return the names of the neurons that it registered.

    Raises:
        DataError: it cannot be read, fails, or registers nothing.
    """
    path = Path(path)
    content = Plugin.of(path)
    name = f"spikeworks_plugin_{path.stem}_{content.sha256[:8]}"
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


def _where(error: Exception, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return f" in line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f" in line {lines[-1]}" if lines else ""
