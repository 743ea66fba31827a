"""What a run tells whoever watches it; the default watches in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.errors import SpikeworksError
from .config import RunConfig


class Progress:
    """Override what you want to see; every method may stay silent."""

    def begun(self, config: RunConfig, directory: Path, resumed: str | None) -> None:
        """A run starts; ``resumed`` says from where, or is ``None``."""

    def noted(self, text: str) -> None:
        """The learning method says something about its plan."""

    def trained(self, epoch: int, batch: int, batches: int, metrics: dict[str, float]) -> None:
        """A batch was learned."""

    def evaluated(self, line: dict[str, Any]) -> None:
        """An epoch ended; ``line`` is what went into ``metrics.jsonl``."""

    def stage(self, text: str) -> None:
        """Something else than training takes time now."""

    def ended(self, config: RunConfig, result: dict[str, Any]) -> None:
        """A run has a result."""

    def failed(self, config: RunConfig, error: SpikeworksError) -> None:
        """A run of several could not finish."""
