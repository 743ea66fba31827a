"""Names of the pages of a site, and what the pages of one site share."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence

from .clock import clocks_of_run
from .leaderboard import Board
from .store import RunRecord
from .svg import Style

INDEX = "index.html"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Site:
    """What all pages are made from.

    Attributes:
        records: all runs; ``boards``: of them.
        look: colour and marker of every model, the same on all pages.
        portraits: neurons that have a page of their own.
        command: the command line that asked for the site.
    """

    records: Sequence[RunRecord]
    boards: Sequence[Board]
    look: Mapping[str, Style]
    portraits: frozenset[str]
    command: str | None

    def of_task(self, task: str) -> list[Board]:
        """All boards of a task: one a protocol, size, ..."""
        return [board for board in self.boards if board.task == task]

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks."""
        return list(dict.fromkeys(board.task for board in self.boards))

    @property
    def models(self) -> list[str]:
        """What has a page: neurons, and networks without neurons."""
        return sorted({model_of(record) for record in self.records})

    @property
    def named(self) -> dict[str, list[RunRecord]]:
        """What tables call the models, ``lif``, ``lif-rec``, ``lif sltt``, with their runs."""
        found: dict[str, list[RunRecord]] = {}
        for record in self.records:
            found.setdefault(record.label, []).append(record)
        return dict(sorted(found.items()))


def clocks_in(records: Sequence[RunRecord]) -> str:
    """What in any of these runs knows the number of the step."""
    return "; ".join(dict.fromkeys(reason for record in records for reason in clocks_of_run(record)))


def model_of(record: RunRecord) -> str:
    """The neuron of a run, whatever network it stands in; for a network without neurons its name."""
    model = record.config.get("model")
    neuron = model.get("neuron") if isinstance(model, dict) else None
    kind = neuron.get("kind") if isinstance(neuron, dict) else None
    return kind if isinstance(kind, str) else record.model


def task_page(task: str) -> str:
    """The page of a task."""
    return f"tasks/{slug(task)}.html"


def model_page(model: str) -> str:
    """The page of a neuron or network."""
    return f"neurons/{slug(model)}.html"


def portrait_page(neuron: str) -> str:
    """The page that shows what a neuron does."""
    return f"portraits/{slug(neuron)}.html"


def run_page(record: RunRecord) -> str:
    """The page of a run."""
    return f"runs/{slug(record.task)}/{slug(record.id)}.html"


def slug(name: str) -> str:
    """A file name that every system can hold, different for different names.

    Example:
        >>> slug("ps-mnist"), slug("Ä/b")
        ('ps-mnist', 'b-c9bb07')
    """
    plain = re.sub(r"[^a-z0-9.+_-]+", "-", name.lower()).strip("-.")[:80]
    if plain == name:
        return plain
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}".strip("-")
