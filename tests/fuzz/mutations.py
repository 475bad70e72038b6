"""Messages that are nearly right: valid ones, changed where it matters."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgpack
from tidemark.protocol import codec, zmtp
from tidemark.protocol.host_requests import AskInfo, Request
from tidemark.protocol.ids import Incarnation
from tidemark.protocol.packed import OutputKind, Reason
from tidemark.protocol.worker_messages import (
    Called,
    Emitted,
    Fetch,
    Finished,
    Hello,
    Notified,
    Paused,
    Said,
    Wrote,
)

CELL: Final = "c00000000000001-00000007"
DIGEST: Final = b"d" * 16
ITEMS: Final = (
    Emitted(OutputKind.TEXT, "text", None, DIGEST),
    Called(1, "tool", b"\x80", DIGEST),
    Notified("notice", DIGEST),
    Wrote("key", b"\x01", DIGEST),
    Paused(1, 0, None, ()),
    Finished(Reason.ENDED, None, b"\x01", 0),
)
OF_WORKERS: Final = (
    codec.FROM_WORKER.encode(Hello(CELL, Incarnation(1, 1), 0, False, 0, 0, 5, "python")),
    codec.FROM_WORKER.encode(Said(1, 1, ((1, 5),), ITEMS)),
    codec.FROM_WORKER.encode(Fetch(1, 1, "key")),
)
OF_HOSTS: Final = (codec.FROM_HOST.encode(Request(0, 1, 1, (), AskInfo())),)
NUMBERS: Final = (0, 1, -1, 127, 128, 255, 2**31, 2**63 - 1, -(2**63), 2**64 - 1)
ODD: Final[tuple[Callable[[random.Random], Any], ...]] = (
    lambda rng: rng.choice(NUMBERS),
    lambda rng: rng.randbytes(rng.randrange(40)),
    lambda rng: "\u0000é𐍈"[: rng.randrange(4)] * rng.randrange(40),
    lambda rng: rng.choice([None, True, 1.5, float("inf"), float("nan")]),
    lambda rng: [],
    lambda rng: [[]] * rng.randrange(50),
    lambda rng: {"a": 1},
    lambda rng: msgpack.ExtType(rng.randrange(128), b"x"),
)


def mutated_value(value: Any, rng: random.Random) -> Any:
    """The value with one of its parts replaced, left out, repeated or moved."""
    if isinstance(value, list) and value and rng.random() < 0.85:
        parts = list(value)
        at = rng.randrange(len(parts))
        match rng.randrange(10):
            case 0:
                del parts[at]
            case 1:
                parts.insert(at, parts[at])
            case 2:
                rng.shuffle(parts)
            case _:
                parts[at] = mutated_value(parts[at], rng)
        return parts
    if isinstance(value, int) and rng.random() < 0.5:
        return min(2**64 - 1, max(-(2**63), value + rng.choice([-1, 1, 2**8, 2**32])))
    return rng.choice(ODD)(rng)


def mutated_bytes(content: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, left out, put in or repeated."""
    changed = bytearray(content)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(changed) + 1)
        end = min(len(changed), at + rng.randrange(5))
        changed[at:end] = rng.choice([rng.randbytes(rng.randrange(5)), b"", changed[at:end] * 2])
    return bytes(changed)


def mutated_message(messages: Sequence[list[bytes]], rng: random.Random) -> list[bytes]:
    """The frames of a message, or of what nearly is one."""
    header, body = rng.choice(messages)
    kind = rng.randrange(10)
    if kind < 6:
        value = msgpack.unpackb(body, strict_map_key=False)
        for _ in range(rng.randrange(1, 4)):
            value = mutated_value(value, rng)
        return [header, msgpack.packb(value)]
    if kind < 8:
        return [header, mutated_bytes(body, rng)]
    if kind < 9:
        return [mutated_bytes(header, rng), body]
    return rng.choice([[header], [header, body, b""], [header[:3] + rng.randbytes(1), body]])


def frame(flags: int, content: bytes) -> bytes:
    if len(content) > 255:
        return struct.pack(">BQ", flags | 2, len(content)) + content
    return bytes([flags, len(content)]) + content


def mutated_stream(rng: random.Random) -> bytes:
    """A greeting and messages on a wire, with something wrong somewhere."""
    greeting = zmtp.greeting_of(b"DEALER", rng.randbytes(16))
    stream = greeting if rng.random() < 0.8 else mutated_bytes(greeting, rng)
    for _ in range(rng.randrange(4)):
        frames = mutated_message(OF_WORKERS, rng)
        flags = [rng.choice([1] * 50 + [0, 3, 4, 5, 8]) for _ in frames[1:]]
        stream += b"".join(frame(flag, part) for flag, part in zip(flags, frames, strict=False))
        stream += frame(rng.choice([0] * 50 + [1, 2, 4]), frames[-1])
        if rng.random() < 0.2:
            stream += frame(4, bytes([rng.randrange(8)]) + b"PING" + rng.randbytes(4))
    return mutated_bytes(stream, rng) if rng.random() < 0.2 else stream
