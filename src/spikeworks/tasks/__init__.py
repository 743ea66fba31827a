"""Tasks: what is asked, with splits, loss, metric and figures.

Example:
    >>> from spikeworks.tasks import task_for
    >>> task = task_for("binary-adding", steps=20, train_size=100, test_size=10, validation_size=10).build()
    >>> train = task.data("train")
    >>> train.batch(train.plan(batch_size=5)[0]).x.shape
    torch.Size([20, 5, 2])
"""

from __future__ import annotations

from .array_esc10 import ArrayEsc10Config
from .autonomous_localization import AutonomousLocalizationConfig
from .base import (
    SPLITS,
    TASKS,
    ClassificationTask,
    Figure,
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
from .dvs_lip import DvsLipConfig
from .eegmmidb_mi import EegmmidbConfig
from .event_digits_signed import EventDigitsSignedConfig
from .nmnist_sample import NMnistSampleConfig
from .openbmi import OpenbmiConfig
from .ps_mnist import PSMnistConfig
from .ptb import PTBConfig
from .s_mnist import SMnistConfig
from .seq_digits import SeqDigitsConfig
from .sloclas import SLoClasConfig
from .spoken_digits import SpokenDigitsConfig
from .static_images import FashionMnistConfig, MnistConfig
from .wisdm import WisdmConfig
from .wrist_motion import WristMotionConfig

__all__ = [
    "SPLITS",
    "TASKS",
    "ArrayEsc10Config",
    "AutonomousLocalizationConfig",
    "BasicMotionsConfig",
    "BinaryAddingConfig",
    "Cifar10JpegConfig",
    "ClassificationTask",
    "CsvConfig",
    "DelayedCueConfig",
    "DvsLipConfig",
    "EegmmidbConfig",
    "EventDigitsSignedConfig",
    "FashionMnistConfig",
    "Figure",
    "Meter",
    "MetricInfo",
    "MnistConfig",
    "NMnistSampleConfig",
    "OpenbmiConfig",
    "PSMnistConfig",
    "PTBConfig",
    "SLoClasConfig",
    "SMnistConfig",
    "SeqDigitsConfig",
    "Signature",
    "SpokenDigitsConfig",
    "Task",
    "TaskConfig",
    "TaskDefaults",
    "TaskDescription",
    "TaskInfo",
    "TokenTask",
    "WisdmConfig",
    "WristMotionConfig",
    "describe",
    "task_for",
]
