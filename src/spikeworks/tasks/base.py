"""What is asked, never how it is solved: signature, splits, loss, metric, published figures.

A task is described by a frozen :class:`TaskConfig` and built from it. Its splits are fixed:
a validation split chooses, the test split is read once.

Legend: ``T`` time steps, ``B`` batch, ``C`` channels, ``K`` classes, ``V`` words, ``S`` audio samples, ``L`` labels.
"""

from __future__ import annotations

import abc
import dataclasses
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from ..core.batch import UNLABELLED, Batch
from ..core.errors import ShapeError, UnknownName
from ..core.registry import Registry
from ..data.dataset import Dataset
from ..data.files import FileSet
from ..measure.classify import ClassificationMeter
from ..measure.labelling import LabellingMeter, check_step_scores
from ..measure.text import PerplexityMeter, token_losses

SPLITS = ("train", "validation", "test")
"""The names of the splits of every task."""
Kind = Literal["classification", "labelling", "tokens", "signal", "transcript"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Signature:
    """What goes in and what comes out.

    Attributes:
        steps: length T of every sequence; ``None`` where it differs.
        inputs: channels C, or ``(C, H, W)`` for frames, or the size of the vocabulary for tokens.
        outputs: classes K, the size of the vocabulary, numbers a step, or labels with the blank.
        kind: ``"classification"`` (floats ``[T, B, C]`` or frames ``[T, B, C, H, W]``, one label a
            sequence), ``"labelling"`` (floats, and a label at every step), ``"tokens"`` (ids ``[B, T]``, one target a
            step), ``"signal"`` (floats, and the numbers of all steps together make a wave) or ``"transcript"`` (floats,
            and a shorter sequence of labels).
        classes: names of the classes, in the order of their ids.
    """

    steps: int | None
    inputs: int | tuple[int, int, int]
    outputs: int
    kind: Kind = "classification"
    classes: tuple[str, ...] | None = None

    @property
    def frames(self) -> bool:
        """Whether a step is a frame ``(C, H, W)``."""
        return isinstance(self.inputs, tuple)

    @property
    def step_targets(self) -> bool:
        """Whether every step has a target of its own, ``[B, T]``."""
        return self.kind in ("tokens", "labelling")

    @property
    def shape(self) -> tuple[int, ...]:
        """One step of one sequence; nothing for tokens, which are single numbers."""
        if self.kind == "tokens":
            return ()
        return self.inputs if isinstance(self.inputs, tuple) else (self.inputs,)


@dataclasses.dataclass(frozen=True)
class MetricInfo:
    """The figure by which models are ranked."""

    name: str
    unit: str
    higher_is_better: bool


ACCURACY = MetricInfo("accuracy", "fraction", True)
PERPLEXITY = MetricInfo("perplexity", "perplexity", False)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A published score of a model on this task, in the unit of the task's metric."""

    model: str
    value: float
    source: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskDefaults:
    """The training recipe that holds where the user says nothing.

    Attributes:
        network: name of the network.
        hidden: widths of the hidden layers of a stack.
        epochs, batch_size: budget.
        learning_rate, weight_decay: of AdamW.
        clip: norm to which gradients are clipped; 0: not at all.
        readout: kind of the readout.
        readout_scale: factor on its outputs; mean spike rates lie in [0, 1], and a softmax of
            them stays blunt without one.
        schedule: ``"constant"``, ``"cosine"`` to 0, or ``"step"``: times ``step_factor`` every
            ``step_epochs``.
        embedding: width of the word embedding, for tokens.
        dropout: share of units dropped while training.
        notes: what else the recipe's source says.
    """

    network: str = "stack"
    hidden: tuple[int, ...] = (64, 64)
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 5e-3
    weight_decay: float = 0.0
    clip: float = 1.0
    readout: Literal["mean", "last", "sum", "leaky", "every"] = "mean"
    readout_scale: float = 1.0
    schedule: Literal["constant", "cosine", "step"] = "constant"
    step_factor: float = 0.8
    step_epochs: int = 10
    embedding: int | None = None
    dropout: float = 0.0
    notes: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskInfo:
    """What a listing says about a task without reading any data.

    Attributes:
        summary: one line.
        shape: sequence length, channels and outputs.
        sizes: samples of training, validation and test (tokens for a text); ``None``: depends on
            the user's file.
        metric: the figure by which models are ranked.
        files: the files wanted; ``None``: the task brings or makes its data.
    """

    summary: str
    shape: str
    sizes: tuple[int, int, int] | None
    metric: MetricInfo
    files: FileSet | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskConfig(abc.ABC):
    """Frozen description of a task; subclasses add its options as fields."""

    config_family: ClassVar[str] = "task"
    info: ClassVar[TaskInfo] = TaskInfo(summary="a task of your own", shape="", sizes=None, metric=ACCURACY)

    @abc.abstractmethod
    def build(self, root: str | Path | None = None) -> Task:
        """The task.

        Args:
            root: the data directory; ``None`` asks SPIKEWORKS_DATA where files are needed.
        """

    def defaults(self) -> TaskDefaults:
        """The training recipe for this task."""
        return TaskDefaults()


class Meter(Protocol):
    """Collects a score batch by batch."""

    def update(self, output: Tensor, batch: Batch) -> None:
        """Count one batch."""
        ...

    def compute(self) -> dict[str, float]:
        """All figures; the task's metric is one of them."""
        ...


class Task(abc.ABC):
    """A built task. Splits are loaded when first asked for, and kept.

    Attributes:
        name: the registered name.
        config: what it was built from.
        signature: shapes and names.
        metric: how models are ranked.
        default_readout: the readout that the task's protocol asks for.
        published: figures from papers, where there are any.
        whole_loss: why a single step has no loss, as a clause; ``None`` where it has one. Methods that learn from
            every step say it when they refuse.
    """

    metric: MetricInfo
    default_readout: str = "mean"
    published: tuple[Figure, ...] = ()
    whole_loss: str | None = None

    def __init__(self, config: TaskConfig, signature: Signature) -> None:
        self.config = config
        self.signature = signature
        self._loaded: dict[str, Dataset] = {}

    @property
    def step_targets(self) -> bool:
        """Whether every step has a target of its own; methods that plan their memory ask."""
        return self.signature.step_targets

    @property
    def name(self) -> str:
        """The name under which the description is registered."""
        return self.config.config_kind  # type: ignore[attr-defined]

    def data(self, split: str) -> Dataset:
        """The data of ``"train"``, ``"validation"`` or ``"test"``.

        Raises:
            UnknownName: another split; DataError: the data is missing or damaged.
        """
        if split not in SPLITS:
            raise UnknownName("split", split, SPLITS)
        if split not in self._loaded:
            self._loaded.update(self._load(split))
        return self._loaded[split]

    @abc.abstractmethod
    def _load(self, split: str) -> dict[str, Dataset]:
        """The split, and any others that come with it at no further cost."""

    def random_target(self, steps: int, size: int, generator: torch.Generator) -> Tensor:
        """A target without meaning for ``size`` sequences of any length, to measure what an update costs."""
        shape = (size, steps) if self.step_targets else (size,)
        return torch.randint(self.signature.outputs, shape, generator=generator)

    @abc.abstractmethod
    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """Mean loss over the targets of a batch."""

    @abc.abstractmethod
    def meter(self) -> Meter:
        """A fresh meter of the task's metric."""


class ClassificationTask(Task):
    """One label for each sequence; cross-entropy and accuracy."""

    metric = ACCURACY

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of class scores ``[B, K]``, at least in float32.

        Raises:
            ShapeError: the output is not ``[B, K]``.
        """
        expected = (batch.size, self.signature.outputs)
        if output.shape != expected:
            raise ShapeError(
                f"Task {self.name} expected class scores of shape {list(expected)}, got {list(output.shape)}.",
                "a classifier needs a readout that joins the steps: mean, last, sum or leaky",
            )
        scores = output if output.dtype.itemsize >= 4 else output.float()
        return functional.cross_entropy(scores, batch.target)

    def meter(self) -> ClassificationMeter:
        return ClassificationMeter(self.signature.outputs)


class LabellingTask(Task):
    """One label at every step (framewise classification); cross-entropy and accuracy over the steps that have one."""

    metric = ACCURACY
    default_readout = "every"

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """Mean cross-entropy of class scores ``[T, B, K]`` over the labelled steps of targets ``[B, T]``, in nats.

        At least in float32; 0 where no step has a label.

        Raises:
            ShapeError: the output is not ``[T, B, K]``.
        """
        check_step_scores(output, batch.target, self.signature.outputs)
        scores = output if output.dtype.itemsize >= 4 else output.float()
        target = batch.target.t().flatten()
        total = functional.cross_entropy(scores.flatten(0, 1), target, ignore_index=UNLABELLED, reduction="sum")
        return total / (target != UNLABELLED).sum().clamp(min=1)

    def meter(self) -> LabellingMeter:
        return LabellingMeter(self.signature.outputs)


class TokenTask(Task):
    """The next token at every step; cross-entropy and perplexity."""

    metric = PERPLEXITY
    default_readout = "every"

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """Mean cross-entropy of word scores ``[T, B, V]`` for targets ``[B, T]``, in nats."""
        return token_losses(output, batch.target).mean()

    def meter(self) -> PerplexityMeter:
        return PerplexityMeter()


TASKS: Registry[type[TaskConfig]] = Registry("task", "'spikeworks list tasks' shows what each of them asks")
"""All tasks, by name."""


def task_for(name: str, **options: object) -> TaskConfig:
    """The description of the task called ``name`` with some options set.

    Raises:
        UnknownName: no such task or option; ConfigError: a value that the option cannot take.

    Example:
        >>> from spikeworks.tasks import task_for
        >>> task_for("seq-digits", by="row").by
        'row'
    """
    from ..core.config import from_dict

    kind = TASKS.get(name)
    return from_dict(kind, {"kind": name, **options}, where=f"task {name}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskDescription:
    """One row of a listing, see :func:`describe`."""

    name: str
    summary: str
    shape: str
    sizes: tuple[int, int, int] | None
    metric: MetricInfo
    files: tuple[str, ...]
    layout: str
    downloadable: bool
    options: tuple[tuple[str, str], ...]


def describe(name: str) -> TaskDescription:
    """What a listing says about a task; reads no data.

    Raises:
        UnknownName: no such task.
    """
    kind = TASKS.get(name)
    info = kind.info
    files = info.files
    options = []
    for field in dataclasses.fields(kind):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        options.append((field.name, "required" if required else repr(field.default)))
    return TaskDescription(
        name=name,
        summary=info.summary,
        shape=info.shape,
        sizes=info.sizes,
        metric=info.metric,
        files=() if files is None else tuple(file.name for file in files.files),
        layout="" if files is None else f"{files.name}/: {files.layout}",
        downloadable=files is not None and files.source is not None,
        options=tuple(options),
    )
