"""Layers around the neurons: synapses, recurrence, normalisation, dropout, embedding, readout."""

from .branches import BranchedDense, EachInput
from .conv2d import Conv2d
from .delay import BufferBytes, DelayConfig, DelayLinear
from .delay_kernel import delay_kernel
from .dropout import TimeTiedDropout
from .embedding import Embedding
from .norm import BatchNorm, LayerNorm
from .norm_time import BatchNormThroughTime, EachInputStepwise, TemporalEffectiveBatchNorm, ThresholdBatchNorm
from .pool import AveragePool2d, MaxPool2d, PooledReadout
from .readout import Readout, ReadoutConfig, ReadoutState
from .recurrent import Recurrent, RecurrentState
from .synapse import Conv1d, Dense

__all__ = [
    "AveragePool2d",
    "BatchNorm",
    "BatchNormThroughTime",
    "BranchedDense",
    "BufferBytes",
    "Conv1d",
    "Conv2d",
    "DelayConfig",
    "DelayLinear",
    "Dense",
    "EachInput",
    "EachInputStepwise",
    "Embedding",
    "LayerNorm",
    "MaxPool2d",
    "PooledReadout",
    "Readout",
    "ReadoutConfig",
    "ReadoutState",
    "Recurrent",
    "RecurrentState",
    "TemporalEffectiveBatchNorm",
    "ThresholdBatchNorm",
    "TimeTiedDropout",
    "delay_kernel",
]
