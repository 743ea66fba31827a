"""From one step to fused code: trace, simplify, emit, build, run. Knows graphs, no neuron by name."""

from .graph import Graph
from .policy import Decision, decide, requested, use
from .run import FusedStep
from .trace import TracedStep, trace_step

__all__ = ["Decision", "FusedStep", "Graph", "TracedStep", "decide", "requested", "trace_step", "use"]
