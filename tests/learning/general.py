"""Learning methods that any task will do for; those that ask more of a task have tests of their own."""

from __future__ import annotations

from spikeworks.learning import METHODS

NEEDY = ("adversarial",)
"""Each refuses a task that lacks what it needs."""
GENERAL = [name for name in METHODS.names() if name not in NEEDY]
