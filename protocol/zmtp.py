"""ZMTP 3.1 without security, as ROUTER and DEALER speak it: bytes <-> messages; pure.

libzmq bounds the size of a frame and not their number: the parts of a message whose last part never
comes pile up beside every limit. So the bytes of workers, which are hostile, are read here, and
those of hosts as well. What is kept of a peer is what it has sent, never what it claims that it
will send, and never more than one message and one reading.
"""

from __future__ import annotations

import struct
from typing import Final

from . import limits
from .classes import dataclass

HEADER_BYTES_MAX: Final = 64  # ours has 4; a peer of another version may have another one
LOOSE_FRAMES_MAX: Final = 16
COMMAND_BYTES_MAX: Final = 512
PROPERTIES_MAX: Final = 16
SMALL_BYTES: Final = 32 * limits.KIB  # what is cheaper to copy together than to send in two parts

_MORE: Final = 0x01
_LONG: Final = 0x02
_COMMAND: Final = 0x04
_SIZE: Final = struct.Struct(">Q")
_VALUE_SIZE: Final = struct.Struct(">I")
_SHORT_MAX: Final = 255
_GREETING_BYTES: Final = 64
_MECHANISM: Final = b"NULL".ljust(20, b"\x00")


class Violation(Exception):
    """Bytes that no honest peer sends; the text says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The peer has introduced itself; from here on it may send messages."""

    socket_type: bytes
    identity: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """The peer asks whether we are there; `pong` has the answer's bytes."""

    pong: bytes


@dataclass(frozen=True, slots=True)
class Ignored:
    """A command that means nothing to us; it has cost something, and is counted."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a message may look like: how many frames, and how large the first and all are."""

    frames_min: int
    frames_max: int
    first_bytes_max: int
    bytes_max: int


_BYTES_MAX: Final = HEADER_BYTES_MAX + limits.MESSAGE_BYTES_MAX
STRICT: Final = Shape(2, 2, HEADER_BYTES_MAX, _BYTES_MAX)
# A host is told what is wrong with a message, so what is none of ours has to arrive.
LOOSE: Final = Shape(1, LOOSE_FRAMES_MAX, limits.MESSAGE_BYTES_MAX, _BYTES_MAX)

Message = tuple[bytes, ...]  # its frames
Found = Message | Ready | Ping | Ignored


def command(name: bytes, body: bytes) -> bytes:
    """The bytes of a command."""
    content = bytes([len(name)]) + name + body
    if len(content) > _SHORT_MAX:
        return bytes([_COMMAND | _LONG]) + _SIZE.pack(len(content)) + content
    return bytes([_COMMAND, len(content)]) + content


