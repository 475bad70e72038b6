"""Message <-> frames: the one door, and the only place that refuses bytes.

A message is two frames. The first is four bytes, `TM`, the protocol version and the code of the
message; it has the same form in every version, so that a peer of another version is recognized. The
second is a msgpack array of the message's fields in their order. Nothing is decoded before its size
is checked, and nothing is handed on before every field has its declared type and bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import Enum
from functools import cache
from importlib import import_module
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Generic,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import msgpack

from . import compiled, limits
from .bodies import BadFrame as BadFrame
from .bodies import unpack_bounded
from .bodies import unpack_plain as unpack_plain
from .shape import Range, Size, fields_of

MAGIC: Final = b"TM"
PROTOCOL_VERSION: Final = 1
HEADER_BYTES: Final = 4

T = TypeVar("T")
Check = Callable[[Any], Any]


class OtherVersion(BadFrame):
    """A peer that speaks another version of the protocol."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"protocol version {version}; this side speaks {PROTOCOL_VERSION}: "
            "use the same release of tidemark on both sides"
        )
        self.version = version


# -- packing: trusted values to plain lists -------------------------------------------------------


@cache
def _packer(kind: type) -> Callable[[Any], list[Any]]:
    names: tuple[str, ...] = kind.__match_args__  # type: ignore[attr-defined]

    def pack_fields(message: Any) -> list[Any]:
        return [pack(getattr(message, name)) for name in names]

    return pack_fields


def pack(value: Any) -> Any:
    """A message, record or part of one as lists and scalars; the inverse of `shape_of(...)`."""
    kind: Any = type(value)
    if kind in _SCALARS:
        return value
    if kind is tuple:
        return [pack(part) for part in value]
    if isinstance(value, Enum):
        return value.value
    plain = _packer(kind)(value)
    code = getattr(kind, "CODE", None)
    return plain if code is None else [code, plain]


_SCALARS: Final = frozenset({int, str, bytes, bool, NoneType, float})

# -- unpacking: untrusted lists to values ---------------------------------------------------------


def _wrong(expected: str, got: Any) -> BadFrame:
    shown = f"{type(got).__name__} of {len(got)}" if hasattr(got, "__len__") else repr(got)
    return BadFrame(f"expected {expected}, got {shown:.60}")


def _check_int(low: int, high: int) -> Check:
    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise _wrong(f"an int from {low} to {high}", value)
        return value

    return check


def _check_float(value: Any) -> float:
    if type(value) is int:
        value = float(value)
    if type(value) is not float or not math.isfinite(value):
        raise _wrong("a finite number", value)
    return value


def _check_bool(value: Any) -> bool:
    if type(value) is not bool:
        raise _wrong("a bool", value)
    return value


def _check_none(value: Any) -> None:
    if value is not None:
        raise _wrong("nothing", value)


def _check_str(size: Size) -> Check:
    def check(value: Any) -> str:
        if type(value) is not str:
            raise _wrong("text", value)
        # A character takes at most four bytes: only texts near the bound need to be encoded.
        if len(value) * 4 > size.high and len(value.encode()) > size.high:
            raise _wrong(f"at most {size.high} bytes of text", value)
        return value

    return check


def _check_bytes(size: Size) -> Check:
    def check(value: Any) -> bytes:
        if type(value) is not bytes or not size.low <= len(value) <= size.high:
            raise _wrong(f"{size.low} to {size.high} bytes", value)
        return value

    return check


