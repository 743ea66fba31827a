"""Where an optimiser with periodic moment resets stands: a pure function of the number of updates.

Nothing here is remembered between updates, so a resumed run meets the same phases.
"""

from __future__ import annotations

import dataclasses
import math

_LOWEST = 0.01
"""Factor on the step at a reset (arXiv 2501.06842)."""


@dataclasses.dataclass(frozen=True)
class Phase:
    """Phase of one update.

    Attributes:
        step: number of the update, from 1; 0 before the first.
        since_reset: updates that the moments hold, this one included; 1 where a reset has just happened.
        resets: finished resets.
        scale: factor on the step while it is warmed up again, in ``[0.01, 1]``.
    """

    step: int
    since_reset: int
    resets: int
    scale: float

    @property
    def resets_now(self) -> bool:
        """The moments are wiped before this update."""
        return self.resets > 0 and self.since_reset == 1

    def clips(self, holdoff: int) -> bool:
        """The second moment is old enough to clip against: ``holdoff`` updates lie behind the start or the reset."""
        return self.since_reset >= holdoff + (self.resets > 0)


def phase_at(step: int, reset_every: int, rewarm_steps: int = 0) -> Phase:
    """The phase of update ``step``.

    Updates ``reset_every``, ``2 * reset_every``, ... begin with a reset. The step then rises again
    along half a cosine, ``1 - 0.99 * (1 + cos(pi * c / (rewarm_steps + 1))) / 2`` where ``c`` counts the
    updates behind the reset; the first updates of a training are left to the learning-rate schedule.

    Args:
        step: number of the update, from 1.
        reset_every: updates between resets; 0 for none.
        rewarm_steps: updates behind a reset whose step is reduced.

    Example:
        >>> [round(phase_at(step, 500, 150).scale, 4) for step in (499, 500, 575, 650)]
        [1.0, 0.01, 0.4999, 1.0]
    """
    resets, behind = divmod(step, reset_every) if reset_every else (0, step)
    if resets == 0:
        return Phase(step, step, 0, 1.0)
    scale = 1.0
    if behind < rewarm_steps:
        scale -= (1.0 - _LOWEST) * 0.5 * (1.0 + math.cos(math.pi * behind / (rewarm_steps + 1)))
    return Phase(step, behind + 1, resets, scale)
