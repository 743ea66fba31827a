"""One run: from a frozen description to a directory with a result; cut off anywhere, it goes on from there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..core.config import canonical_json, to_dict
from ..core.errors import ConfigError, RunError, TrainingDiverged
from ..core.files import write_json, write_text
from ..core.seeds import stream
from ..learning import Learner, Plan
from ..measure import environment
from ..tasks import SPLITS, Task
from .checkpoint import Position, load_checkpoint, load_tensors, truncate_lines
from .config import RunConfig
from .distributed import agree, first, join, resolve_device, share
from .finish import conclude, header
from .lock import locked
from .loop import Interrupted, Loop
from .plugins import plugin_sources
from .progress import Progress

if TYPE_CHECKING:
    from .store import RunRecord


class Run:
    """A description and where it is carried out.

    Args:
        config: what to do.
        root: folder of all runs.
        data_root: folder of the real data; by default what ``SPIKEWORKS_DATA`` names.

    Example:
        ``Run(recipes.quickstart("tc-lif"), "runs").execute()["score"]["test"]``
    """

    def __init__(
        self,
        config: RunConfig,
        root: str | Path = "runs",
        data_root: str | Path | None = None,
    ) -> None:
        self.config = config
        self.directory = config.directory(root)
        self.data_root = None if data_root is None else Path(data_root)

    @classmethod
    def stored(cls, record: RunRecord, data_root: str | Path | None = None, *, else_says: str) -> Run:
        """A finished run where it lies now, whatever its folder is called.

        Args:
            record: see :func:`~spikeworks.arena.store.load_run`.
            data_root: folder of the real data.
            else_says: what a run that is not finished cannot do, as the rest of a sentence.

        Raises:
            RunError: it is not finished.
        """
        if not record.finished:
            raise RunError(f"{record.path} {else_says}: {record.problem}.", "start the same command again")
        run = cls(RunConfig.from_dict(record.config), record.path.parent.parent, data_root)
        run.directory = record.path
        return run

    def result(self) -> dict[str, Any] | None:
        """What an earlier execution found, or ``None``."""
        path = self.directory / "result.json"
        try:
            return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        except (OSError, ValueError) as error:
            raise RunError(f"{path} is damaged: {error}.", "remove it; the run then concludes again") from error

    def execute(self, progress: Progress | None = None, *, checkpoint_seconds: float = 60.0) -> dict[str, Any]:
        """Carry out what is still to be done and return the result.

        A finished run is read, a cut one resumed. Under ``torchrun`` all processes train one run.

        Args:
            progress: hears what happens.
            checkpoint_seconds: longest time between two checkpoints within an epoch.

        Raises:
            DataError: the task's files are missing or damaged.
            RunError: the directory cannot be written, or another process writes it.
            TrainingDiverged: now or when it was executed before; the result says so as well.
            Interrupted: Ctrl-C; the same call goes on from there.
        """
        progress = progress or Progress()
        device = resolve_device(self.config.device)
        join(device)
        done = agree(self.result() if first() else None)
        if done is not None:
            self._check_plugins()
            return _unless_diverged(done)
        task = self.config.task.build(self.data_root)
        for split in SPLITS:  # what cannot work shows before anything is written
            task.data(split)
        network = self.network(task, device)
        learner = self._learner(task, network)
        with locked(self.directory) if first() else contextlib.nullcontext():
            return self._execute(task, learner, device, progress if first() else Progress(), checkpoint_seconds)

    def network(self, task: Task, device: torch.device | str = "cpu") -> nn.Module:
        """The untrained network: initial values depend on the seed alone.

        Raises:
            ConfigError: the network takes another kind of input than the task gives.
        """
        signature = task.signature
        model = self.config.model
        if signature.frames and not model.frames:
            shape = " x ".join(map(str, signature.shape))
            raise ConfigError(
                f"Task {task.name} gives frames of {shape} values, and network "
                f"{getattr(model, 'config_kind', type(model).__name__)} takes vectors.",
                "take a network for frames (--network conv8), or the frames as vectors (--task.flatten True)",
            )
        generator = stream(self.config.seed, "weights")
        tokens = signature.kind == "tokens"
        network = model.build(signature.inputs, signature.outputs, generator, tokens=tokens).to(device)
        self.config.method.prepare(network)
        return network

    def trained(self, task: Task | None = None, device: torch.device | str = "cpu") -> nn.Module:
        """The network with the weights chosen on validation.

        Raises:
            RunError: the run has none yet.
        """
        task = task or self.config.task.build(self.data_root)
        network = self.network(task, device)
        tensors, _ = load_tensors(self.directory / "best.safetensors")
        network.load_state_dict(tensors)
        return network

    def _learner(self, task: Task, network: nn.Module) -> Learner:
        """What learns; raises what the method refuses."""
        config, data = self.config, task.data("train")
        batches = data.plan(config.budget.batch_size)
        plan = Plan(
            optimizer=config.optimizer,
            schedule=config.schedule,
            steps_per_epoch=len(batches),
            epochs=config.budget.epochs,
            seed=config.seed,
            example=share(data.batch(batches[0])),
        )
        return config.method.build(network, task, plan)

    def _execute(
        self, task: Task, learner: Learner, device: torch.device, progress: Progress, seconds: float
    ) -> dict[str, Any]:
        config, path = self.config, self.directory / "checkpoint.safetensors"
        resumes = agree(path.exists())
        if resumes:
            self._check_plugins()
        if first():
            self._describe(resumes)
        position = Position()
        if resumes:
            tensors, position = load_checkpoint(path)
            learner.load_state_dict(tensors, position.learner)
        if first():
            truncate_lines(self.directory / "metrics.jsonl", position.lines)
        progress.begun(config, self.directory, str(position) if resumes else None)
        for line in learner.notes:
            progress.noted(line)
        loop = Loop(config, task, learner, self.directory, device, progress, seconds)
        try:
            with _stoppable(loop):
                loop.run(position)
        except TrainingDiverged as error:
            if first():
                result = {**header(config, task), "status": "diverged", "error": str(error)}
                write_json(self.directory / "result.json", result)
            raise
        result = self._conclude(task, learner.network, position, device, progress) if first() else None
        return agree(result)  # type: ignore[return-value]

    def _conclude(
        self, task: Task, network: nn.Module, position: Position, device: torch.device, progress: Progress
    ) -> dict[str, Any]:
        progress.stage("test and measurement")
        tensors, _ = load_tensors(self.directory / "best.safetensors")
        network.load_state_dict(tensors)
        result = conclude(self.config, task, network, position, self.directory, device)
        write_json(self.directory / "result.json", result)
        progress.ended(self.config, result)
        return result

    def _check_plugins(self) -> None:
        """Raise RunError where a part that the user wrote is not what this run was begun with."""
        for name, source in plugin_sources(self.config).items():
            path = self.directory / name
            if path.exists() and path.read_text(encoding="utf-8") != source:
                raise RunError(
                    f"{path} is not the plugin that is loaded now.",
                    "register what you changed under another name, or remove the directory",
                )

    def _describe(self, resumes: bool) -> None:
        """Write the description and the environment; a resumed run keeps both and notes the time."""
        path = self.directory / "config.json"
        description = to_dict(self.config)
        if path.exists() and resumes:
            _check_same(path, self.config)
        write_json(path, description)
        for name, source in plugin_sources(self.config).items():
            write_text(self.directory / name, source)
        around = environment()
        path = self.directory / "environment.json"
        if resumes and path.exists():
            earlier = read_object(path)
            around = {**earlier, "resumed": [*earlier.get("resumed", []), around["started"]]}
        write_json(path, around)


def _unless_diverged(result: dict[str, Any]) -> dict[str, Any]:
    if result.get("status") == "diverged":
        raise TrainingDiverged(str(result.get("error")))
    return result


def _check_same(path: Path, config: RunConfig) -> None:
    if json.dumps(read_object(path), sort_keys=True, separators=(",", ":")) != canonical_json(config):
        raise RunError(
            f"{path} describes another run than the one that is to be resumed.",
            "it was edited after the run began; restore it, or remove the directory",
        )


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file of a run.

    Raises:
        RunError: it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}.", f"remove {path.parent} to start this run anew") from error


@contextlib.contextmanager
def _stoppable(loop: Loop) -> Iterator[None]:
    """Ctrl-C and SIGTERM let the loop write a checkpoint first; a second Ctrl-C stops at once."""
    alone = "WORLD_SIZE" not in os.environ or os.environ["WORLD_SIZE"] == "1"
    if not alone or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        if loop.stopping:
            raise KeyboardInterrupt
        loop.stopping = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


__all__ = ["Interrupted", "Run"]
