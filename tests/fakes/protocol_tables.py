"""The tables of docs/PROTOCOL.md, written from the annotations that the codec reads."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from types import NoneType
from typing import Annotated, Any, Final, get_args, get_origin

from tidemark.protocol import codec, errors, limits, shape
from tidemark.protocol.host_requests import Ask
from tidemark.protocol.shape import Range, Size

from fakes.schema import field_types, reachable

DIRECTIONS: Final = (
    ("Host to supervisor", codec.FROM_HOST.kinds),
    ("Requests (the `ask` of Request)", get_args(Ask)),
    ("Supervisor to host", codec.TO_HOST.kinds),
    ("Answers (the `content` of Answered)", get_args(codec.ANSWER)),
    ("Worker to supervisor", codec.FROM_WORKER.kinds),
    ("Items (the `items` of Said)", get_args(codec.ITEM)),
    ("Supervisor to worker", codec.TO_WORKER.kinds),
    ("Supervisor to zygote", codec.TO_ZYGOTE.kinds),
    ("Zygote to supervisor", codec.FROM_ZYGOTE.kinds),
)
_SCALARS: Final = {
    int: "int, 64 bit",
    float: "finite number",
    bool: "bool",
    str: f"text, at most {limits.TEXT_BYTES_MAX:,} bytes",
    bytes: f"bytes, at most {limits.VALUE_BYTES_MAX:,}",
}
_INTEGERS: Final = {
    limits.INTEGER_MIN: "-2^63",
    limits.INTEGER_MAX: "2^63-1",
    2**31 - 1: "2^31-1",
}


def tables() -> str:
    """All generated tables, as markdown."""
    parts: list[str] = []
    for title, kinds in DIRECTIONS:
        parts += [f"### {title}", "", *_messages(kinds), ""]
    parts += ["### Parts", "", "What messages hold; without codes.", "", *_parts(), ""]
    parts += ["### Words", "", "Closed sets of text.", "", *_enums(), ""]
    parts += ["### Types", "", "The names that the tables above use.", "", *_types(), ""]
    parts += ["### Refusal codes", "", *_refusals(), ""]
    parts += ["### Bounds", "", *_bounds()]
    return "\n".join(parts)


def _messages(kinds: Iterable[Any]) -> Iterator[str]:
    yield from ("| code | message | fields | says |", "|--:|---|---|---|")
    for kind in sorted(kinds, key=lambda kind: kind.CODE):
        yield f"| {kind.CODE} | {kind.__name__} | {_fields(kind)} | {_says(kind)} |"


def _parts() -> Iterator[str]:
    yield from ("| part | fields | is |", "|---|---|---|")
    for kind in _reached(is_dataclass):
        if not hasattr(kind, "CODE"):
            yield f"| {kind.__name__} | {_fields(kind)} | {_says(kind)} |"


def _enums() -> Iterator[str]:
    yield from ("| type | words | is |", "|---|---|---|")
    for kind in _reached(lambda kind: issubclass(kind, Enum)):
        words = ", ".join(f'"{member.value}"' for member in kind)
        yield f"| {kind.__name__} | {words} | {_says(kind)} |"


def _types() -> Iterator[str]:
    yield from ("| type | is |", "|---|---|")
    for name, alias in vars(shape).items():
        if get_origin(alias) is Annotated:
            yield f"| {name} | {_bounded(alias)} |"


def _refusals() -> Iterator[str]:
    yield from ("| code | error | attributes | outcome | means |", "|---|---|---|---|---|")
    for code, kind in errors.ERRORS.items():
        attributes = ", ".join(kind.fields) or "-"
        outcome = "known" if kind.outcome_known else "not known"
        yield f"| {code} | {kind.__name__} | {attributes} | {outcome} | {_says(kind)} |"


def _bounds() -> Iterator[str]:
    comments = dict(_constants(inspect.getsource(limits)))
    yield from ("| bound | value | why |", "|---|--:|---|")
    for name, why in comments.items():
        value = getattr(limits, name)
        yield f"| {name} | {_INTEGERS.get(value, f'{value:,}')} | {why} |"


def _constants(source: str) -> Iterator[tuple[str, str]]:
    for line in source.splitlines():
        name, _, rest = line.partition(": Final = ")
        if rest and name.isupper() and name not in {"KIB", "MIB"}:
            yield name, rest.partition("# ")[2]


def _reached(wanted: Any) -> list[Any]:
    kinds = {kind for _, group in DIRECTIONS for top in group for kind in reachable(top)}
    return sorted((kind for kind in kinds if wanted(kind)), key=lambda kind: str(kind.__name__))


def _says(kind: type) -> str:
    """The first paragraph of the docstring, on one line."""
    paragraph = inspect.getdoc(kind).split("\n\n")[0]  # type: ignore[union-attr]
    return " ".join(paragraph.split()).replace("|", "\\|")


def _fields(kind: type) -> str:
    hints = dict(field_types(kind))
    shown = []
    for field in fields(kind):
        node = ast.parse(str(field.type), mode="eval").body
        shown.append(f"`{field.name}` {_shown(node, hints[field.name])}")
    return "<br>".join(shown) or "none"


def _shown(node: ast.expr, hint: Any) -> str:
    """An annotation in words: names as they are written, bounds as they are resolved."""
    if isinstance(node, ast.BinOp):
        inner = next(member for member in get_args(hint) if member is not NoneType)
        return f"nothing or {_shown(node.left, inner)}"
    if isinstance(node, ast.Name):
        if hasattr(shape, node.id) or not _is_list(hint):
            return _SCALARS.get(hint, node.id)
        item = get_args(get_args(hint)[0])[0]
        return f"list of {_name_of(item)}{_at_most(get_args(hint)[1])}"
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
        first, second = node.slice.elts
        if _is_tuple(node):
            if isinstance(second, ast.Constant):
                return f"list of {_shown(first, get_args(hint)[0])}"
            inner = [
                _shown(part, part_hint)
                for part, part_hint in zip(node.slice.elts, get_args(hint), strict=True)
            ]
            return f"({', '.join(inner)})"
        bound = get_args(hint)[1]
        if isinstance(bound, Range):
            return _bounded(hint)
        return f"{_shown(first, get_args(hint)[0])}{_at_most(bound)}"
    raise TypeError(f"no words for {ast.unparse(node)}")


def _is_tuple(node: ast.Subscript) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "tuple"


def _is_list(hint: Any) -> bool:
    return get_origin(hint) is Annotated and get_origin(get_args(hint)[0]) is tuple


def _name_of(item: Any) -> str:
    """The name of what a list holds: a type of ours, or of a union of items."""
    if isinstance(item, type):
        return item.__name__
    named = {id(alias): name for name, alias in vars(shape).items()}
    if id(item) in named:
        return named[id(item)]
    equal = [name for name, alias in vars(shape).items() if alias == item]
    return equal[0] if equal else "Item"


def _at_most(size: Size) -> str:
    return "" if size.high == limits.INTEGER_MAX else f", at most {size.high:,}"


def _bounded(hint: Any) -> str:
    kind, bound = get_args(hint)
    if isinstance(bound, Range):
        low, high = (_INTEGERS.get(value, f"{value:,}") for value in (bound.low, bound.high))
        return f"int, {low} to {high}"
    what = "text" if kind is str else "bytes"
    if bound.low == bound.high:
        return f"exactly {bound.high:,} bytes"
    return f"{what}, at most {bound.high:,} bytes"
