"""Train, compare and deploy spiking neural networks for signals that unfold in time.

The names below are loaded when they are first used, so that ``import spikeworks`` costs nothing.

Example:
    >>> import spikeworks
    >>> "Network" in dir(spikeworks)
    True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arena import Run, RunConfig, compare, describe_run, load_runs, write_report
    from .core.errors import SpikeworksError
    from .measure import energy, memory, speed, spike_rates
    from .models import Network, StackConfig
    from .neurons import (
        NEURONS,
        Neuron,
        Option,
        Parameter,
        Reset,
        Surrogate,
        config_for,
        positive,
        register_neuron,
        unit_interval,
    )
    from .tasks import TASKS, task_for

__version__ = "0.1.0"

__all__ = [
    "NEURONS",
    "TASKS",
    "Network",
    "Neuron",
    "Option",
    "Parameter",
    "Reset",
    "Run",
    "RunConfig",
    "SpikeworksError",
    "StackConfig",
    "Surrogate",
    "__version__",
    "compare",
    "config_for",
    "describe_run",
    "energy",
    "load_runs",
    "memory",
    "positive",
    "register_neuron",
    "speed",
    "spike_rates",
    "task_for",
    "unit_interval",
    "write_report",
]

_HOME = {
    "NEURONS": "neurons",
    "TASKS": "tasks",
    "Network": "models",
    "Neuron": "neurons",
    "Option": "neurons",
    "Parameter": "neurons",
    "Reset": "neurons",
    "Run": "arena",
    "RunConfig": "arena",
    "SpikeworksError": "core.errors",
    "StackConfig": "models",
    "Surrogate": "neurons",
    "compare": "arena",
    "config_for": "neurons",
    "describe_run": "arena",
    "energy": "measure",
    "load_runs": "arena",
    "memory": "measure",
    "positive": "neurons",
    "register_neuron": "neurons",
    "unit_interval": "neurons",
    "speed": "measure",
    "spike_rates": "measure",
    "task_for": "tasks",
    "write_report": "arena",
}


def __getattr__(name: str) -> Any:
    """Load a public name from the part that defines it."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
