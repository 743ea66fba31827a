"""Layers around the neurons: synapses, recurrence, normalisation, dropout, embedding, readout."""

from .attention import LinearAttention, SoftmaxAttention
from .branches import BranchedDense, EachInput
from .conv2d import Conv2d
from .conv_time import CausalConv
from .delay import BufferBytes, DelayConfig, DelayLinear
from .delay_kernel import delay_kernel
from .dropout import TimeTiedDropout
from .embedding import Embedding
from .frequency import FrequencyReadout, Section, SectionDense
from .gru import GRU
from .inner import InnerTime
from .lstm import LSTM
from .norm import BatchNorm, LayerNorm
from .norm_time import BatchNormThroughTime, EachInputStepwise, TemporalEffectiveBatchNorm, ThresholdBatchNorm
from .pool import AveragePool2d, MaxPool2d, PooledReadout
from .readout import Readout, ReadoutConfig, ReadoutState
from .recurrent import Recurrent, RecurrentState
from .s4d import GLU, S4D, TernaryGate
from .stateful import Stateful
from .synapse import Conv1d, Dense

__all__ = [
    "GLU",
    "GRU",
    "LSTM",
    "S4D",
    "AveragePool2d",
    "BatchNorm",
    "BatchNormThroughTime",
    "BranchedDense",
    "BufferBytes",
    "CausalConv",
    "Conv1d",
    "Conv2d",
    "DelayConfig",
    "DelayLinear",
    "Dense",
    "EachInput",
    "EachInputStepwise",
    "Embedding",
    "FrequencyReadout",
    "InnerTime",
    "LayerNorm",
    "LinearAttention",
    "MaxPool2d",
    "PooledReadout",
    "Readout",
    "ReadoutConfig",
    "ReadoutState",
    "Recurrent",
    "RecurrentState",
    "Section",
    "SectionDense",
    "SoftmaxAttention",
    "Stateful",
    "TemporalEffectiveBatchNorm",
    "TernaryGate",
    "ThresholdBatchNorm",
    "TimeTiedDropout",
    "delay_kernel",
]