def _property(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + _VALUE_SIZE.pack(len(value)) + value


def greeting_of(socket_type: bytes, identity: bytes) -> bytes:
    """What a side says first: that it speaks ZMTP 3.1 without security, and who it is."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01" + _MECHANISM + bytes(32)
    properties = _property(b"Socket-Type", socket_type) + _property(b"Identity", identity)
    return greeting + command(b"READY", properties)


WELCOME: Final = greeting_of(b"ROUTER", b"")


def packed(header: bytes, body: bytes) -> list[bytes]:
    """A message of two frames as the parts that go on the wire one after the other."""
    size = len(body)
    start = bytes([_MORE, len(header)]) + header
    if size > _SHORT_MAX:
        start += bytes([_LONG]) + _SIZE.pack(size)
    else:
        start += bytes([0, size])
    return [start + body] if size <= SMALL_BYTES else [start, body]


class Incoming:
    """What one peer has sent and nobody has taken yet."""

    def __init__(self, shape: Shape = STRICT) -> None:
        self._shape = shape
        self._buffer = bytearray()
        self._at = 0
        self._greeted = False
        self._is_ready = False
        self._parts: tuple[bytes, ...] = ()
        self._part_bytes = 0

    @property
    def held(self) -> int:
        """Bytes that are kept for this peer."""
        return len(self._buffer)

    def feed(self, chunk: bytes | memoryview) -> None:
        """Append what has arrived. Feed only when `take` has found nothing more."""
        self._buffer += chunk

    def take(self) -> Found | None:
        """The next thing that has arrived as a whole; None: more bytes are needed.

        Raises:
            Violation: whatever follows is not to be read.
        """
        if not self._greeted and not self._greet():
            return None
        while (frame := self._frame()) is not None:
            flags, content = frame
            if flags & _COMMAND:
                return self._commanded(content)
            if flags & _MORE:
                self._parts += (content,)
                self._part_bytes += len(content)
                continue
            whole = (*self._parts, content)
            self._parts, self._part_bytes = (), 0
            return whole
        return None

    # -- the greeting -----------------------------------------------------------------------------

    def _greet(self) -> bool:
        buffer = self._buffer
        size = len(buffer)
        if (size and buffer[0] != 0xFF) or (size > 9 and buffer[9] != 0x7F):
            raise Violation("it does not greet as ZMTP does")
        if size > 10 and buffer[10] != 3:
            raise Violation(f"ZMTP version {buffer[10]}; this side speaks 3")
        if size < _GREETING_BYTES:
            return False
        if buffer[12:32] != _MECHANISM:
            raise Violation("a security mechanism that is not NULL")
        self._advance(_GREETING_BYTES)
        self._greeted = True
        return True

    # -- frames -----------------------------------------------------------------------------------

    def _frame(self) -> tuple[int, bytes] | None:
        """The flags and content of the next frame, if it is there as a whole."""
        buffer, at = self._buffer, self._at
        left = len(buffer) - at
        if left < 2:
            if left:
                self._check(buffer[at], 0)
            return None
        flags = buffer[at]
        if flags & _LONG:
            if left < 9:
                self._check(flags, 0)
                return None
            size, start = _SIZE.unpack_from(buffer, at + 1)[0], 9
        else:
            size, start = buffer[at + 1], 2
        self._check(flags, size)
        if left < start + size:
            return None
        begin = at + start
        if size <= SMALL_BYTES:
            content = bytes(buffer[begin : begin + size])
        else:
            with memoryview(buffer) as view:
                content = bytes(view[begin : begin + size])
        self._advance(start + size)
        return flags, content

    def _advance(self, size: int) -> None:
        self._at += size
        if self._at == len(self._buffer):
            self._buffer = bytearray()  # gives its memory back, which `clear` may not
            self._at = 0
        elif self._at > SMALL_BYTES:
            del self._buffer[: self._at]
            self._at = 0

    def _check(self, flags: int, size: int) -> None:
        """Refuse a frame by its first bytes, before anything is kept of it."""
        if flags & ~(_MORE | _LONG | _COMMAND):
            raise Violation(f"a frame with flags {flags:#04x}")
        if flags & _COMMAND:
            if flags & _MORE:
                raise Violation("a command in several frames")
            if size > COMMAND_BYTES_MAX:
                raise Violation(f"a command of {size:,} bytes; at most {COMMAND_BYTES_MAX}")
        elif not self._is_ready:
            raise Violation("a message before READY")
        else:
            self._check_part(flags, size)

    def _check_part(self, flags: int, size: int) -> None:
        shape, count = self._shape, len(self._parts) + 1
        if flags & _MORE:
            if count >= shape.frames_max:
                raise Violation(f"a message of more than {shape.frames_max} frames")
        elif count < shape.frames_min:
            raise Violation(f"a message of {count} frame; it takes {shape.frames_min}")
        if count == 1 and size > shape.first_bytes_max:
            raise Violation(f"a header of {size:,} bytes; at most {shape.first_bytes_max:,}")
        if size > limits.MESSAGE_BYTES_MAX or self._part_bytes + size > shape.bytes_max:
            raise Violation(f"a message of {size:,} bytes; at most {limits.MESSAGE_BYTES_MAX:,}")

    # -- commands ---------------------------------------------------------------------------------

    def _commanded(self, content: bytes) -> Ready | Ping | Ignored:
        length = content[0] if content else 0
        name, body = content[1 : 1 + length], content[1 + length :]
        if not length or len(name) < length:
            raise Violation("a command without a name")
        if name == b"READY":
            if self._is_ready:
                raise Violation("READY for the second time")
            self._is_ready = True
            return _ready(body)
        if name == b"ERROR":
            raise Violation("it reports an error and ends the connection")
        if not self._is_ready:
            raise Violation("a command before READY")
        if name == b"PING":
            # Two bytes say how long to wait for the answer, up to 16 more come back in it.
            if not 2 <= len(body) <= 18:
                raise Violation(f"a PING of {len(body)} bytes")
            return Ping(command(b"PONG", body[2:]))
        return Ignored()


def _ready(body: bytes) -> Ready:
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(body):
        name_end = at + 1 + body[at]
        value_at = name_end + _VALUE_SIZE.size
        if body[at] == 0 or value_at > len(body):
            raise Violation("READY is cut short")
        name = body[at + 1 : name_end].lower()
        end = value_at + _VALUE_SIZE.unpack_from(body, name_end)[0]
        if end > len(body):
            raise Violation("READY is cut short")
        if name in found:
            raise Violation("READY says a thing twice")
        if len(found) == PROPERTIES_MAX:
            raise Violation(f"READY has more than {PROPERTIES_MAX} properties")
        found[name] = body[value_at:end]
        at = end
    return Ready(found.get(b"socket-type", b""), found.get(b"identity", b""))
