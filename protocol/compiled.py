"""Packing and checking of a class as one function of source text, for classes that are used often.

`codec` says what is right, and its own functions do it in general. What is made here does the same
for one class, without a call for each field; whatever it does not recognize at once it gives to the
general function, which refuses it with its reason or takes it. To make one takes 0.3 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from . import limits
from .bodies import BadFrame
from .shape import Range, Size, fields_of

Check = Callable[[Any], Any]
General = Callable[..., Check]

_SCALARS: Final = (int, str, bytes, bool, float, NoneType)
_PLAIN: Final[dict[Any, Any]] = {
    int: Range(limits.INTEGER_MIN, limits.INTEGER_MAX),
    str: Size(limits.TEXT_BYTES_MAX),
    bytes: Size(limits.VALUE_BYTES_MAX),
}


def _without(union: Any) -> tuple[list[Any], bool]:
    """The members of a union beside None, and whether None is one."""
    members = get_args(union)
    kinds = [member for member in members if member is not NoneType]
    return kinds, len(kinds) < len(members)


def _function(source: str, known: dict[str, Any]) -> Any:
    exec(source, known)
    return known["made"]


GENERAL_USES: Final = 64


class Often:
    """Functions by what they are for: the general ones, and from the 64th use on compiled ones.

    So a process that says little, such as most workers, does not pay for compiling.
    """

    def __init__(self, general: Callable[[Any], Any], quick: Callable[[Any], Any]) -> None:
        self._make, self._quick = general, quick
        self._made: dict[Any, Any] = {}
        self._left = GENERAL_USES

    def hurry(self, keys: Iterable[Any]) -> None:
        """These will be used often: compile now what is for them."""
        self._left, self._made, self._make = 0, {}, self._quick
        for key in keys:
            self.of(key)

    def of(self, key: Any) -> Any:
        """The function for this."""
        if self._left:
            self._left -= 1
            if not self._left:
                self.hurry(())
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = self._make(key)
        return made


# -- packing --------------------------------------------------------------------------------------


@cache
def packer(kind: Any) -> Callable[[Any], list[Any]]:
    """The fields of a `kind` as a list that msgpack packs as `codec.pack` would have it."""
    known: dict[str, Any] = {}
    parts = [_packed(shape, f"it.{name}", known) for name, shape in fields_of(kind).items()]
    made: Callable[[Any], list[Any]] = _function(
        f"def made(it):\n return [{', '.join(parts)}]", known
    )
    return made


def _packed(shape: Any, text: str, known: dict[str, Any]) -> str:
    origin = get_origin(shape)
    if origin is Annotated:
        return _packed(get_args(shape)[0], text, known)
    if shape in _SCALARS:
        return text
    if origin in (Union, UnionType):
        kinds, optional = _without(shape)
        part = _packed(kinds[0], text, known) if len(kinds) == 1 else _either(text, known)
        return f"(None if {text} is None else {part})" if optional and part != text else part
    if origin is tuple:
        return _packed_tuple(get_args(shape), text, known)
    if issubclass(shape, Enum):
        return f"{text}._value_"
    name = _known(packer(shape), known)
    return f"[{shape.CODE}, {name}({text})]" if hasattr(shape, "CODE") else f"{name}({text})"


def _packed_tuple(items: tuple[Any, ...], text: str, known: dict[str, Any]) -> str:
    if len(items) == 2 and items[1] is Ellipsis:
        part = f"part{len(known)}"
        inner = _packed(items[0], part, known)
        return text if inner == part else f"[{inner} for {part} in {text}]"
    inners = [_packed(item, f"{text}[{at}]", known) for at, item in enumerate(items)]
    plain = all(inner == f"{text}[{at}]" for at, inner in enumerate(inners))
    return text if plain else f"[{', '.join(inners)}]"


def _either(text: str, known: dict[str, Any]) -> str:
    return f"{_known(coded, known)}({text})"


def coded(value: Any) -> list[Any]:
    """One of several kinds, told apart by their codes."""
    kind: Any = type(value)
    pack_fields: Callable[[Any], list[Any]] = packer(kind)
    return [kind.CODE, pack_fields(value)]


def body_packer(kind: Any, general: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What packs values of this kind where nothing is said of which kinds there may be."""
    if not hasattr(kind, "__match_args__"):
        return general
    return coded if hasattr(kind, "CODE") else packer(kind)