def _check_tuple(item: Check, size: Size) -> Check:
    def check(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or not size.low <= len(value) <= size.high:
            raise _wrong(f"a list of {size.low} to {size.high}", value)
        return tuple([item(part) for part in value])

    return check


def _check_row(items: tuple[Check, ...]) -> Check:
    def check(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) != len(items):
            raise _wrong(f"a list of exactly {len(items)}", value)
        return tuple(item(part) for item, part in zip(items, value, strict=True))

    return check


def _check_enum(kind: type[Enum]) -> Check:
    members = {member.value: member for member in kind}

    def check(value: Any) -> Enum:
        if type(value) is not str or value not in members:
            raise _wrong(f"one of {sorted(members)}", value)
        return members[value]

    return check


def _check_fields(kind: type) -> Check:
    plan = tuple((name, shape_of(shape)) for name, shape in fields_of(kind).items())

    def check(value: Any) -> Any:
        if type(value) is not list or len(value) != len(plan):
            raise _wrong(f"the {len(plan)} fields of {kind.__name__}", value)
        made = []
        for (name, item), part in zip(plan, value, strict=True):
            try:
                made.append(item(part))
            except BadFrame as error:
                raise BadFrame(f"{kind.__name__}.{name}: {error}") from None
        try:
            return kind(*made)
        except (TypeError, ValueError) as error:
            raise BadFrame(f"{kind.__name__}: {error}") from None

    return check


def _check_coded(kinds: Sequence[type]) -> Check:
    checks = {kind.CODE: shape_of(kind, coded=False) for kind in kinds}  # type: ignore[attr-defined]
    if len(checks) != len(kinds):
        raise TypeError(f"two messages share a code: {[kind.__name__ for kind in kinds]}")

    def check(value: Any) -> Any:
        if type(value) is not list or len(value) != 2 or type(value[0]) is not int:
            raise _wrong("a code and its fields", value)
        if value[0] not in checks:
            raise BadFrame(f"unknown code {value[0]}")
        return checks[value[0]](value[1])

    return check


@cache
def shape_of(annotation: Any, *, coded: bool = True) -> Check:
    """The function that turns a plain value into the annotated one, or raises `BadFrame`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _annotated(*get_args(annotation))
    if origin in (Union, UnionType):
        return _union(get_args(annotation))
    if origin is tuple:
        items = get_args(annotation)
        if len(items) == 2 and items[1] is Ellipsis:
            return _check_tuple(shape_of(items[0]), Size(limits.ITEMS_MAX))
        return _check_row(tuple(shape_of(item) for item in items))
    if annotation in _PLAIN_CHECKS:
        return _PLAIN_CHECKS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _check_enum(annotation)
    if isinstance(annotation, type) and hasattr(annotation, "__match_args__"):
        if coded and hasattr(annotation, "CODE"):
            return _check_coded([annotation])
        return _check_fields(annotation)
    raise TypeError(f"no message field can have the type {annotation!r}")


_PLAIN_CHECKS: Final[dict[Any, Check]] = {
    int: _check_int(limits.INTEGER_MIN, limits.INTEGER_MAX),
    float: _check_float,
    bool: _check_bool,
    str: _check_str(Size(limits.TEXT_BYTES_MAX)),
    bytes: _check_bytes(Size(limits.VALUE_BYTES_MAX)),
    NoneType: _check_none,
}


def _annotated(kind: Any, bound: Any) -> Check:
    if isinstance(bound, Range):
        return _check_int(bound.low, bound.high)
    if kind is str:
        return _check_str(bound)
    if kind is bytes:
        return _check_bytes(bound)
    return _check_tuple(shape_of(get_args(kind)[0]), bound)


def _union(members: tuple[Any, ...]) -> Check:
    kinds = [member for member in members if member is not NoneType]
    if all(isinstance(kind, type) and hasattr(kind, "CODE") for kind in kinds):
        inner = _check_coded(kinds)
    elif len(kinds) == 1:
        inner = shape_of(kinds[0])
    else:
        raise TypeError(f"no message field can be one of {members!r}")
    if len(kinds) == len(members):
        return inner
    return lambda value: None if value is None else inner(value)


# -- frames ---------------------------------------------------------------------------------------


_PACKERS: Final = compiled.Often(_packer, compiled.packer)
_BODIES: Final = compiled.Often(lambda kind: pack, lambda kind: compiled.body_packer(kind, pack))


class Direction(Generic[T]):
    """One direction of one link: which messages may travel, and how they become frames."""

    def __init__(self, name: str, union: Any) -> None:
        self.name = name
        kinds = get_args(union) or (union,)
        self.kinds: tuple[type, ...] = kinds
        self._kinds = {kind.CODE: kind for kind in kinds}
        self._headers = {kind: MAGIC + bytes([PROTOCOL_VERSION, kind.CODE]) for kind in kinds}
        self._checks = compiled.Often(
            lambda code: shape_of(self._kinds[code], coded=False),
            lambda code: compiled.checker(self._kinds[code], shape_of),
        )

    def prepare(self) -> None:
        """Take the time now that the first 64 messages would take, for all that inherit us."""
        self._checks.hurry(self._kinds)

    def encode(self, message: T) -> list[bytes]:
        """The two frames of a message.

        Raises:
            ValueError: the message is larger than `MESSAGE_BYTES_MAX`; senders bound what they put
                into one, so this is a defect of ours.
        """
        kind: Any = type(message)
        header = self._headers[kind]
        body: bytes = msgpack.packb(_PACKERS.of(kind)(message), use_bin_type=True)
        if len(body) + HEADER_BYTES > limits.MESSAGE_BYTES_MAX:
            raise ValueError(
                f"{type(message).__name__} of {len(body):,} bytes is too large to send"
            )
        return [header, body]

    def decode(self, frames: Sequence[bytes]) -> T:
        """The message in these frames.

        Raises:
            OtherVersion: the peer speaks another version.
            BadFrame: anything else that no honest peer could have sent.
        """
        if not frames or len(frames[0]) != HEADER_BYTES or frames[0][:2] != MAGIC:
            raise BadFrame(f"{self.name}: the first frame is not a Tidemark header")
        version, code = frames[0][2], frames[0][3]
        if version != PROTOCOL_VERSION:
            raise OtherVersion(version)
        if len(frames) != 2:
            raise BadFrame(f"{self.name}: {len(frames)} frames instead of 2")
        if code not in self._kinds:
            raise BadFrame(f"{self.name}: unknown message code {code}")
        try:
            message: T = self._checks.of(code)(unpack_bounded(frames[1]))
        except BadFrame as error:
            raise BadFrame(f"{self.name}: {error}") from None
        return message


def prepare(kinds: Sequence[type]) -> None:
    """The same for sending these kinds of messages, and of their parts."""
    _PACKERS.hurry(kinds)


def pack_body(value: Any) -> bytes:
    """An answer, record or plain list as bytes."""
    body: bytes = msgpack.packb(_BODIES.of(type(value))(value), use_bin_type=True)
    return body


def unpack_body(body: bytes, annotation: Any, bytes_max: int) -> Any:
    """What `pack_body` packed, checked against its annotation.

    Raises:
        BadFrame: the bytes are not that.
    """
    return _SHAPES.of(annotation)(unpack_plain(body, bytes_max))


_SHAPES: Final = compiled.Often(shape_of, lambda annotation: compiled.shape(annotation, shape_of))

# Built when first used: a zygote, and so every worker, must not pay for the messages of hosts.
_DIRECTIONS: Final = {
    "FROM_HOST": ("host to supervisor", "host_requests", "FromHost"),
    "TO_HOST": ("supervisor to host", "host_answers", "ToHost"),
    "FROM_WORKER": ("worker to supervisor", "worker_messages", "FromWorker"),
    "TO_WORKER": ("supervisor to worker", "worker_messages", "ToWorker"),
    "FROM_ZYGOTE": ("zygote to supervisor", "zygote_messages", "FromZygote"),
    "TO_ZYGOTE": ("supervisor to zygote", "zygote_messages", "ToZygote"),
}
_UNIONS: Final = {"ANSWER": ("host_answers", "Answer"), "ITEM": ("worker_messages", "Item")}

if TYPE_CHECKING:
    from .host_answers import Answer, ToHost
    from .host_requests import FromHost
    from .worker_messages import FromWorker, Item, ToWorker
    from .zygote_messages import FromZygote, ToZygote

    FROM_HOST: Direction[FromHost]
    TO_HOST: Direction[ToHost]
    FROM_WORKER: Direction[FromWorker]
    TO_WORKER: Direction[ToWorker]
    FROM_ZYGOTE: Direction[FromZygote]
    TO_ZYGOTE: Direction[ToZygote]
    ANSWER: Final = Answer
    ITEM: Final = Item


def __getattr__(name: str) -> Any:
    if name in _DIRECTIONS:
        title, module, union = _DIRECTIONS[name]
        found: Any = Direction(title, _union_of(module, union))
    elif name in _UNIONS:
        found = _union_of(*_UNIONS[name])
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def _union_of(module: str, name: str) -> Any:
    return getattr(import_module(f".{module}", __package__), name)
