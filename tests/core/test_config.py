"""Descriptions survive JSON, keep their identity, and name what is wrong in them."""

from __future__ import annotations

import dataclasses
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.config import canonical_json, config_id, config_kind, from_dict, replace_leaves, to_dict
from spikeworks.core.errors import ConfigError, UnknownName


@dataclasses.dataclass(frozen=True)
class Shape:
    pass


Shape.config_family = "test-shape"  # type: ignore[attr-defined]


@config_kind("test-shape", "circle")
@dataclasses.dataclass(frozen=True)
class Circle(Shape):
    radius: float = 1.0


@config_kind("test-shape", "box")
@dataclasses.dataclass(frozen=True)
class Box(Shape):
    sides: tuple[float, ...] = (1.0, 2.0)


@dataclasses.dataclass(frozen=True)
class Drawing:
    shape: Shape = dataclasses.field(default_factory=Circle)
    colour: Literal["red", "blue"] = "red"
    copies: int = 1
    title: str | None = None


drawings = st.builds(
    Drawing,
    shape=st.one_of(
        st.builds(Circle, radius=st.floats(allow_nan=False, allow_infinity=False)),
        st.builds(Box, sides=st.lists(st.floats(0, 9), max_size=4).map(tuple)),
    ),
    colour=st.sampled_from(["red", "blue"]),
    copies=st.integers(-5, 5),
    title=st.none() | st.text(max_size=8),
)


@given(drawings)
def test_round_trip_keeps_value_and_identity(drawing):
    again = from_dict(Drawing, to_dict(drawing))
    assert again == drawing
    assert canonical_json(again) == canonical_json(drawing)


def test_identity_ignores_the_order_of_keys():
    data = to_dict(Drawing())
    assert config_id(from_dict(Drawing, dict(reversed(data.items())))) == config_id(Drawing())


@pytest.mark.parametrize(
    "data, error, message",
    [
        ({"color": "red"}, UnknownName, "field 'color' is not registered. Did you mean 'colour'"),
        ({"colour": "bleu"}, UnknownName, "Did you mean 'blue'"),
        ({"copies": 1.5}, ConfigError, "config.copies: expected int, got 1.5"),
        ({"copies": True}, ConfigError, "expected int, got True"),
        ({"shape": {"kind": "cirkle"}}, UnknownName, "Did you mean 'circle'"),
        ({"shape": {"radius": 2.0}}, ConfigError, "the field 'kind' is missing"),
        ({"shape": {"kind": "box", "sides": 3}}, ConfigError, "config.shape.sides: expected a list"),
        ({"title": 3}, ConfigError, "fits none of the allowed types"),
        ([], ConfigError, "expected the fields of Drawing"),
    ],
)
def test_what_is_wrong_is_named(data, error, message):
    with pytest.raises(error, match=message.replace("(", r"\(")):
        from_dict(Drawing, data)


@dataclasses.dataclass(frozen=True)
class Ordered:
    low: int = 1
    high: int = 2

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ConfigError("out of order")


def test_leaves_that_fit_each_other_alone_are_replaced_at_once():
    assert replace_leaves(Ordered(), {"low": 7, "high": 9}) == Ordered(7, 9)
    with pytest.raises(ConfigError, match="out of order"):
        replace_leaves(Ordered(), {"low": 7})


def test_leaves_are_replaced():
    drawing = replace_leaves(Drawing(), {"shape.radius": 2, "copies": 3})
    assert drawing == Drawing(Circle(2.0), copies=3)
    with pytest.raises(UnknownName, match="field of Circle 'radios'.*Did you mean 'radius'"):
        replace_leaves(drawing, {"shape.radios": 2})
    with pytest.raises(ConfigError, match="below a value that has no fields"):
        replace_leaves(drawing, {"copies.more": 2})


def test_values_that_json_cannot_carry_are_refused():
    with pytest.raises(ConfigError, match="JSON cannot carry"):
        to_dict(Drawing(title={1, 2}))  # type: ignore[arg-type]
