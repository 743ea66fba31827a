"""GRU: the non-spiking control of gated spiking networks."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ..core.config import config_kind
from ..layers import GRU
from ..layers.cells import GatedCells
from .cells import CellsConfig
from .registry import NETWORKS


@NETWORKS.register("gru")
@config_kind("model", "gru")
@dataclasses.dataclass(frozen=True, kw_only=True)
class GRUConfig(CellsConfig):
    """Layers of gated recurrent units: the control of ``spiking-fullsubnet`` and ``gated``, which spikes nowhere.

    Args:
        hidden: cells of each layer. Dropout stands before each but the first.

    Source: Cho et al. 2014, arXiv 1406.1078.

    Example:
        >>> import torch
        >>> network = GRUConfig(hidden=(16,)).build(3, 2, torch.Generator().manual_seed(0))
        >>> network(torch.rand(30, 4, 3))[0].shape
        torch.Size([4, 2])
    """

    cells: ClassVar[type[GatedCells]] = GRU
