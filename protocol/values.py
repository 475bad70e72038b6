"""Plain data: what a host and a cell can give each other.

None, bool, int (64 bit), finite float, str, bytes, list or tuple, dict with str keys; nested at
most 64 deep. It travels as msgpack bytes that nobody between the two ends decodes.
"""

from __future__ import annotations

import json
import math
import re
from binascii import b2a_base64
from collections.abc import Iterable, Iterator
from types import NoneType
from typing import Any, Final

import msgpack

from .bodies import SMALL_BYTES, check_claims
from .hashing import blake2b
from .limits import INTEGER_MAX, INTEGER_MIN, NESTING_MAX, VALUE_BYTES_MAX

DIGEST_BYTES: Final = 16
_ADDRESS: Final = re.compile(rb"0x[0-9a-f]{8,16}")


class NotPlainData(TypeError):
    """A value that is not plain data; the message names its path."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class ValueTooLarge(ValueError):
    """Plain data whose encoding exceeds its limit."""

    def __init__(self, path: str, size: int, limit: int) -> None:
        super().__init__(f"{path}: {size:,} bytes, at most {limit:,} are allowed")
        self.path = path
        self.size = size
        self.limit = limit


class _Fault(Exception):
    """What is wrong with a part; `step` leads to it from the container that is being read."""

    def __init__(self, reason: str, step: tuple[str, ...] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.step = step


def check(value: object, path: str = "value") -> None:
    """Refuse what is not plain data.

    Instances of subclasses (IntEnum, namedtuple, OrderedDict) are plain: they travel as the plain
    kind that they are, and what is lost is only the name of the type.

    Raises:
        NotPlainData: a TypeError that names the path of the first offending part, as in
            `arguments.filters[2]`.
    """
    _walk(value, path, INTEGER_MAX)


def _walk(value: object, path: str, bytes_max: int) -> None:
    # No recursion (this runs at any depth of a cell's stack), and no path before there is a fault.
    # Each part takes at least a byte, so a value that names the same list again and again ends here
    # and not when the memory does.
    levels: list[Iterator[tuple[object, object]]] = [iter(((None, value),))]
    steps: list[object] = [None]
    size = 0
    try:
        while levels:
            for step, part in levels[-1]:
                steps[-1] = step
                kind = type(part)
                if kind is str or kind is bytes:
                    size += len(part)  # type: ignore[arg-type]
                inner = None if kind in _ALWAYS_PLAIN else _opened(part, len(levels))
                size += 1
                if size > bytes_max:
                    raise ValueTooLarge(path, size, bytes_max)
                if inner is not None:
                    levels.append(inner)
                    steps.append(None)
                    break
            else:
                levels.pop()
                steps.pop()
    except _Fault as fault:
        if fault.step is not None:
            steps[-1:] = fault.step
        raise NotPlainData(_path(path, steps[1:]), fault.reason) from None


_ALWAYS_PLAIN: Final = frozenset({NoneType, bool, bytes})
_ADVICE: Final = "convert it to None, bool, int, float, str, bytes, list or dict first"


def _opened(part: object, depth: int) -> Iterator[tuple[object, object]] | None:
    """What a container holds, by the steps that lead there; None for a scalar that is plain."""
    if isinstance(part, str):
        _check_text(part)
    elif isinstance(part, int):
        if not INTEGER_MIN <= part <= INTEGER_MAX:
            raise _Fault("an int must fit in 64 bits; send it as str")
    elif isinstance(part, float):
        if not math.isfinite(part):
            raise _Fault(f"a float must be finite, not {part!r}; send None or str")
    elif isinstance(part, (list, tuple, dict)):
        if depth > NESTING_MAX:
            raise _Fault(f"nested more than {NESTING_MAX} deep; flatten it")
        return _entries(part) if isinstance(part, dict) else enumerate(part)
    elif part is not None and not isinstance(part, bytes):
        raise _Fault(f"{type(part).__name__} is not plain data; {_ADVICE}")
    return None


def _entries(part: dict[Any, object]) -> Iterator[tuple[object, object]]:
    for key, item in part.items():
        if not isinstance(key, str):
            raise _Fault(f"a key must be str, not {type(key).__name__} ({key!r:.40})", ())
        _check_text(key, (key,))
        yield key, item


def _check_text(text: str, step: tuple[str, ...] | None = None) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _Fault(f"text with a lone surrogate at {error.start}", step) from None


def _path(start: str, steps: Iterable[object]) -> str:
    parts = [start]
    for step in steps:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        else:
            key = str(step)
            parts.append(f".{key if key.isidentifier() else repr(key)}"[:_STEP_CHARS])
    path = "".join(parts)
    return path if len(path) <= _PATH_CHARS else path[: _PATH_CHARS - 3] + "..."


_STEP_CHARS: Final = 60
_PATH_CHARS: Final = 200


def encode(value: object, path: str = "value", *, bytes_max: int = VALUE_BYTES_MAX) -> bytes:
    """Plain data as bytes.

    Raises:
        NotPlainData: not plain data (a TypeError).
        ValueTooLarge: the encoding is larger than `bytes_max` (a ValueError); its `size` is then
            what was counted before giving up.
    """
    _walk(value, path, bytes_max)
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    if len(packed) > bytes_max:
        raise ValueTooLarge(path, len(packed), bytes_max)
    return packed


def decode(packed: bytes, path: str = "value") -> Any:
    """The plain data that `encode` made into bytes; tuples come back as lists.

    The bytes may come from an untrusted worker: what is not plain data is refused.

    Raises:
        NotPlainData: the bytes are not the encoding of plain data.
    """
    try:
        if len(packed) > SMALL_BYTES:
            check_claims(packed)
        value = msgpack.unpackb(packed, raw=False, strict_map_key=True, ext_hook=_refuse_extension)
    except NotPlainData as error:
        raise NotPlainData(path, error.reason) from None
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise NotPlainData(path, f"bytes that are not plain data ({error})") from None
    check(value, path)
    return value


def _refuse_extension(code: int, data: bytes) -> object:
    raise NotPlainData("value", f"extension type {code} is not plain data")


def digest(content: bytes) -> bytes:
    """16 bytes that identify what a cell emitted, with memory addresses masked.

    Addresses differ in every run of the same cell, so `<Task at 0x7f..>` must not count as a
    difference between a run and its replay.
    """
    if b"0x" in content:
        content = _ADDRESS.sub(b"0x", content)
    return blake2b(content, digest_size=DIGEST_BYTES).digest()


def as_text(value: object) -> str:
    """How `text` and `print` show a value: a str as it is, plain data as JSON, others by `str`."""
    if isinstance(value, str):
        return value
    # Outside of the handler: what `str` raises is the cell's own, and comes with nothing of ours.
    if not _is_plain(value):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=_json_bytes)


def _is_plain(value: object) -> bool:
    try:
        check(value)
    except NotPlainData:
        return False
    return True


def _json_bytes(value: object) -> str:
    if isinstance(value, (bytes, bytearray)):
        return b2a_base64(value, newline=False).decode("ascii")
    raise TypeError(f"{type(value).__name__} is not plain data")
