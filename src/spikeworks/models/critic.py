"""A critic of sounds: how good an estimate is, seen beside what it should be (the discriminator of MetricGAN).

Four convolutions halve time and frequency, the largest answer anywhere is taken of each channel, and two linear maps
make a number in (0, 1) of these. Sources: arXiv 1905.04874 (the idea), arXiv 2410.04785 (this one).

Legend: ``B`` batch, ``F`` frequencies, ``T`` frames.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from ..core.errors import ShapeError
from ..layers.dropout import TimeTiedDropout
from ..layers.synapse import uniform_
from .network import parameter_groups

CHANNELS = (16, 32, 64, 128)
LEAST = 2 ** (len(CHANNELS) + 1)
"""Frequencies and frames below which a pair is filled up with zeros: an instance norm needs two places at least."""
_SETTLED = 15  # steps of power iteration behind which a first estimate of the singular value is good enough


class Critic(nn.Module):
    """Judges pairs of magnitudes.

    The weights of the convolutions are divided by their largest singular value (arXiv 1802.05957), which one step of
    power iteration follows in each call in train mode; its vectors are buffers. Clips of a batch do not see each other.

    Args:
        generator: of the initial weights, U(±1/√fan-in), and of the vectors of the power iteration.
        dropout: share of the 64 hidden units dropped in train mode.

    Example:
        >>> critic = Critic(torch.Generator().manual_seed(0))
        >>> critic(torch.rand(3, 2, 129, 50)).shape
        torch.Size([3])
    """

    def __init__(self, generator: torch.Generator | None = None, *, dropout: float = 0.3, hidden: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((2, *CHANNELS), CHANNELS, strict=False):
            # no bias: the norm behind it would take it away
            convolution = nn.utils.skip_init(nn.Conv2d, inputs, outputs, 4, stride=2, padding=1, bias=False)
            _draw(convolution, inputs * 16, generator)
            layers += [convolution, nn.InstanceNorm2d(outputs, affine=True), nn.PReLU(outputs)]
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.utils.skip_init(nn.Linear, CHANNELS[-1], hidden)
        _draw(self.hidden, CHANNELS[-1], generator)
        self.dropout = TimeTiedDropout(dropout)
        self.rectifier = nn.PReLU(hidden)
        self.out = nn.utils.skip_init(nn.Linear, hidden, 1)
        _draw(self.out, hidden, generator)
        self.slope = nn.Parameter(torch.ones(()))
        """Of the sigmoid, learnt."""
        for convolution in self._normed():
            with torch.random.fork_rng(devices=[]):  # its vectors come from torch's global stream
                spectral_norm(convolution)
            for vector in convolution.buffers():
                vector.copy_(functional.normalize(vector.normal_(generator=generator), dim=0))
        self.settle(_SETTLED)

    def forward(self, pair: Tensor) -> Tensor:
        """The quality ``[B]`` of estimates, in (0, 1).

        Args:
            pair: ``[B, 2, F, T]``, magnitudes of the clean sound and of the estimate.

        Raises:
            ShapeError: another shape.
        """
        if pair.dim() != 4 or pair.shape[1] != 2:
            raise ShapeError(f"A critic expected pairs of magnitudes [B, 2, F, T], got {list(pair.shape)}.")
        missing = [max(0, LEAST - size) for size in pair.shape[2:]]
        seen = functional.pad(pair, (0, missing[1], 0, missing[0])) if any(missing) else pair
        found = self.convolutions(seen).amax((2, 3))
        found = self.dropout(self.hidden(found).unsqueeze(0)).squeeze(0)  # the same for all steps, of which this is one
        return torch.sigmoid(self.slope * self.out(self.rectifier(found)).squeeze(1))

    @torch.no_grad()
    def settle(self, steps: int = 1) -> None:
        """Steps of power iteration alone, in train mode, as a call takes one."""
        for convolution in self._normed():
            for _ in range(steps):
                _ = convolution.weight

    def _normed(self) -> list[nn.Conv2d]:
        return [layer for layer in self.convolutions if isinstance(layer, nn.Conv2d)]


class Critics(nn.ModuleList):
    """Critics that share an optimiser.

    Args:
        rate: factor on the learning rate.
    """

    def __init__(self, critics: list[Critic], rate: float = 1.0) -> None:
        super().__init__(critics)
        self.rate = rate

    def parameter_groups(self, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        """Groups for an optimiser, see :func:`~spikeworks.models.network.parameter_groups`."""
        return [{**group, "lr_scale": self.rate * group["lr_scale"]} for group in parameter_groups(self, weight_decay)]


def _draw(layer: nn.Module, fan: int, generator: torch.Generator | None) -> None:
    for parameter in layer.parameters():
        uniform_(parameter, 1.0 / math.sqrt(fan), generator)
