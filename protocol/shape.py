"""Shapes of message fields: bounds that the codec enforces, written as annotations.

A message is a frozen dataclass whose annotations are its schema: `Annotated[int, Range(0, 9)]`,
`Annotated[str, Size(256)]` (bytes of UTF-8), `Annotated[tuple[X, ...], Size(10)]` (items). The
aliases below are the ones that messages use.
"""

from __future__ import annotations

import sys
from functools import cache
from types import NoneType
from typing import Annotated, Any, TypeAlias

from . import limits
from .classes import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """An int between two bounds, both included."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Size:
    """At most so many bytes (str, bytes) or items (tuple)."""

    high: int
    low: int = 0


Count: TypeAlias = Annotated[int, Range(0, limits.INTEGER_MAX)]
Signed: TypeAlias = Annotated[int, Range(limits.INTEGER_MIN, limits.INTEGER_MAX)]
TimeNs: TypeAlias = Annotated[int, Range(0, limits.INTEGER_MAX)]
Pid: TypeAlias = Annotated[int, Range(1, 2**31 - 1)]
Name: TypeAlias = Annotated[str, Size(limits.NAME_BYTES_MAX)]
StoredKey: TypeAlias = Annotated[str, Size(limits.STORED_KEY_BYTES_MAX)]
Line: TypeAlias = Annotated[str, Size(4 * limits.KIB)]
Prose: TypeAlias = Annotated[str, Size(limits.TEXT_BYTES_MAX)]
Source: TypeAlias = Annotated[str, Size(limits.SOURCE_BYTES_MAX)]
Notice: TypeAlias = Annotated[str, Size(limits.NOTIFICATION_BYTES_MAX)]
OutputText: TypeAlias = Annotated[str, Size(limits.OUTPUT_ITEM_BYTES_MAX)]
Value: TypeAlias = Annotated[bytes, Size(limits.VALUE_BYTES_MAX)]
Token: TypeAlias = Annotated[bytes, Size(16, low=16)]
Seed: TypeAlias = Annotated[bytes, Size(32, low=32)]
Digest: TypeAlias = Annotated[bytes, Size(16, low=16)]
Blob: TypeAlias = Annotated[bytes, Size(limits.MESSAGE_BYTES_MAX)]


def fields_of(kind: Any) -> dict[str, Any]:
    """What the annotations of a class of ours say of each field, in order.

    As `typing.get_type_hints` would have it, which takes ten times as long: most of them are the
    same few texts, and each process that says its first words waits for that.
    """
    return {
        name: _meant(kind.__module__, kind.__annotations__[name]) for name in kind.__match_args__
    }


@cache
def _meant(module: str, text: str) -> Any:
    meant = eval(text, vars(sys.modules[module]))
    return NoneType if meant is None else meant
