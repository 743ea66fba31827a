"""What an update of any learner holds in memory."""

from __future__ import annotations

from ..core.batch import Batch
from ..measure import LiveMemory, watch_memory
from .base import Learner


def watched_update(learner: Learner, batch: Batch) -> LiveMemory:
    """Learn from ``batch`` and tell what the update holds beside weights, the optimiser's state and the batch.

    The first update of a learner makes the optimiser's state as well; look at a later one.
    """
    weights = (t for part in (learner.network, learner.beside) for t in (*part.parameters(), *part.buffers()))
    with watch_memory([batch.x, batch.target, *weights]) as seen:
        learner.update(batch)
    return seen
