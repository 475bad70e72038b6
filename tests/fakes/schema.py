"""Walks over message annotations: which types a message has, and what its fields must not hold.

The walks work on plain values (lists and scalars as msgpack gives them), beside the annotations
that the codec reads, so a new field or bound is tested without a line being written for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from tidemark.protocol import limits
from tidemark.protocol.shape import Range, Size

Path = tuple[int, ...]


def field_types(kind: type) -> list[tuple[str, Any]]:
    """The fields of a message or part, with their resolved annotations."""
    hints = get_type_hints(kind, include_extras=True)
    return [(field.name, hints[field.name]) for field in fields(kind)]


def reachable(annotation: Any) -> set[type]:
    """Every dataclass and enum that a value of this annotation can hold."""
    found: set[type] = set()
    waiting = [annotation]
    while waiting:
        item = waiting.pop()
        if isinstance(item, type) and (is_dataclass(item) or issubclass(item, Enum)):
            if item not in found:
                found.add(item)
                if is_dataclass(item):
                    waiting.extend(hint for _, hint in field_types(item))
        else:
            waiting.extend(
                get_args(item) if get_origin(item) is not Annotated else [get_args(item)[0]]
            )
    return found


def spoiled(annotation: Any, plain: Any, *, coded: bool = True) -> Iterator[tuple[str, Any]]:
    """The plain value with one part of it made wrong, in every way that the annotation forbids."""
    optional, kinds = _members(annotation)
    yield from _wrong_kinds(kinds)
    if not optional:
        yield "nothing", None
    if plain is None:
        return
    kind = kinds[0]
    if len(kinds) > 1 or (coded and hasattr(kind, "CODE")):
        yield from _spoiled_coded(kinds, plain)
    elif isinstance(kind, type) and is_dataclass(kind):
        yield from _spoiled_fields(kind, plain)
    elif get_origin(kind) is Annotated and isinstance(get_args(kind)[1], Range):
        bound = get_args(kind)[1]
        beyond = (bound.low - 1, bound.high + 1)
        # msgpack itself has no int below 64 bits.
        yield from ((f"{value}", value) for value in beyond if value >= limits.INTEGER_MIN)
    elif get_origin(kind) is Annotated:
        yield from _spoiled_sized(*get_args(kind), plain)
    elif get_origin(kind) is tuple:
        yield "one more", [*plain, 0]
        yield "one less", plain[:-1]
        for index, item in enumerate(get_args(kind)):
            yield from _within(plain, index, spoiled(item, plain[index]), f"[{index}]")


def _members(annotation: Any) -> tuple[bool, list[Any]]:
    if get_origin(annotation) in (Union, UnionType):
        args = get_args(annotation)
        return NoneType in args, [kind for kind in args if kind is not NoneType]
    return False, [annotation]


def _wrong_kinds(kinds: list[Any]) -> Iterator[tuple[str, Any]]:
    accepted = {_wire_type(kind) for kind in kinds}
    if float in accepted:
        accepted.add(int)  # an int is a number
    candidates: list[Any] = [7, 1.5, True, "tide", b"tide", [[[]]], {}]
    for value in candidates:
        if type(value) not in accepted:
            yield f"a {type(value).__name__}", value
    if float in accepted:
        yield from (("NaN", float("nan")), ("infinity", float("inf")))
    if any(isinstance(kind, type) and issubclass(kind, Enum) for kind in kinds):
        yield "no member", "tide"


def _wire_type(kind: Any) -> type:
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if kind in (int, float, bool, str, bytes):
        return kind  # type: ignore[no-any-return]
    return str if isinstance(kind, type) and issubclass(kind, Enum) else list


def _spoiled_coded(kinds: list[Any], plain: Any) -> Iterator[tuple[str, Any]]:
    code, content = plain
    yield "unknown code", [200, content]
    yield "code below zero", [-1, content]
    yield "code that is text", [str(code), content]
    yield "no fields", [code]
    yield "three parts", [code, content, 0]
    kind = next(kind for kind in kinds if code == kind.CODE)
    inner = _spoiled_fields(kind, content)
    yield from ((f"{kind.__name__}{name}", [code, wrong]) for name, wrong in inner)


def _spoiled_fields(kind: type, plain: list[Any]) -> Iterator[tuple[str, Any]]:
    yield " one more", [*plain, None]
    if plain:
        yield " one less", plain[:-1]
    for index, (name, hint) in enumerate(field_types(kind)):
        yield from _within(plain, index, spoiled(hint, plain[index]), f".{name}")


def _spoiled_sized(kind: Any, size: Size, plain: Any) -> Iterator[tuple[str, Any]]:
    if size.high > limits.MESSAGE_BYTES_MAX:
        return
    if kind is str:
        yield "too long", "x" * (size.high + 1)
        yield "too long in bytes", "\u00fc" * (size.high // 2 + 1)
    elif kind is bytes:
        yield "too long", bytes(size.high + 1)
        if size.low:
            yield "too short", bytes(size.low - 1)
    else:
        item = get_args(kind)[0]
        yield "too many", [plain[0] if plain else None] * (size.high + 1)
        for index, part in enumerate(plain):
            yield from _within(plain, index, spoiled(item, part), f"[{index}]")


def _within(
    plain: list[Any], index: int, parts: Iterator[tuple[str, Any]], step: str
) -> Iterator[tuple[str, Any]]:
    for name, wrong in parts:
        yield (
            f"{step} {name}".replace(" .", ".").replace(" [", "["),
            [
                *plain[:index],
                wrong,
                *plain[index + 1 :],
            ],
        )


def edges(kind: type) -> Iterator[tuple[str, Callable[[], Any]]]:
    """For each scalar field, the extreme values that the annotation still allows."""
    for name, hint in field_types(kind):
        for member in _members(hint)[1]:
            for value in _extremes(member):
                yield name, value


def _extremes(kind: Any) -> Iterator[Callable[[], Any]]:
    if get_origin(kind) is not Annotated:
        return
    inner, bound = get_args(kind)
    if isinstance(bound, Range):
        yield lambda: bound.low
        yield lambda: bound.high
    elif inner is str:
        yield lambda: ""
        yield lambda: "\u00fc" * (bound.high // 2)
    elif inner is bytes and bound.high < limits.MESSAGE_BYTES_MAX:
        yield lambda: bytes(bound.low)
        yield lambda: bytes(bound.high)
