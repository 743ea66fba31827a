"""Any leaf of a run's description as an option: ``--model.neuron.decay 0.95``."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from ..core.config import replace_leaves
from ..core.errors import ConfigError

Values = dict[str, list[str]]


class Described(Protocol):
    """A frozen dataclass whose leaves are options."""

    settings_shown_by: ClassVar[str]

    @property
    def subject(self) -> str:
        """What messages call it."""
        ...


D = TypeVar("D", bound=Described)


def split_dotted(words: Sequence[str]) -> tuple[list[str], Values]:
    """Separate ``--a.b value ...`` from all other words.

    Example:
        >>> split_dotted(["--seed", "1", "--model.hidden", "64", "32", "--task.by=row"])
        (['--seed', '1'], {'model.hidden': ['64', '32'], 'task.by': ['row']})
    """
    rest: list[str] = []
    found: Values = {}
    taking: list[str] | None = None
    for word in words:
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            taking = None
        if name.startswith("--") and "." in name:
            taking = found.setdefault(name[2:].replace("-", "_"), [])
            if equals:
                taking.append(value)
        elif taking is not None:
            taking.append(word)
        else:
            rest.append(word)
    return rest, found


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of all leaves."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        name = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{name}.")
        elif field.name != "definition":  # follows from the neuron's source
            yield name, value


def apply_leaves(config: D, values: Mapping[str, Sequence[str]]) -> D:
    """A description with leaves replaced by parsed words.

    Raises:
        ConfigError: no such leaf (the nearest is named), or a word of the wrong kind.
    """
    for path in values:
        config = _filled(config, path)
    parsed = {path: _parse(path, _annotation(config, path), words) for path, words in values.items()}
    return replace_leaves(config, parsed)


def _filled(config: D, path: str) -> D:
    """``config`` with defaults where ``path`` leads into an optional part that is absent."""
    parts = path.split(".")
    for depth in range(1, len(parts)):
        inner = ".".join(parts[:depth])
        if _value(config, inner) is None:
            options = [t for t in typing.get_args(_annotation(config, inner)) if dataclasses.is_dataclass(t)]
            if options:
                config = replace_leaves(config, {inner: {}})
    return config


def _value(config: Any, path: str) -> Any:
    for part in path.split("."):
        config = getattr(config, part, None)
    return config


def _annotation(config: Any, path: str) -> Any:
    node = config
    *parents, last = path.split(".")
    for part in parents:
        node = getattr(node, part, None)
    if not dataclasses.is_dataclass(node) or last not in {f.name for f in dataclasses.fields(node)}:
        raise _unknown(config, path)
    if dataclasses.is_dataclass(getattr(node, last)):
        inside = ", ".join(f"--{path}.{f.name}" for f in dataclasses.fields(getattr(node, last)))
        raise ConfigError(f"Option --{path} has parts: {inside}.")
    return typing.get_type_hints(type(node))[last]


def _unknown(config: Any, path: str) -> ConfigError:
    known = [name for name, _ in leaves(config)]
    near = difflib.get_close_matches(path, known, n=3, cutoff=0.6)
    last = path.rpartition(".")[2]
    near = near or [name for name in known if name.rpartition(".")[2] == last][:3]
    meant = f" Did you mean {' or '.join(f'--{name}' for name in near)}?" if near else ""
    return ConfigError(
        f"Option --{path} is unknown: {config.subject} has no such setting.{meant}", config.settings_shown_by
    )


def _parse(path: str, annotation: Any, words: Sequence[str]) -> Any:
    import tyro

    several = typing.get_origin(annotation) is tuple
    if several:
        words = [part for word in words for part in word.split(",") if part]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            value = tyro.cli(annotation, args=list(words), console_outputs=False)
    except SystemExit:
        got = " ".join(words) or "nothing"
        raise ConfigError(f"Option --{path} expected {_spoken(annotation)}, got {got}.") from None
    return list(value) if several else value


def _spoken(annotation: Any) -> str:
    """A type as people say it."""
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin is tuple:
        return f"values of the kind {_spoken(arguments[0])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join("None" if a is type(None) else _spoken(a) for a in arguments)
    return {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}.get(
        annotation, getattr(annotation, "__name__", str(annotation))
    )
