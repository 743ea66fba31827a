"""The training loop: the same for all tasks and all learning methods, naming none of them.

What an epoch needs to go on after a cut stands in a :class:`~.checkpoint.Position`; batches
that it has done are skipped by number, so that a resumed run meets the same batches.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import torch

from ..core.errors import TrainingDiverged
from ..core.files import append_line
from ..core.progress import set_progress
from ..core.seeds import stream
from ..learning import Learner
from ..tasks import Task
from .checkpoint import Position, save_checkpoint, save_tensors
from .config import RunConfig
from .distributed import agree, first, share
from .evaluate import Evaluation, evaluate
from .meters import load_meter, meter_state
from .plain import finite
from .progress import Progress


class Interrupted(KeyboardInterrupt):
    """The user stopped the run; everything done so far is on disk."""


class Loop:
    """Training of one run.

    Args:
        config: seed and budget.
        task, learner: what is learned, and what learns.
        directory: receives metrics, checkpoints and the best weights.
        checkpoint_seconds: longest time between two checkpoints within an epoch.
    """

    def __init__(
        self,
        config: RunConfig,
        task: Task,
        learner: Learner,
        directory: Path,
        device: torch.device,
        progress: Progress,
        checkpoint_seconds: float,
    ) -> None:
        self.config = config
        self.budget = config.budget
        self.task = task
        self.learner = learner
        self.directory = directory
        self.device = device
        self.progress = progress
        self.checkpoint_seconds = checkpoint_seconds
        self.stopping = False
        """Set from outside, for instance by a signal: stop at the next batch and keep everything."""
        self._saved: str | None = None
        self._saved_at = time.monotonic()

    def run(self, position: Position) -> Position:
        """Train from ``position`` until the budget is spent or validation stops improving.

        Raises:
            TrainingDiverged: a loss or gradient is not finite.
            Interrupted: :attr:`stopping` was set.
        """
        if position.lines or position.batch:
            self._saved = str(position)
        while not self._over(position):
            try:
                self._epoch(position)
            except TrainingDiverged as error:
                raise TrainingDiverged(f"{error}\n  Last good checkpoint: {self._last_good()}") from error
        return position

    def _over(self, position: Position) -> bool:
        if position.batch:  # an epoch is under way and wants its end
            return False
        patience = self.budget.patience
        spent = position.epoch > self.budget.epochs or self._late(position)
        return spent or (patience is not None and position.stale >= patience)

    def _late(self, position: Position) -> bool:
        limit = self.budget.max_seconds
        return limit is not None and agree(position.seconds) >= limit

    def _epoch(self, position: Position) -> None:
        data = self.task.data("train")
        plan = data.plan(self.budget.batch_size, stream(self.config.seed, "order", position.epoch))
        meter = self.task.meter()
        load_meter(meter, position.meter)
        for index in range(position.batch, len(plan)):
            if self._late(position):
                break
            began = time.perf_counter()
            set_progress(self.learner.network, min(1.0, self.learner.step / (self.budget.epochs * len(plan))))
            batch = share(data.batch(plan[index]).to(self.device))
            metrics = self.learner.update(batch, meter.update)
            position.seconds += time.perf_counter() - began
            position.batch = index + 1
            position.loss += metrics["loss"] * metrics["count"]
            position.count += int(metrics["count"])
            position.rate = metrics["learning_rate"]
            self.progress.trained(position.epoch, position.batch, len(plan), metrics)
            self._heed(position, meter)
        self._close(position, meter)

    def _heed(self, position: Position, meter: Any) -> None:
        """Between two batches: a checkpoint where one is due, and the wish to stop."""
        if self.stopping or time.monotonic() - self._saved_at >= self.checkpoint_seconds:
            position.meter = meter_state(meter)
            self._save(position)
        if self.stopping:
            raise Interrupted

    def _close(self, position: Position, meter: Any) -> None:
        """Validate, write the epoch's line, keep the best weights, save."""
        if first():
            self.progress.stage("validation")
            seen = evaluate(
                self.learner.network,
                self.task,
                "validation",
                self.budget.batch_size,
                self.device,
                lambda: self._heed_stop(position, meter),
            )
            self._judge(position, seen)
            line = self._line(position, meter, seen)
            append_line(self.directory / "metrics.jsonl", json.dumps(finite(line)))
            position.lines += 1
            if position.best_epoch == position.epoch:
                about = {"epoch": position.epoch, "score": position.best_score}
                save_tensors(self.directory / "best.safetensors", self.learner.network.state_dict(), about)
            self.progress.evaluated(line)
        position.epoch, position.batch = position.epoch + 1, 0
        position.loss, position.count, position.meter = 0.0, 0, {}
        vars(position).update(agree(vars(position)))
        self._save(position)

    def _heed_stop(self, position: Position, meter: Any) -> None:
        if self.stopping:
            self._heed(position, meter)

    def _judge(self, position: Position, seen: Evaluation) -> None:
        score = seen.values[self.task.metric.name]
        if not math.isfinite(seen.loss):
            raise TrainingDiverged(
                f"The validation loss became {seen.loss} after epoch {position.epoch} "
                f"at learning rate {position.rate:g}.",
                "lower the learning rate, or clip gradients more tightly",
            )
        sign = 1.0 if self.task.metric.higher_is_better else -1.0
        if position.best_score is None or sign * score > sign * position.best_score:
            position.best_score, position.best_epoch, position.stale = score, position.epoch, 0
        else:
            position.stale += 1

    def _line(self, position: Position, meter: Any, seen: Evaluation) -> dict[str, Any]:
        metric = self.task.metric.name
        return {
            "epoch": position.epoch,
            "step": self.learner.step,
            "train_loss": position.loss / max(position.count, 1),
            "train_score": meter.compute()[metric],
            "validation_loss": seen.loss,
            "validation_score": seen.values[metric],
            "learning_rate": position.rate,
            "seconds": position.seconds,
            "spike_rates": seen.rates,
        }

    def _save(self, position: Position) -> None:
        if first():
            tensors, position.learner = self.learner.state_dict()
            save_checkpoint(self._path, tensors, position)
        self._saved, self._saved_at = str(position), time.monotonic()

    @property
    def _path(self) -> Path:
        return self.directory / "checkpoint.safetensors"

    def _last_good(self) -> str:
        if self._saved is None:
            return "none, it happened before the first was due."
        return f"{self._path} (written at {self._saved})."
