"""A meter in the middle of an epoch, as plain data: its tensors and numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def meter_state(meter: Any) -> dict[str, Any]:
    """The counts of a meter. Python floats and JSON keep every bit of a float64."""
    state: dict[str, Any] = {}
    for name, value in vars(meter).items():
        if isinstance(value, Tensor):
            state[name] = {"dtype": str(value.dtype).removeprefix("torch."), "values": value.tolist()}
        elif isinstance(value, int | float):
            state[name] = value
    return state


def load_meter(meter: Any, state: dict[str, Any]) -> None:
    """The inverse of :func:`meter_state`, into a fresh meter."""
    for name, value in state.items():
        if isinstance(value, dict):
            value = torch.tensor(value["values"], dtype=getattr(torch, value["dtype"]))
        setattr(meter, name, value)
