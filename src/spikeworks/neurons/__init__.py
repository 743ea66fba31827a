"""Neurons: each a small class whose one time step is its whole definition."""

from .adaptive import ALIF, AdLIF, SEAdLIF
from .base import Neuron
from .dendritic import DHLIF
from .description import NEURONS, NeuronConfig, Option, config_for, register_neuron
from .gated import GSN, NormedGSN
from .integer import ILIF, expand_counts
from .izhikevich import Izhikevich
from .lif import CLIF, IF, KLIF, LIF, PLIF, CubaLIF
from .liquid import LTC
from .lmh import LMH
from .parameters import (
    Constraint,
    Parameter,
    above_zero,
    clamped,
    decay_from_tau,
    negative_unit_interval,
    positive,
    real,
    uniform,
    unit_interval,
)
from .pmsn import PMSN
from .psn import PSN, MaskedPSN
from .reset import Reset
from .resonate import BalancedHarmonicRF, BalancedRF, ResonateAndFire
from .sliding import SlidingPSN
from .stochastic import StochasticPSN
from .surrogate import SURROGATES, Surrogate, WidthSchedule, spike
from .tclif import LSTMLIF, TCLIF, AdaptiveTCLIF, TwoCompartment
from .timed import CELIF, GLIF, Timed

__all__ = [
    "ALIF",
    "CELIF",
    "CLIF",
    "DHLIF",
    "GLIF",
    "GSN",
    "IF",
    "ILIF",
    "KLIF",
    "LIF",
    "LMH",
    "LSTMLIF",
    "LTC",
    "NEURONS",
    "PLIF",
    "PMSN",
    "PSN",
    "SURROGATES",
    "TCLIF",
    "AdLIF",
    "AdaptiveTCLIF",
    "BalancedHarmonicRF",
    "BalancedRF",
    "Constraint",
    "CubaLIF",
    "Izhikevich",
    "MaskedPSN",
    "Neuron",
    "NeuronConfig",
    "NormedGSN",
    "Option",
    "Parameter",
    "Reset",
    "ResonateAndFire",
    "SEAdLIF",
    "SlidingPSN",
    "StochasticPSN",
    "Surrogate",
    "Timed",
    "TwoCompartment",
    "WidthSchedule",
    "above_zero",
    "clamped",
    "config_for",
    "decay_from_tau",
    "expand_counts",
    "negative_unit_interval",
    "positive",
    "real",
    "register_neuron",
    "spike",
    "uniform",
    "unit_interval",
]
