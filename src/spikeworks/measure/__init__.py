"""Score, speed, memory, operations, energy and statistics, on any network and batch.

Example:
    >>> import torch
    >>> from spikeworks.measure import energy, memory
    >>> network, x = torch.nn.Linear(4, 3), torch.rand(5, 2, 4)          # [T, B, C]
    >>> round(energy(network, x).convention_nj * 1000, 6) == 5 * 4 * 3 * 4.6
    True
    >>> memory(network, x).saved_bytes                                    # x itself is not counted
    0
"""

from .constants import DEFAULT_PROFILE, PROFILES, Constant, EnergyProfile, MemoryTier
from .conventions import CONVENTIONS, Convention
from .energy import EnergyReport, LayerEnergy, energy, price
from .energy_by import ConventionReport, LayerByConvention, energy_by
from .environment import environment, machine
from .live import LiveMemory, watch_memory
from .memory import MemoryReport, memory
from .operations import LayerOperations, OperationsReport, count_operations
from .rates import RateMeter, spike_rates
from .speed import SpeedReport, Timing, speed
from .stats import PairedDifference, Summary, bootstrap_interval, mean, paired, spread, summarize

__all__ = [
    "CONVENTIONS",
    "DEFAULT_PROFILE",
    "PROFILES",
    "Constant",
    "Convention",
    "ConventionReport",
    "EnergyProfile",
    "EnergyReport",
    "LayerByConvention",
    "LayerEnergy",
    "LayerOperations",
    "LiveMemory",
    "MemoryReport",
    "MemoryTier",
    "OperationsReport",
    "PairedDifference",
    "RateMeter",
    "SpeedReport",
    "Summary",
    "Timing",
    "bootstrap_interval",
    "count_operations",
    "energy",
    "energy_by",
    "environment",
    "machine",
    "mean",
    "memory",
    "paired",
    "price",
    "speed",
    "spike_rates",
    "spread",
    "summarize",
    "watch_memory",
]