def _known(thing: Any, known: dict[str, Any]) -> str:
    name = f"known{len(known)}"
    known[name] = thing
    return name


# -- checking -------------------------------------------------------------------------------------


@cache
def checker(kind: Any, general: General) -> Check:
    """A function that does what `general(kind, coded=False)` does."""
    known: dict[str, Any] = {"kind": kind, "general": general(kind, coded=False)}
    known["Trouble"] = (BadFrame, KeyError, TypeError, ValueError)
    conditions, parts, names = ["type(value) is list"], [], []
    for at, (_, shape) in enumerate(fields_of(kind).items()):
        names.append(f"a{at}")
        condition, part = _checked(shape, f"a{at}", known, general)
        conditions += [condition] if condition else []
        parts.append(part)
    source = (
        "def made(value):\n"
        " try:\n"
        f"  [{', '.join(names)}] = value\n"
        f"  if {' and '.join(conditions)}:\n"
        f"   return kind({', '.join(parts)})\n"
        " except Trouble: pass\n"
        " return general(value)"
    )
    made: Check = _function(source, known)
    return made


def _checked(shape: Any, text: str, known: dict[str, Any], general: General) -> tuple[str, str]:
    """A condition on what is called `text`, and the value that it amounts to if that holds."""
    origin = get_origin(shape)
    if origin in (Union, UnionType):
        kinds, optional = _without(shape)
        if len(kinds) > 1:
            condition, part = "", f"{_known(_one_of(tuple(kinds), general), known)}({text})"
        else:
            condition, part = _checked(kinds[0], text, known, general)
        if not optional:
            return condition, part
        condition = f"({text} is None or ({condition}))" if condition else ""
        return condition, part if part == text else f"(None if {text} is None else {part})"
    bound = get_args(shape)[1] if origin is Annotated else _PLAIN.get(shape)
    kind = get_args(shape)[0] if origin is Annotated else shape
    if kind in _SCALARS:
        return _scalar(kind, bound, text), text
    if get_origin(kind) is tuple:
        return _checked_tuple(shape, kind, bound, text, known, general)
    if issubclass(kind, Enum):
        return "", f"{_known({each.value: each for each in kind}, known)}[{text}]"
    if hasattr(kind, "CODE"):
        return "", f"{_known(_one_of((kind,), general), known)}({text})"
    return "", f"{_known(checker(kind, general), known)}({text})"


def _scalar(kind: Any, bound: Any, text: str) -> str:
    if kind is NoneType:
        return f"{text} is None"
    if kind is bool:
        return f"({text} is True or {text} is False)"
    if kind is float:
        return f"type({text}) is float and -1.8e308 < {text} < 1.8e308"
    if kind is int:
        return f"type({text}) is int and {bound.low} <= {text} <= {bound.high}"
    # A character takes at most four bytes; what may be too long is counted by the general check.
    high = bound.high // 4 if kind is str else bound.high
    return f"type({text}) is {kind.__name__} and {bound.low} <= len({text}) <= {high}"


def _checked_tuple(
    shape: Any, kind: Any, bound: Any, text: str, known: dict[str, Any], general: General
) -> tuple[str, str]:
    items = get_args(kind)
    size = bound or Size(limits.ITEMS_MAX)
    many = len(items) == 2 and items[1] is Ellipsis
    condition, part = _checked(items[0], "part", known, general) if many else ("", "part")
    if condition or part == "part":
        return "", f"{_known(general(shape), known)}({text})"
    condition = f"type({text}) is list and {size.low} <= len({text}) <= {size.high}"
    return condition, f"(tuple([{part} for part in {text}]) if {text} else ())"


@cache
def _one_of(kinds: tuple[Any, ...], general: General) -> Check:
    checks = {kind.CODE: checker(kind, general) for kind in kinds}

    def check(value: Any) -> Any:
        if type(value) is not list or len(value) != 2 or type(value[0]) is not int:
            raise BadFrame("not a code and its fields")
        return checks[value[0]](value[1])

    return check


def shape(annotation: Any, general: General) -> Check:
    """A function that does what `general(annotation)` does."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    if not all(hasattr(kind, "__match_args__") for kind in kinds):
        return general(annotation)
    plain = general(annotation)
    quick = _one_of(kinds, general) if hasattr(kinds[0], "CODE") else checker(kinds[0], general)

    def check(value: Any) -> Any:
        try:
            return quick(value)
        except (BadFrame, KeyError, TypeError):
            return plain(value)

    return check
