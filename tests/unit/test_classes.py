"""A class made lazily can do what one of the standard library can."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, ClassVar

import pytest
from tidemark.protocol import classes


def made(decorator: Any, field: Any) -> tuple[Any, Any, Any]:
    @decorator(frozen=True, slots=True, order=True)
    class Point:
        """Two numbers."""

        CODE: ClassVar[int] = 7
        x: int
        y: int = 2

    @decorator(frozen=True)
    class Open:
        """Has a dictionary, and a check."""

        parts: dict[str, int] = field(default_factory=dict)
        low: int = 0

        def __post_init__(self) -> None:
            if self.low < 0:
                raise ValueError("low")

    @decorator(slots=True)
    class Changing:
        """Can be changed."""

        name: str
        seen: list[int] = field(default_factory=list)

    return Point, Open, Changing


OURS = made(classes.dataclass, classes.field)
THEIRS = made(dataclasses.dataclass, dataclasses.field)


@pytest.mark.parametrize(("point", "holder", "changing"), [OURS, THEIRS])
def test_both_kinds_do_the_same(point: Any, holder: Any, changing: Any) -> None:
    one = point(1)
    assert (one.x, one.y, point.CODE) == (1, 2, 7)
    assert repr(one).endswith("Point(x=1, y=2)")
    assert one == point(y=2, x=1) != point(1, 3)
    assert one.__eq__((1, 2)) is NotImplemented
    assert {one: "here"}[point(1, 2)] == "here"
    assert hash(one) == hash((1, 2))
    assert point(1, 9) < point(2, 0) >= point(1, 0)
    with pytest.raises(TypeError):
        assert one < (1, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.x = 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        del one.x
    with pytest.raises(TypeError, match="x"):
        point()
    assert not hasattr(one, "__dict__")
    assert copy.copy(one) == one
    assert dataclasses.replace(one, y=5) == point(1, 5)
    assert [each.name for each in dataclasses.fields(one)] == ["x", "y"] == [*point.__match_args__]
    assert dataclasses.asdict(one) == {"x": 1, "y": 2}

    first, second = holder(), holder()
    assert first == second
    assert first.parts is not second.parts
    assert dataclasses.replace(first, low=3).parts == {}
    with pytest.raises(ValueError, match="low"):
        holder(low=-1)

    loose = changing("a")
    loose.seen.append(1)
    loose.name = "b"
    assert (loose.name, loose.seen, changing("a").seen) == ("b", [1], [])
    assert changing.__hash__ is None
    with pytest.raises(AttributeError):
        loose.other = 1


def test_what_is_prepared_is_not_made_again() -> None:
    @classes.dataclass(frozen=True, slots=True)
    class Point:
        x: int
        y: int = 2

    classes.prepare([Point, Point])
    made = vars(Point)["__init__"]
    assert (Point(1).x, Point(1).y) == (1, 2)
    assert vars(Point)["__init__"] is made


def test_classes_of_one_shape_keep_their_own_names() -> None:
    """The code of the first is the others', with other names."""

    @classes.dataclass(frozen=True, slots=True)
    class First:
        left: int
        right: int = 1

    @classes.dataclass(frozen=True, slots=True)
    class Second:
        right: int
        self_: int = 2

    @classes.dataclass(slots=True)
    class Third:
        f1: int  # what the code that is shared calls the second one
        f0: int = 3

    assert repr(First(5)).endswith("First(left=5, right=1)")
    assert repr(Second(right=5)).endswith("Second(right=5, self_=2)")
    third = Third(5)
    assert (third.f1, third.f0) == (5, 3)
    assert third == Third(f0=3, f1=5) != Third(3, 5)
    assert First(5) != Second(5)
    assert hash(Second(1, 4)) == hash((1, 4))
    with pytest.raises(TypeError, match=r"Second\.__init__\(\).*'right'"):
        Second()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"First\.__init__\(\).*'self_'"):
        First(1, self_=2)  # type: ignore[call-arg]


def test_defaults_come_last() -> None:
    with pytest.raises(TypeError, match="Wrong: a field without a default follows"):

        @classes.dataclass(slots=True)
        class Wrong:
            first: int = 1
            second: int  # type: ignore[misc]
