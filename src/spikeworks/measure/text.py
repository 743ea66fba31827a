"""Score of a language model: perplexity, accumulated in float64.

Legend: ``T`` steps, ``B`` batch, ``V`` words.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..core.batch import Batch
from ..core.errors import DataError, ShapeError


class PerplexityMeter:
    """Perplexity, the exponential of the mean loss of a token in nats.

    Example:
        >>> meter = PerplexityMeter()
        >>> meter.update(torch.zeros(3, 2, 10), Batch(torch.zeros(2, 3).long(), torch.zeros(2, 3).long()))
        >>> round(meter.compute()["perplexity"], 6), meter.tokens
        (10.0, 6)
    """

    def __init__(self) -> None:
        self.tokens = 0
        self._loss = torch.zeros((), dtype=torch.float64)

    def update(self, output: Tensor, batch: Batch) -> None:
        """Count one batch; ``output`` holds one score for each word, ``[T, B, V]``, targets are ``[B, T]``.

        Raises:
            ShapeError: another shape.
        """
        self._loss += token_losses(output.detach(), batch.target).double().sum().cpu()
        self.tokens += batch.target.numel()

    def compute(self) -> dict[str, float]:
        """``perplexity``, mean ``loss`` in nats a token, and ``tokens``.

        Raises:
            DataError: no token was seen.
        """
        if self.tokens == 0:
            raise DataError("A perplexity was asked for before any token was measured.")
        loss = float(self._loss) / self.tokens
        # exp overflows above 709.78; such a model is infinitely bad for every purpose
        return {
            "perplexity": math.exp(loss) if loss < 709 else math.inf if not math.isnan(loss) else math.nan,
            "loss": loss,
            "tokens": float(self.tokens),
        }


def token_losses(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of each token, float32 or better, ``[T * B]`` with time outermost.

    Args:
        output: scores ``[T, B, V]``.
        target: token ids ``[B, T]``.

    Raises:
        ShapeError: the shapes do not belong together.
    """
    if output.dim() != 3 or tuple(output.shape[:2]) != tuple(reversed(target.shape)):
        expected = [*reversed(target.shape), "V"]
        raise ShapeError(
            f"Expected word scores of shape {expected} for targets {list(target.shape)}, got {list(output.shape)}.",
            "a language model needs the readout 'every'",
        )
    scores = output.flatten(0, 1)
    scores = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    return torch.nn.functional.cross_entropy(scores, target.t().flatten(), reduction="none")
