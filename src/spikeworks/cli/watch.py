"""Progress of runs in the terminal: one moving line where there is a terminal, one line an epoch elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ..arena.config import RunConfig
from ..arena.progress import Progress
from ..core import quantities
from ..core.errors import SpikeworksError


class Watch(Progress):
    """Writes to standard error; results alone go to standard output.

    Args:
        runs: how many runs there will be.
        quiet: say nothing while training.
    """

    def __init__(self, runs: int = 1, quiet: bool = False) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        self.runs = runs
        self.quiet = quiet
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.moving = not quiet and self.console.is_terminal
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
        self.bar = Bar(*columns, console=self.console, transient=True)
        self._task: Any = None
        self._number = 0
        self._name = ""
        self._epochs = 0
        self._score = ""

    def __enter__(self) -> Watch:
        if self.moving:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.moving:
            self.bar.stop()

    def begun(self, config: RunConfig, directory: Path, resumed: str | None) -> None:
        """Name the run."""
        self._number += 1
        self._epochs, self._score = config.budget.epochs, ""
        count = f"[{self._number}/{self.runs}] " if self.runs > 1 else ""
        self._name = f"{count}{config.task_name} {config.shown} seed {config.seed}"
        self._say(f"{self._name}: {'resumes at ' + resumed if resumed else 'starts'} in {directory}")
        if self.moving:
            self._end_bar()
            self._task = self.bar.add_task(self._name, total=self._epochs)

    def noted(self, text: str) -> None:
        """Show it."""
        self._say(text)

    def trained(self, epoch: int, batch: int, batches: int, metrics: dict[str, float]) -> None:
        """Move the line."""
        if self.moving:
            text = f"{self._name}  epoch {epoch}/{self._epochs}  loss {metrics['loss']:.3f}{self._score}"
            self.bar.update(self._task, completed=epoch - 1 + batch / batches, description=text)

    def evaluated(self, line: dict[str, Any]) -> None:
        """Show the validation score."""
        self._score = f"  validation {line['validation_score']:.4g}"
        if not self.moving:
            self._say(
                f"{self._name}: epoch {line['epoch']}/{self._epochs}  loss {line['train_loss']:.4f}"
                f"{self._score}  {line['seconds']:.1f} s"
            )

    def stage(self, text: str) -> None:
        """Say what is done besides training."""
        if self.moving:
            self.bar.update(self._task, description=f"{self._name}  {text}{self._score}")

    def ended(self, config: RunConfig, result: dict[str, Any]) -> None:
        """One line with the result."""
        self._end_bar()
        metric, score = result["metric"], result["score"]
        kind = f"{metric['name']} " if metric["unit"] != metric["name"] else ""
        self._say(
            f"{self._name}: test {kind}{quantities.score(score['test'], None, metric['unit'])}, "
            f"weights of epoch {score['chosen_epoch']}, {quantities.duration(result['seconds'])} of training"
        )

    def failed(self, config: RunConfig, error: SpikeworksError) -> None:
        """The run is over, the next one comes."""
        self._end_bar()
        name = f"{config.task_name} {config.shown} seed {config.seed}"
        self.console.print(f"{name}: {error}", markup=False)

    def _end_bar(self) -> None:
        if self.moving and self._task is not None:
            self.bar.remove_task(self._task)
            self._task = None

    def _say(self, text: str) -> None:
        if not self.quiet:
            self.console.print(text, markup=False)
            sys.stderr.flush()
