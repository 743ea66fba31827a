"""LSTM: the non-spiking control of recurrent networks."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ..core.config import config_kind
from ..layers import LSTM
from ..layers.cells import GatedCells
from .cells import CellsConfig
from .registry import NETWORKS


@NETWORKS.register("lstm")
@config_kind("model", "lstm")
@dataclasses.dataclass(frozen=True, kw_only=True)
class LSTMConfig(CellsConfig):
    """Layers of LSTM cells: the control of ``gated``, which spikes nowhere.

    Args:
        hidden: cells of each layer. Dropout stands before each but the first.

    Source: Hochreiter and Schmidhuber 1997.

    Example:
        >>> import torch
        >>> network = LSTMConfig(hidden=(16,)).build(3, 2, torch.Generator().manual_seed(0))
        >>> network(torch.rand(30, 4, 3))[0].shape
        torch.Size([4, 2])
    """

    cells: ClassVar[type[GatedCells]] = LSTM
