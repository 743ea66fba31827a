"""Frozen dataclasses as descriptions: to and from JSON, a stable identity, leaves replaced.

A description is a tree of frozen dataclasses. Classes that may stand where a base class is
annotated carry a name given by :func:`config_kind`; the name travels in JSON as ``"kind"``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .errors import ConfigError, UnknownName

C = TypeVar("C")
_KINDS: dict[tuple[str, str], type] = {}


def config_kind(family: str, name: str) -> Callable[[type[C]], type[C]]:
    """Class decorator: ``name`` identifies this dataclass within ``family`` in JSON."""

    def mark(cls: type[C]) -> type[C]:
        cls.config_family = family  # type: ignore[attr-defined]
        cls.config_kind = name  # type: ignore[attr-defined]
        _KINDS[family, name] = cls
        return cls

    return mark


def to_dict(config: Any) -> Any:
    """Plain lists, dictionaries and scalars of a description.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Rate:
        ...     start: float = 0.1
        >>> to_dict(Rate())
        {'start': 0.1}
    """
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        fields = {f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
        kind = vars(type(config)).get("config_kind")
        return fields if kind is None else {"kind": kind, **fields}
    if isinstance(config, tuple | list):
        return [to_dict(item) for item in config]
    if isinstance(config, dict):
        return {str(key): to_dict(value) for key, value in config.items()}
    if config is None or isinstance(config, bool | int | float | str):
        return config
    raise ConfigError(f"A description holds {type(config).__name__}, which JSON cannot carry: {config!r}.")


def canonical_json(config: Any) -> str:
    """One line of JSON with sorted keys: equal descriptions give equal text."""
    return json.dumps(to_dict(config), sort_keys=True, separators=(",", ":"), allow_nan=False)


def config_id(config: Any, length: int = 12) -> str:
    """The first hexadecimal digits of the SHA-256 of :func:`canonical_json`."""
    return hashlib.sha256(canonical_json(config).encode()).hexdigest()[:length]


def from_dict(cls: Any, data: Any, where: str = "config") -> Any:
    """Rebuild a description of annotated type ``cls`` from plain data.

    Raises:
        ConfigError: a field is unknown, missing or of the wrong type; ``where`` names it.
    """
    origin = typing.get_origin(cls)
    if origin in (typing.Union, types.UnionType):
        return _from_union(typing.get_args(cls), data, where)
    if origin is tuple:
        if not isinstance(data, list | tuple):
            raise ConfigError(f"{where}: expected a list, got {data!r}.")
        args = typing.get_args(cls)
        kinds = [args[0]] * len(data) if args[-1:] == (Ellipsis,) else list(args)
        if len(kinds) != len(data):
            raise ConfigError(f"{where}: expected {len(kinds)} values, got {len(data)}.")
        return tuple(from_dict(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, data, strict=True)))
    if origin is typing.Literal:
        if data not in typing.get_args(cls):
            raise UnknownName(f"{where}: value", str(data), map(str, typing.get_args(cls)))
        return data
    family = getattr(cls, "config_family", None)
    if isinstance(data, dict) and family is not None:
        return _from_kind(family, cls, data, where)
    if dataclasses.is_dataclass(cls):
        return _from_fields(typing.cast(type, cls), data, where)
    return _from_scalar(cls, data, where)


def _from_union(options: tuple[Any, ...], data: Any, where: str) -> Any:
    if data is None and type(None) in options:
        return None
    failures = []
    for option in options:
        if option is type(None):
            continue
        try:
            return from_dict(option, data, where)
        except ConfigError as error:
            failures.append(str(error))
    raise ConfigError(f"{where}: {data!r} fits none of the allowed types. " + " ".join(failures))


def _from_kind(family: str, cls: type, data: dict[str, Any], where: str) -> Any:
    data = dict(data)
    kind = data.pop("kind", None)
    if kind is None:
        if "config_kind" not in vars(cls):
            raise ConfigError(f"{where}: the field 'kind' is missing.")
        return _from_fields(cls, data, where)
    if (family, kind) not in _KINDS:
        raise UnknownName(f"{where}: {family}", str(kind), [k for f, k in _KINDS if f == family])
    return _from_fields(_KINDS[family, kind], data, where)


def _from_fields(cls: type, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected the fields of {cls.__name__}, got {data!r}.")
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]
    for key in data:
        if key not in names:
            raise UnknownName(f"{where}: field", key, names)
    values = {key: from_dict(hints[key], value, f"{where}.{key}") for key, value in data.items()}
    try:
        return cls(**values)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}.") from None


def _from_scalar(cls: Any, data: Any, where: str) -> Any:
    if cls is Any:
        return data
    if cls is float and isinstance(data, int | float) and not isinstance(data, bool):
        return float(data)
    if isinstance(cls, type) and isinstance(data, cls) and not (cls is int and isinstance(data, bool)):
        return data
    raise ConfigError(f"{where}: expected {getattr(cls, '__name__', cls)}, got {data!r}.")


def replace_leaves(config: Any, values: Mapping[str, Any]) -> Any:
    """A copy of ``config`` with the leaves at dotted paths replaced, all at once.

    At once, because a description checks itself: a shorter length and a smaller capacity may
    fit each other, while neither fits what the other was.

    Raises:
        UnknownName: no such field; ConfigError: a value has the wrong type or does not fit.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Rate:
        ...     start: float = 0.1
        >>> replace_leaves(Rate(), {"start": 2})
        Rate(start=2.0)
    """
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise ConfigError(f"'{next(iter(values))}' goes below a value that has no fields: {config!r}.")
    hints = typing.get_type_hints(type(config))
    below: dict[str, dict[str, Any]] = {}
    new: dict[str, Any] = {}
    for path, value in values.items():
        head, _, rest = path.partition(".")
        if head not in {f.name for f in dataclasses.fields(config)}:
            raise UnknownName(f"field of {type(config).__name__}", head, [f.name for f in dataclasses.fields(config)])
        if rest:
            below.setdefault(head, {})[rest] = value
        else:
            new[head] = from_dict(hints[head], value, head)
    for head, inner in below.items():
        new[head] = replace_leaves(new.get(head, getattr(config, head)), inner)
    return dataclasses.replace(config, **new)
