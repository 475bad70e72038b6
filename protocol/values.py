"""Plain data: what a host and a cell can give each other.

None, bool, int (64 bit), finite float, str, bytes, list or tuple, dict with str keys; nested at most
64 deep. It travels as msgpack bytes that nobody between the two ends decodes.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from base64 import b64encode
from typing import Any, Final

import msgpack

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


def check(value: object, path: str = "value") -> None:
    """Refuse what is not plain data.

    Raises:
        NotPlainData: a TypeError that names the path of the first offending part, as in
            `arguments.filters[2]`.
    """
    # Exact types first: subclasses (IntEnum, namedtuple, OrderedDict) are reduced to their base by
    # msgpack, so they are accepted only where that loses nothing but the name of the type.
    stack: list[tuple[object, str, int]] = [(value, path, 1)]
    while stack:
        item, where, depth = stack.pop()
        if item is None or isinstance(item, (bool, bytes)):
            continue
        if isinstance(item, str):
            _check_text(item, where)
        elif isinstance(item, int):
            if not INTEGER_MIN <= item <= INTEGER_MAX:
                raise NotPlainData(where, "an int must fit in 64 bits; send it as str")
        elif isinstance(item, float):
            if not math.isfinite(item):
                raise NotPlainData(where, f"a float must be finite, not {item!r}; send None or str")
        elif isinstance(item, (list, tuple)):
            _check_depth(depth, where)
            pairs = [(part, f"{where}[{index}]", depth + 1) for index, part in enumerate(item)]
            stack.extend(reversed(pairs))
        elif isinstance(item, dict):
            _check_depth(depth, where)
            stack.extend(reversed([_checked_entry(k, v, where, depth) for k, v in item.items()]))
        else:
            raise NotPlainData(where, f"{type(item).__name__} is not plain data; {_ADVICE}")


_ADVICE: Final = "convert it to None, bool, int, float, str, bytes, list or dict first"


def _check_depth(depth: int, where: str) -> None:
    if depth > NESTING_MAX:
        shown = where if len(where) <= 80 else where[:77] + "..."
        raise NotPlainData(shown, f"nested more than {NESTING_MAX} deep; flatten it")


def _check_text(text: str, where: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise NotPlainData(where, f"text with a lone surrogate at {error.start}") from None


def _checked_entry(key: object, item: object, where: str, depth: int) -> tuple[object, str, int]:
    if not isinstance(key, str):
        raise NotPlainData(where, f"a key must be str, not {type(key).__name__} ({key!r:.40})")
    _check_text(key, f"{where}.{key!r}")
    name = key if key.isidentifier() else repr(key)
    return item, f"{where}.{name}", depth + 1


def encode(value: object, path: str = "value", *, bytes_max: int = VALUE_BYTES_MAX) -> bytes:
    """Plain data as bytes.

    Raises:
        NotPlainData: not plain data (a TypeError).
        ValueTooLarge: the encoding is larger than `bytes_max` (a ValueError).
    """
    check(value, path)
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    if len(packed) > bytes_max:
        raise ValueTooLarge(path, len(packed), bytes_max)
    return packed


def decode(packed: bytes, path: str = "value") -> Any:
    """The plain data that `encode` made into bytes; tuples come back as lists.

    The bytes may come from an untrusted worker: everything that `encode` could not have made is
    refused.

    Raises:
        NotPlainData: the bytes are not the encoding of plain data.
    """
    try:
        value = msgpack.unpackb(packed, raw=False, strict_map_key=True, ext_hook=_refuse_extension)
    except NotPlainData:
        raise
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
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def as_text(value: object) -> str:
    """How `text` and `print` show a value: a str as it is, plain data as JSON, others by `str`."""
    if isinstance(value, str):
        return value
    try:
        check(value)
    except NotPlainData:
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=_json_bytes)


def _json_bytes(value: object) -> str:
    if isinstance(value, (bytes, bytearray)):
        return b64encode(value).decode("ascii")
    raise TypeError(f"{type(value).__name__} is not plain data")
