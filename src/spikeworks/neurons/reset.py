"""What a spike does to the membrane potential, and when."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from torch import Tensor

from ..core.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reset:
    """A reset rule.

    Args:
        kind: ``soft`` subtracts the threshold, ``hard`` sets the potential, ``none`` keeps it.
        order: ``after_fire`` resets in the step of the spike, so that the next leak acts on
            the reset potential; ``before_charge`` resets in the next step, after the leak.
            With a soft reset the two differ by the decay: the first removes
            ``decay * threshold`` from the next potential, the second ``threshold``.
        detach: whether the gradient ignores the reset.
        potential: where a hard reset sets the potential.

    Example:
        >>> import torch
        >>> Reset(kind="soft")(torch.tensor(1.5), torch.tensor(1.0), torch.tensor(1.0))
        tensor(0.5000)
    """

    kind: Literal["soft", "hard", "none"] = "soft"
    order: Literal["after_fire", "before_charge"] = "after_fire"
    detach: bool = False
    potential: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("soft", "hard", "none") or self.order not in ("after_fire", "before_charge"):
            raise ConfigError(
                f"A reset is soft, hard or none, after_fire or before_charge; got {self.kind!r}, {self.order!r}."
            )
        if not math.isfinite(self.potential):
            raise ConfigError(f"A hard reset needs a finite potential, got {self.potential}.", "the usual one is 0")

    @property
    def delayed(self) -> bool:
        """Whether the reset happens in the step after the spike."""
        return self.order == "before_charge" and self.kind != "none"

    def check_immediate(self, who: str) -> None:
        """Raise ConfigError where the rule waits for the next step, for a neuron that is not defined so."""
        if self.delayed:
            raise ConfigError(f"{who} resets in the step of the spike; its reset needs order='after_fire'.")

    def __call__(self, voltage: Tensor, spike: Tensor, threshold: Tensor) -> Tensor:
        """The potential after the reset; all arguments have one shape."""
        if self.kind == "none":
            return voltage
        spike = spike.detach() if self.detach else spike
        if self.kind == "soft":
            return voltage - threshold * spike
        kept = voltage * (1.0 - spike)
        return kept + self.potential * spike if self.potential else kept
