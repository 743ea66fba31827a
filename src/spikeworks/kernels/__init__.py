"""From one step to fused code: trace, simplify, emit, build, run. Knows graphs, no neuron by name."""

from .emit_torch import TorchStep
from .feedback import run_with_feedback
from .graph import Graph
from .policy import Decision, decide, requested, use
from .recompute import recomputed
from .run import FusedStep
from .trace import TracedStep, trace_step

__all__ = [
    "Decision",
    "FusedStep",
    "Graph",
    "TorchStep",
    "TracedStep",
    "decide",
    "recomputed",
    "requested",
    "run_with_feedback",
    "trace_step",
    "use",
]
