"""Numbers that JSON can carry."""

from __future__ import annotations

import math
from typing import Any


def finite(data: Any) -> Any:
    """Nested plain data with ``None`` for every nan and infinity.

    Example:
        >>> finite({"loss": float("nan"), "rates": [0.5, float("inf")]})
        {'loss': None, 'rates': [0.5, None]}
    """
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
