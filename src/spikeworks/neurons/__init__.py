"""Neurons: each a small class whose one time step is its whole definition."""

from .adaptive import ALIF, AdLIF
from .base import Neuron
from .description import NEURONS, NeuronConfig, Option, config_for, register_neuron
from .lif import LIF, PLIF, CubaLIF
from .parameters import Constraint, Parameter, clamped, negative_unit_interval, positive, real, uniform, unit_interval
from .pmsn import PMSN
from .reset import Reset
from .sliding import SlidingPSN
from .surrogate import SURROGATES, Surrogate, spike
from .tclif import TCLIF

__all__ = [
    "ALIF",
    "LIF",
    "NEURONS",
    "PLIF",
    "PMSN",
    "SURROGATES",
    "TCLIF",
    "AdLIF",
    "Constraint",
    "CubaLIF",
    "Neuron",
    "NeuronConfig",
    "Option",
    "Parameter",
    "Reset",
    "SlidingPSN",
    "Surrogate",
    "clamped",
    "config_for",
    "negative_unit_interval",
    "positive",
    "real",
    "register_neuron",
    "spike",
    "uniform",
    "unit_interval",
]
