"""LIF of other libraries over ``[T, B, N]``, by their documented use; each is optional.

All forms compute the same neuron, decay 0.9, threshold 1, soft reset, on the same input, with a
surrogate of their own that is as near to ours (a triangle) as they offer. Two reset orders are
found among them; ``order`` says which, so that the spikes can be compared with ours.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import logging
import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

DECAY = 0.9
Order = Literal["after_fire", "before_charge", "one step late"]
Layer = Callable[[Tensor], Tensor]
Run = Callable[[], tuple[Any, Any]]
"""Forward and backward; returns spikes and the gradient of the input, as the library's own arrays."""

NAMES = {
    "spikingjelly": "SpikingJelly",
    "snntorch": "snnTorch",
    "norse": "Norse",
    "sinabs": "Sinabs",
    "spyx": "Spyx",
}


@dataclasses.dataclass(frozen=True)
class Form:
    """One way to run a library's LIF layer.

    Attributes:
        package: a key of :data:`NAMES`.
        label: for tables.
        layer: from the number of neurons to a torch function ``[T, B, N] -> [T, B, N]`` from
            rest, or ``None`` where the library does not run on torch.
        order: of charge and reset.
        quadratic: whether its backward pass takes time quadratic in T.
    """

    package: str
    label: str
    layer: Callable[[int], Layer] | None
    order: Order = "after_fire"
    quadratic: bool = False

    def build(self, x: Tensor, gradient: Tensor) -> Run:
        """Forward and backward on this input, made ready outside of the measured time."""
        return spyx(x, gradient) if self.layer is None else under_autograd(self.layer(x.shape[2]), x, gradient)


def load(module: str) -> Any:
    """A module by its name; peers are no dependency, so no type checker can know them."""
    return importlib.import_module(module)


def version(package: str) -> str | None:
    """The installed version, or ``None`` where the library is absent or cannot be imported."""
    if importlib.util.find_spec(package) is None:
        return None
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)  # SpikingJelly makes torch look for Triton
    try:
        importlib.import_module(package)
        return importlib.metadata.version(package)
    except ImportError as error:
        print(f"{NAMES[package]} cannot be imported: {error}")
        return None


def installed() -> dict[str, str]:
    """Package and version of every peer that is here; absent ones are named once."""
    found = {package: version(package) for package in NAMES}
    if absent := [NAMES[package] for package, v in found.items() if v is None]:
        print(f"absent, and left out: {', '.join(absent)} (see benchmarks/requirements.txt)")
    return {package: v for package, v in found.items() if v is not None}


def to_torch(value: Any) -> Tensor:
    """A torch tensor from what a :data:`Run` returned."""
    return value.detach() if isinstance(value, Tensor) else torch.from_numpy(load("numpy").array(value))


def under_autograd(forward: Layer, x: Tensor, gradient: Tensor) -> Run:
    """Forward and backward of a torch layer from rest."""

    def run() -> tuple[Tensor, Tensor | None]:
        leaf = x.detach().requires_grad_()
        y = forward(leaf)
        y.backward(gradient)
        return y, leaf.grad

    return run


def spikingjelly(size: int) -> Layer:
    """The registered CPU operator: a torch loop with a backward written by hand."""
    return _spikingjelly(load("spikingjelly.activation_based.surrogate").PiecewiseQuadratic(alpha=1.0))


