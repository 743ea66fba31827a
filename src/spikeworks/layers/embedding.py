"""Token ids to real vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import ConfigError, ShapeError
from ..core.operations import Operations
from .synapse import uniform_


class Embedding(nn.Module):
    """Ids ``[B, T]`` to vectors ``[T, B, size]``: the border between token and time order.

    Args:
        vocabulary, size: shape of the table; entries start as U(-0.1, 0.1).
        dropout: rate at which whole rows (words) are dropped for a call, as in AWD-LSTM.
    """

    def __init__(
        self, vocabulary: int, size: int, *, dropout: float = 0.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ConfigError(f"A dropout rate lies in [0, 1), got {dropout}.")
        self.weight = nn.Parameter(uniform_(torch.empty(vocabulary, size), 0.1, generator))
        self.dropout = dropout
        self.generator: torch.Generator | None = None

    def forward(self, ids: Tensor) -> Tensor:
        """Look up; raises ShapeError for ids that are no integers ``[B, T]``."""
        if ids.is_floating_point() or ids.dim() != 2:
            raise ShapeError(f"An embedding expected integer ids [B, T], got {ids.dtype} {list(ids.shape)}.")
        weight = self.weight
        if self.training and self.dropout:
            keep = 1.0 - self.dropout
            rows = torch.empty_like(weight[:, :1]).bernoulli_(keep, generator=self.generator)
            weight = weight * (rows / keep)
        return functional.embedding(ids.t(), weight)

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """A row is read for each token."""
        return Operations(weight_reads=y.numel())

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, {self.weight.shape[1]}, dropout={self.dropout}"
