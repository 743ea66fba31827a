"""Names for things that a configuration or the command line may ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from .errors import ConfigError, UnknownName

T = TypeVar("T")
M = TypeVar("M")


class Registry(Generic[T]):
    """A table from names to objects that suggests near misses.

    Example:
        >>> colours = Registry("colour")
        >>> _ = colours.register("red")(object())
        >>> "red" in colours, colours.names()
        (True, ['red'])
    """

    def __init__(self, what: str, hint: str | None = None) -> None:
        self.what = what
        self.hint = hint
        self._members: dict[str, T] = {}

    def register(self, name: str) -> Callable[[M], M]:
        """Decorator that files its argument under ``name``.

        Raises:
            ConfigError: the name belongs to another object already.
        """

        def add(member: M) -> M:
            present = self._members.get(name)
            if present is not None and not _same_definition(present, member):
                raise ConfigError(
                    f"{self.what} '{name}' is registered already, by {present!r}.",
                    "choose another name; a registered one keeps its meaning",
                )
            self._members[name] = member  # type: ignore[assignment]
            return member

        return add

    def get(self, name: str) -> T:
        """The member called ``name``; raises UnknownName with suggestions."""
        try:
            return self._members[name]
        except KeyError:
            raise UnknownName(self.what, name, self._members, self.hint) from None

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self._members)


def _same_definition(a: object, b: object) -> bool:
    """True where a module was executed twice (a notebook cell, a reload)."""
    return (
        getattr(a, "__qualname__", a) == getattr(b, "__qualname__", b)
        and getattr(a, "__module__", None) == getattr(b, "__module__", None)
        and hasattr(a, "__qualname__")
    )
