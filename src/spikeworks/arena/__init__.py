"""Run, compare, store, report; names load what they need when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparison import Comparison, Outcome, compare, run_all
    from .config import Budget, RunConfig
    from .loop import Interrupted
    from .plugins import load_plugin
    from .probe_page import write_probe
    from .probe_run import Probe, probe
    from .progress import Progress
    from .report import write_report
    from .resolve import describe_neuron, describe_run
    from .run import Run
    from .store import RunRecord, load_run, load_runs
    from .summary import summarize

_HOME = {
    "Budget": "config",
    "Comparison": "comparison",
    "Interrupted": "loop",
    "Outcome": "comparison",
    "Probe": "probe_run",
    "Progress": "progress",
    "Run": "run",
    "RunConfig": "config",
    "RunRecord": "store",
    "compare": "comparison",
    "describe_neuron": "resolve",
    "describe_run": "resolve",
    "load_plugin": "plugins",
    "load_run": "store",
    "load_runs": "store",
    "probe": "probe_run",
    "run_all": "comparison",
    "summarize": "summary",
    "write_probe": "probe_page",
    "write_report": "report",
}

__all__ = [
    "Budget",
    "Comparison",
    "Interrupted",
    "Outcome",
    "Probe",
    "Progress",
    "Run",
    "RunConfig",
    "RunRecord",
    "compare",
    "describe_neuron",
    "describe_run",
    "load_plugin",
    "load_run",
    "load_runs",
    "probe",
    "run_all",
    "summarize",
    "write_probe",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
