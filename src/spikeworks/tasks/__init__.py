"""Tasks: what is asked, with splits, loss, metric and figures.

Example:
    >>> from spikeworks.tasks import task_for
    >>> task = task_for("binary-adding", steps=20, train_size=100, test_size=10, validation_size=10).build()
    >>> train = task.data("train")
    >>> train.batch(train.plan(batch_size=5)[0]).x.shape
    torch.Size([20, 5, 2])
"""

from __future__ import annotations

from .aishell import AishellConfig
from .array_esc10 import ArrayEsc10Config
from .autonomous_localization import AutonomousLocalizationConfig
from .base import (
    SPLITS,
    TASKS,
    ClassificationTask,
    Figure,
    LabellingTask,
    Meter,
    MetricInfo,
    Signature,
    Task,
    TaskConfig,
    TaskDefaults,
    TaskDescription,
    TaskInfo,
    TokenTask,
    describe,
    task_for,
)
from .basic_motions import BasicMotionsConfig
from .binary_adding import BinaryAddingConfig
from .cifar10_jpeg import Cifar10JpegConfig
from .csv_file import CsvConfig
from .delayed_cue import DelayedCueConfig
from .denoise_digits import DenoiseDigitsConfig
from .digit_strings import DigitStringsConfig
from .dvs_lip import DvsLipConfig
from .eegmmidb_mi import EegmmidbConfig
from .event_digits_signed import EventDigitsSignedConfig
from .gsc import GscConfig
from .ndns import NdnsConfig
from .nmnist_sample import NMnistSampleConfig
from .openbmi import OpenbmiConfig
from .ps_mnist import PSMnistConfig
from .ptb import PTBConfig
from .qtdb_ecg import QtdbEcgConfig
from .s_mnist import SMnistConfig
from .seq_digits import SeqDigitsConfig
from .shd import ShdConfig
from .sloclas import SLoClasConfig
from .spoken_digits import SpokenDigitsConfig
from .ssc import SscConfig
from .static_images import FashionMnistConfig, MnistConfig
from .timit import TimitConfig
from .wisdm import WisdmConfig
from .wrist_motion import WristMotionConfig

__all__ = [
    "SPLITS",
    "TASKS",
    "AishellConfig",
    "ArrayEsc10Config",
    "AutonomousLocalizationConfig",
    "BasicMotionsConfig",
    "BinaryAddingConfig",
    "Cifar10JpegConfig",
    "ClassificationTask",
    "CsvConfig",
    "DelayedCueConfig",
    "DenoiseDigitsConfig",
    "DigitStringsConfig",
    "DvsLipConfig",
    "EegmmidbConfig",
    "EventDigitsSignedConfig",
    "FashionMnistConfig",
    "Figure",
    "GscConfig",
    "LabellingTask",
    "Meter",
    "MetricInfo",
    "MnistConfig",
    "NMnistSampleConfig",
    "NdnsConfig",
    "OpenbmiConfig",
    "PSMnistConfig",
    "PTBConfig",
    "QtdbEcgConfig",
    "SLoClasConfig",
    "SMnistConfig",
    "SeqDigitsConfig",
    "ShdConfig",
    "Signature",
    "SpokenDigitsConfig",
    "SscConfig",
    "Task",
    "TaskConfig",
    "TaskDefaults",
    "TaskDescription",
    "TaskInfo",
    "TimitConfig",
    "TokenTask",
    "WisdmConfig",
    "WristMotionConfig",
    "describe",
    "task_for",
]
