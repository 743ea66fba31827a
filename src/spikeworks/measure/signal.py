"""Score of a denoiser: scale-invariant signal-to-noise ratio and by how much it rose.

Legend: ``B`` batch, ``S`` samples.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..core.batch import Batch
from ..core.errors import DataError, ShapeError

_FLOOR = 1e-10  # share of the power: ratios end at +-100 dB


def si_snr(estimate: Tensor, clean: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Scale-invariant signal-to-noise ratio in dB, ``[B]``, from -100 to 100.

    Both lose their mean; ``p = <estimate, clean> clean / |clean|^2``; ``10 log10(|p|^2 / |estimate - p|^2)``. Neither
    gain nor offset of either wave counts. A silent estimate, or a silent reference, has -100 dB.

    Args:
        estimate, clean: waves ``[B, S]``, zero behind their own end.
        lengths: samples of each wave, ``[B]``; ``None``: all S.

    Raises:
        ShapeError: shapes that differ.

    Example:
        >>> clean = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
        >>> noise = torch.tensor([[0.1, 0.1, -0.1, -0.1]])
        >>> round(si_snr(7 * (clean + noise) + 3, clean).item(), 3)
        20.0
    """
    if estimate.shape != clean.shape or clean.dim() != 2:
        raise ShapeError(f"SI-SNR expected two waves [B, S], got {list(estimate.shape)} and {list(clean.shape)}.")
    if lengths is None:
        estimate, clean = (wave - wave.mean(1, keepdim=True) for wave in (estimate, clean))
    else:
        inside = torch.arange(clean.shape[1], device=clean.device) < lengths.unsqueeze(1)
        share = inside.to(clean) / lengths.clamp(min=1).unsqueeze(1)
        estimate, clean = ((w - (w * share).sum(1, keepdim=True)) * inside for w in (estimate, clean))
    power = clean.square().sum(1)
    along = (estimate * clean).sum(1) / power.clamp(min=torch.finfo(clean.dtype).tiny)
    kept = along.square() * power
    lost = (estimate - along.unsqueeze(1) * clean).square().sum(1)
    whole = kept + lost
    least = whole.clamp(min=1e-20)
    return 10 * torch.log10((kept + _FLOOR * least) / (lost + _FLOOR * least + (least - whole)))


class DenoisingMeter:
    """Mean SI-SNR over all clips, that of the noisy input, their difference, and the mean loss.

    Args:
        judged: from an output and its batch to the loss, the SI-SNR and that of the noisy wave of every clip, ``[B]``.
    """

    def __init__(self, judged: Callable[[Tensor, Batch], tuple[Tensor, Tensor, Tensor]]) -> None:
        self.clips = 0
        self._loss, self._ratio, self._before = (torch.zeros((), dtype=torch.float64) for _ in range(3))
        self._judged = judged

    def update(self, output: Tensor, batch: Batch) -> None:
        """Count one batch."""
        with torch.no_grad():
            losses, ratio, before = self._judged(output.detach(), batch)
        self._loss += losses.double().sum().cpu()
        self._ratio += ratio.double().sum().cpu()
        self._before += before.double().sum().cpu()
        self.clips += batch.size

    def compute(self) -> dict[str, float]:
        """``si_snr`` and ``noisy_si_snr`` in dB, ``si_snr_improvement``, and mean ``loss``.

        Raises:
            DataError: no clip was seen.
        """
        if self.clips == 0:
            raise DataError("An SI-SNR was asked for before any clip was measured.")
        ratio, before = float(self._ratio) / self.clips, float(self._before) / self.clips
        return {
            "si_snr": ratio,
            "si_snr_improvement": ratio - before,
            "noisy_si_snr": before,
            "loss": float(self._loss) / self.clips,
        }