class _Triangle(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x >= 0).to(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return gradient * torch.clamp(1.0 - x.abs(), min=0.0)


def spikingjelly_autograd(size: int) -> Layer:
    """A surrogate of the user's own makes it run the multi-step loop under autograd."""
    return _spikingjelly(_Triangle.apply)


def _spikingjelly(surrogate: Any) -> Layer:
    neuron, functional = (load(f"spikingjelly.activation_based.{part}") for part in ("neuron", "functional"))
    options = {"tau": 1 / (1 - DECAY), "decay_input": False, "v_reset": None, "step_mode": "m"}
    node = neuron.LIFNode(surrogate_function=surrogate, **options)

    def forward(x: Tensor) -> Tensor:
        y = node(x)
        functional.reset_net(node)
        return y

    return forward


def snntorch(size: int) -> Layer:
    """A loop over time around ``Leaky``; its default surrogate."""
    node = load("snntorch").Leaky(beta=DECAY)

    def forward(x: Tensor) -> Tensor:
        memory, out = node.reset_mem(), []
        for step in x.unbind(0):
            y, memory = node(step, memory)
            out.append(y)
        return torch.stack(out)

    return forward


def _norse_cell() -> Any:
    torch_part, box = load("norse.torch"), load("norse.torch.functional.lif_box")
    reset = load("norse.torch.functional.reset").reset_subtract
    # dv = 0.1 (x - v): a tenth of our potential, hence a tenth of the threshold
    values = {"tau_mem_inv": torch.tensor(1e3 * (1 - DECAY)), "v_th": torch.tensor(1 - DECAY)}
    return torch_part.LIFBoxCell(box.LIFBoxParameters(**values, reset_method=reset), dt=1e-3)


def norse(size: int) -> Layer:
    """A loop over time around ``LIFBoxCell``."""
    cell = _norse_cell()

    def forward(x: Tensor) -> Tensor:
        state, out = None, []
        for step in x.unbind(0):
            y, state = cell(step, state)
            out.append(y)
        return torch.stack(out)

    return forward


def norse_lift(size: int) -> Layer:
    """``Lift`` reads ``x[t]`` under autograd."""
    layer = load("norse.torch").Lift(_norse_cell())
    return lambda x: layer(x)[0]


def _sinabs_layer() -> Any:
    single = load("sinabs.activation").SingleSpike
    return load("sinabs.layers").LIF(tau_mem=-1 / math.log(DECAY), norm_input=False, spike_fn=single)


def sinabs(size: int) -> Layer:
    """The layer, one step a call: its state stays inside."""
    layer = _sinabs_layer()

    def forward(x: Tensor) -> Tensor:
        layer.reset_states()
        return torch.cat([layer(step.unsqueeze(1)) for step in x.unbind(0)], dim=1).transpose(0, 1)

    return forward


def sinabs_sequence(size: int) -> Layer:
    """The layer over the whole sequence: it reads ``x[:, t]`` under autograd."""
    layer = _sinabs_layer()

    def forward(x: Tensor) -> Tensor:
        layer.reset_states()
        return layer(x.transpose(0, 1)).transpose(0, 1)

    return forward


def spyx(x: Tensor, gradient: Tensor) -> Run:
    """``spyx.nn.run`` and its vector-Jacobian product, compiled together."""
    jax, nn, axn, nnx = load("jax"), load("spyx.nn"), load("spyx.axn"), load("flax.nnx")
    layer = nn.LIF(tuple(x.shape[2:]), beta=DECAY, activation=axn.triangular(k=1.0), rngs=nnx.Rngs(0))
    given, cotangent = (jax.numpy.asarray(t.numpy()) for t in (x, gradient))

    @jax.jit
    def both(x: Any, cotangent: Any) -> Any:
        y, pullback = jax.vjp(lambda x: nn.run(layer, x)[0], x)
        return y, pullback(cotangent)[0]

    return lambda: jax.block_until_ready(both(given, cotangent))


FORMS = (
    Form("spikingjelly", "SpikingJelly", spikingjelly),
    Form("spikingjelly", "SpikingJelly, own surrogate", spikingjelly_autograd),
    Form("snntorch", "snnTorch", snntorch, order="before_charge"),
    Form("norse", "Norse", norse),
    Form("norse", "Norse, Lift", norse_lift, quadratic=True),
    Form("sinabs", "Sinabs, step by step", sinabs),
    Form("sinabs", "Sinabs, sequence", sinabs_sequence, quadratic=True),
    Form("spyx", "Spyx", None, order="one step late"),
)


def forms(*, quadratic: bool = True) -> list[Form]:
    """The forms of all installed peers."""
    here = installed()
    return [form for form in FORMS if form.package in here and (quadratic or not form.quadratic)]
