"""Whether an argument fits a parameter's annotation, for annotations of plain data. Pure.

What cannot be decided from plain data alone (a class of the user's, a TypeVar) is let through: the
tool itself is the better judge.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin


class Misfit(TypeError):
    """An argument that its annotation does not allow; the message names its path."""


def fit(value: Any, annotation: Any, path: str) -> Any:
    """The value as the annotation wants it: a list becomes a tuple where one is asked for.

    Raises:
        Misfit: the annotation does not allow it.
    """
    if annotation is None:
        annotation = type(None)
    if isinstance(annotation, type) and annotation in _PLAIN:
        return _plain(value, annotation, path)
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return _one_of(value, get_args(annotation), annotation, path)
    if origin is Literal:
        allowed = get_args(annotation)
        if not any(type(value) is type(item) and value == item for item in allowed):
            raise _misfit(path, " or ".join(repr(item) for item in allowed), value)
        return value
    if origin in (list, Sequence):
        return _list(value, get_args(annotation), path)
    if origin is tuple:
        return _tuple(value, get_args(annotation), path)
    if origin in (dict, Mapping):
        return _dict(value, get_args(annotation), path)
    return value


_PLAIN = frozenset({int, float, str, bool, bytes, type(None), list, tuple, dict})


def _plain(value: Any, kind: type, path: str) -> Any:
    if kind is tuple and isinstance(value, list):
        return tuple(value)
    accepted: tuple[type, ...] = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted):
        raise _misfit(path, _shown(kind), value)
    return value


def _one_of(value: Any, members: tuple[Any, ...], annotation: Any, path: str) -> Any:
    for member in members:
        try:
            return fit(value, member, path)
        except Misfit:
            continue
    raise _misfit(path, _shown(annotation), value)


def _list(value: Any, of: tuple[Any, ...], path: str) -> Any:
    if not isinstance(value, list):
        raise _misfit(path, "list", value)
    item = of[0] if of else Any
    return [fit(part, item, f"{path}[{index}]") for index, part in enumerate(value)]


def _tuple(value: Any, of: tuple[Any, ...], path: str) -> Any:
    if not isinstance(value, list):
        raise _misfit(path, "list", value)
    if len(of) == 2 and of[1] is Ellipsis:
        of = (of[0],) * len(value)
    if len(value) != len(of):
        raise _misfit(path, f"list of {len(of)}", value)
    return tuple(
        fit(part, item, f"{path}[{index}]")
        for index, (part, item) in enumerate(zip(value, of, strict=True))
    )


def _dict(value: Any, of: tuple[Any, ...], path: str) -> Any:
    if not isinstance(value, dict):
        raise _misfit(path, "dict", value)
    item = of[1] if len(of) == 2 else Any
    return {key: fit(part, item, f"{path}.{key}") for key, part in value.items()}


def _shown(annotation: Any) -> str:
    if annotation is type(None):
        return "None"
    if isinstance(annotation, type):
        return annotation.__name__
    return str(annotation).replace("typing.", "")


def _misfit(path: str, expected: str, value: Any) -> Misfit:
    shown = repr(value)
    if len(shown) > 60:
        shown = shown[:57] + "..."
    return Misfit(f"{path} must be {expected}, not {type(value).__name__} ({shown})")
