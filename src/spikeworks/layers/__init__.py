"""Layers around the neurons: synapses, recurrence, normalisation, dropout, embedding, readout."""

from .dropout import TimeTiedDropout
from .embedding import Embedding
from .norm import BatchNorm, LayerNorm
from .readout import Readout, ReadoutConfig, ReadoutState
from .recurrent import Recurrent, RecurrentState
from .synapse import Conv1d, Dense

__all__ = [
    "BatchNorm",
    "Conv1d",
    "Dense",
    "Embedding",
    "LayerNorm",
    "Readout",
    "ReadoutConfig",
    "ReadoutState",
    "Recurrent",
    "RecurrentState",
    "TimeTiedDropout",
]
