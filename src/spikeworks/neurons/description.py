"""Descriptions of neurons: frozen, derived from what a class declares, found by name."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch

from ..core.config import config_kind
from ..core.errors import ConfigError, UnknownName
from ..core.registry import Registry

if TYPE_CHECKING:
    from .base import Neuron

_KINDS: dict[type, str] = {
    bool: "True or False",
    numbers.Integral: "a whole number",
    numbers.Real: "a number",
    str: "a name",
}
"""What an option may be, by its default; the first that fits counts."""

N = TypeVar("N", bound="type[Neuron]")


@dataclasses.dataclass(frozen=True)
class Option:
    """A choice of a neuron class that is no number to be trained: reset rule, form, size.

    Read from an instance it is the value in the neuron's configuration.
    """

    default: Any
    doc: str = ""

    def __set_name__(self, owner: type, name: str) -> None:
        object.__setattr__(self, "name", name)

    def __get__(self, neuron: Neuron | None, owner: type | None = None) -> Any:
        return self if neuron is None else getattr(neuron.config, vars(self)["name"])

    def check(self, value: Any, what: str) -> None:
        """Raise ConfigError where a value is of another kind than the default."""
        plain = next((kind for kind in _KINDS if isinstance(self.default, kind)), None)
        if plain is None and not dataclasses.is_dataclass(self.default):
            return
        kind = plain or type(self.default)
        if isinstance(value, kind) and isinstance(value, bool) == (kind is bool):
            return
        called = _KINDS[plain] if plain else f"a {kind.__name__}"
        raise ConfigError(f"{what} expected {called}, got {value!r}.", f"for instance {self.default!r}, the default")


@dataclasses.dataclass(frozen=True, kw_only=True)
class NeuronConfig:
    """Description of a neuron; each class derives its own as ``MyNeuron.Config``.

    Attributes:
        trainable: names of the parameters that training changes.
        per_channel: names of parameters that get one value a channel although the class
            declares one a layer.
    """

    neuron: ClassVar[Any]  # the class described; its name is not known here when hints are resolved

    trainable: tuple[str, ...] = ()
    per_channel: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        declared, who = self.neuron.parameters_declared, self.neuron.__name__
        for field in ("trainable", "per_channel"):
            if isinstance(names := getattr(self, field), str):
                raise ConfigError(f"{who}.{field} expected a tuple of names, got {names!r}.", f"write ({names!r},)")
        for name in (*self.trainable, *self.per_channel):
            if name not in declared:
                raise UnknownName(f"parameter of {who}", name, declared)
        for name, option in self.neuron.options_declared.items():
            option.check(getattr(self, name), f"{who}.{name}")

    @property
    def label(self) -> str:
        """The registered name, or the class name."""
        return str(vars(type(self)).get("config_kind"))

    def build(self, size: int, generator: torch.Generator | None = None) -> Neuron:
        """A neuron layer of ``size`` channels."""
        return self.neuron(size, self, generator=generator)


NeuronConfig.config_family = "neuron"  # type: ignore[attr-defined]

NEURONS: Registry[type[Neuron]] = Registry(
    "neuron", hint="'spikeworks list neurons' shows all; a file with your own is loaded by --plugin FILE"
)


def register_neuron(name: str) -> Callable[[N], N]:
    """Class decorator: file a neuron under ``name`` for configurations and the command line."""

    def add(cls: N) -> N:
        NEURONS.register(name)(cls)
        config_kind("neuron", name)(cls.Config)
        return cls

    return add


def config_for(name: str, **values: Any) -> NeuronConfig:
    """The configuration of a registered neuron.

    Raises:
        UnknownName: no such neuron, or no such field.
    """
    config = NEURONS.get(name).Config
    known = [f.name for f in dataclasses.fields(config)]
    for key in values:
        if key not in known:
            raise UnknownName(f"option of neuron '{name}'", key, known)
    return config(**values)


def derive_config(cls: type[Neuron]) -> type[NeuronConfig]:
    """The frozen dataclass that describes neurons of ``cls``: its parameters and options."""
    fields: list[Any] = [
        (n, float | None if p.default is None else float, dataclasses.field(default=p.default))
        for n, p in cls.parameters_declared.items()
    ]
    hints = {n: _option_type(cls, n, o) for n, o in cls.options_declared.items()}
    fields += [(n, hints[n], dataclasses.field(default=o.default)) for n, o in cls.options_declared.items()]
    trained = tuple(n for n, p in cls.parameters_declared.items() if p.trainable)
    fields.append(("trainable", tuple[str, ...], dataclasses.field(default=trained)))
    if not cls.__module__.startswith("spikeworks."):  # an edited definition is another neuron
        fields.append(("definition", str, dataclasses.field(default=_fingerprint(cls))))
    made = dataclasses.make_dataclass(
        f"{cls.__name__}Config",
        fields,
        bases=(NeuronConfig,),
        frozen=True,
        kw_only=True,
        namespace={"neuron": cls, "__doc__": f"Description of :class:`{cls.__name__}`.", "__module__": cls.__module__},
    )
    made.__qualname__ = f"{cls.__qualname__}.Config"  # where pickle finds it
    return config_kind("neuron", cls.__name__)(made)


def _option_type(cls: type[Neuron], name: str, option: Option) -> Any:
    """The annotation of the option, else the type of its default."""
    for c in cls.__mro__:
        annotation = vars(c).get("option_types", {}).get(name)
        if annotation is not None:
            return annotation
    return type(option.default)


def _fingerprint(cls: type[Neuron]) -> str:
    """Changes when the definition is edited: a hash of its source, else of its byte code.

    The whole file counts, because a step may call helpers beside it; of a script or notebook
    the class alone, because the rest is other work.
    """
    try:
        module = None if cls.__module__ == "__main__" else inspect.getmodule(cls)
        text = inspect.getsource(module or cls)
    except (OSError, TypeError):
        codes = [(n, f.__code__) for n, f in vars(cls).items() if inspect.isfunction(f)]
        text = repr(
            [(n, c.co_code, c.co_names, [k for k in c.co_consts if isinstance(k, float | int)]) for n, c in codes]
        )
    return hashlib.sha256(text.encode()).hexdigest()[:8]
