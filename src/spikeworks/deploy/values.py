"""Values of neuron parameters, taken out of a layer and put into one exactly."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError
from ..neurons import Neuron

N = TypeVar("N", bound=Neuron)


def uniform(value: Tensor) -> float | None:
    """The one number that a tensor holds everywhere, or ``None``."""
    first = value.flatten()[0]
    return first.item() if bool((value == first).all()) else None


def compact(value: Tensor) -> float | Tensor:
    """A float where all values agree, else the values in float64."""
    value = value.detach().to(torch.float64)
    found = uniform(value)
    return value if found is None else found


def check_finite(network: nn.Module) -> None:
    """Refuse a network that cannot work.

    Raises:
        ConfigError: a parameter or buffer holds numbers that are not finite.
    """
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ConfigError(f"The network's {name} holds numbers that are not finite.", "take another run")


def make_neuron(
    kind: type[N],
    size: int,
    values: dict[str, float | Tensor],
    *,
    trainable: tuple[str, ...] | None = None,
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> N:
    """A layer of neurons with exactly these parameter values.

    Args:
        kind: the neuron class.
        size: number of neurons or channels.
        values: parameters by name; a tensor ``[size]`` makes a parameter one a channel.
        trainable: names that training changes; ``None`` as the class declares.
        dtype: of the parameters.
        options: of the configuration.

    Raises:
        ConfigError: a value out of its range.
    """
    known = {name: torch.as_tensor(value, dtype=torch.float64) for name, value in values.items()}
    each = tuple(name for name, value in known.items() if value.dim())
    start = {name: value.flatten()[0].item() for name, value in known.items()}
    if trainable is not None:
        options["trainable"] = trainable
    neuron = kind(size, per_channel=each, **start, **options).to(dtype)
    with torch.no_grad():
        for name, value in known.items():
            parameter = neuron.parameters_declared[name]
            trained = name in neuron.config.trainable
            parameter.constraint.check(value, f"{kind.__name__}.{name}", trainable=trained)
            getattr(neuron, parameter.key).copy_(parameter.constraint.inverse(value) if trained else value)
    return neuron
