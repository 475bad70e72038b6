"""What the codec refuses: wrong fields of every message, and bytes made to hurt."""

from __future__ import annotations

import math
import random
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import msgpack
import pytest
from tidemark.protocol import codec, limits
from tidemark.protocol.values import NotPlainData, decode

from fakes import examples, schema

ANSWER_MAX = 80 * limits.MIB
FUZZ_SECONDS = 1.5


def refusal(what: str, decoding: Callable[..., Any], *arguments: Any) -> str:
    """The text of the BadFrame that this decoding raises; anything else fails the test."""
    try:
        made = decoding(*arguments)
    except codec.BadFrame as error:
        return str(error)
    pytest.fail(f"{what} was accepted: {made!r:.200}")


@pytest.mark.parametrize(
    ("direction", "message"), examples.MESSAGES.values(), ids=examples.MESSAGES.keys()
)
def test_every_field_is_checked(direction: codec.Direction[Any], message: Any) -> None:
    header, body = direction.encode(message)
    for name, wrong in schema.spoiled(type(message), msgpack.unpackb(body), coded=False):
        text = refusal(name, direction.decode, [header, msgpack.packb(wrong)])
        assert len(text) < 500


@pytest.mark.parametrize(
    ("annotation", "value"), examples.BODIES.values(), ids=examples.BODIES.keys()
)
def test_every_field_of_a_body_is_checked(annotation: Any, value: Any) -> None:
    plain = msgpack.unpackb(codec.pack_body(value))
    for name, wrong in schema.spoiled(annotation, plain):
        refusal(name, codec.unpack_body, msgpack.packb(wrong), annotation, ANSWER_MAX)


@pytest.mark.parametrize(
    ("direction", "message"), examples.MESSAGES.values(), ids=examples.MESSAGES.keys()
)
def test_bounds_belong_to_what_is_allowed(direction: codec.Direction[Any], message: Any) -> None:
    for name, value in schema.edges(type(message)):
        extreme = replace(message, **{name: value()})
        assert direction.decode(direction.encode(extreme)) == extreme, name


def test_the_text_names_direction_message_field_and_bound() -> None:
    header, body = codec.FROM_WORKER.encode(examples.MESSAGES["from-worker/fetch"][1])
    epoch, _, key = msgpack.unpackb(body)
    with pytest.raises(codec.BadFrame) as caught:
        codec.FROM_WORKER.decode([header, msgpack.packb([epoch, -1, key])])
    assert str(caught.value) == (
        "worker to supervisor: Fetch.number: expected an int from 0 to 9223372036854775807, got -1"
    )


def test_a_rule_of_a_part_is_a_bad_frame_too() -> None:
    body = msgpack.packb([0, *[None] * (len(fields(limits.Limits)) - 1)])
    with pytest.raises(codec.BadFrame, match=r"Limits\.memory_bytes must be above 0"):
        codec.unpack_body(body, limits.Limits, 100)


def _array(claimed: int) -> bytes:
    return b"\xdd" + struct.pack(">I", claimed)


def _hostile() -> Iterator[tuple[str, bytes]]:
    mib = limits.MIB
    yield "empty", b""
    yield "never used byte", b"\xc1"
    for depth in (60, 1023, 1024, 5000, mib):
        yield f"arrays {depth} deep", b"\x91" * depth + b"\xc0"
        yield f"maps {depth} deep", b"\x81\xa1k" * depth + b"\xc0"
    for claimed in (2**16, 2**31, 2**32 - 1):
        size = struct.pack(">I", claimed)
        yield f"array of {claimed}", b"\xdd" + size
        yield f"map of {claimed}", b"\xdf" + size
        yield f"text of {claimed}", b"\xdb" + size + b"x"
        yield f"bytes of {claimed}", b"\xc6" + size + b"x"
        yield f"extension of {claimed}", b"\xc9" + size + b"\x01x"
    for size in (4096, 64 * 1024, 4 * mib):
        claims = _array(size // 2) * 1000
        yield f"nested claims in {size}", claims + bytes(max(0, size - len(claims)))
    yield "a million nothings", _array(mib) + b"\xc0" * mib
    yield "a million empty lists", _array(mib) + b"\x90" * mib
    group = b"\xdc\xff\xff" + b"\x90" * 65535
    yield "lists of empty lists", b"\xdc\x00\x14" + group * 20
    yield "empty map", b"\x80"
    yield "map", b"\x81\xa1k\x01"
    yield "map with a list as key", b"\x81\x90\x01"
    yield "extension", b"\xd4\x05x"
    yield "empty extension", b"\xc7\x00\x05"
    yield "timestamp", b"\xd6\xff" + bytes(4)
    yield "timestamp of a wrong size", b"\xc7\x03\xff" + bytes(3)
    yield "NaN", b"\xcb" + struct.pack(">d", float("nan"))
    yield "infinity", b"\xca" + struct.pack(">f", float("-inf"))
    yield "int beyond 64 bits signed", b"\xcf" + b"\xff" * 8
    yield "lone surrogate", b"\xa3\xed\xa0\x80"
    yield "not UTF-8", b"\xa2\xff\xfe"
    yield "overlong UTF-8", b"\xa2\xc0\x80"


HOSTILE = dict(_hostile())


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bodies_are_bad_frames_and_cost_little(name: str) -> None:
    hostile = HOSTILE[name]
    header = codec.FROM_WORKER.encode(examples.MESSAGES["from-worker/said-nothing"][1])[0]
    # As the body, and as a field of it where a number and where a list is expected.
    bodies = (hostile, b"\x94\x00\x01\x90" + hostile, b"\x94" + hostile + b"\x01\x90\x90")
    if len(hostile) > limits.MIB:
        bodies = bodies[1:2]
    tracemalloc.start()
    try:
        for body in bodies:
            refusal(name, codec.FROM_WORKER.decode, [header, body])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Claims cost no more than what was sent; what was sent costs a bounded number of parts.
    if "claims" in name:
        assert peak < 3 * len(hostile) + 256 * limits.KIB
    assert peak < 100 * limits.PARTS_MAX


def test_the_parts_of_a_message_are_counted() -> None:
    header = codec.FROM_WORKER.encode(examples.MESSAGES["from-worker/said-nothing"][1])[0]
    body = b"\x94\x00\x01\x90" + HOSTILE["lists of empty lists"]
    text = refusal("it", codec.FROM_WORKER.decode, [header, body])
    assert text == "worker to supervisor: more than 1,200,000 parts in one message"


def test_plain_bodies_have_no_maps_and_no_extensions() -> None:
    for body in (b"\x81\xa1k\x01", b"\x91\x81\xa1k\x01", b"\xd4\x05x", b"\xd6\xff" + bytes(4)):
        refusal("it", codec.unpack_plain, body, 100)


def test_floats_are_finite() -> None:
    check = codec.shape_of(float)
    assert (check(1), type(check(1)), check(-0.5)) == (1.0, float, -0.5)
    for value in (math.nan, math.inf, -math.inf, True, "1", None):
        refusal(repr(value), check, value)


def test_hostile_values_are_not_plain_data() -> None:
    plain = {"empty map", "map", "arrays 60 deep", "maps 60 deep", "a million nothings"}
    for name, hostile in HOSTILE.items():
        if name in plain:
            decode(hostile)
        elif "empty lists" not in name:  # plain data too, but slow to build
            with pytest.raises(NotPlainData):
                decode(hostile)


def test_an_oversized_message_is_refused_before_it_is_decoded() -> None:
    header = codec.TO_HOST.encode(examples.MESSAGES["to-host/answered"][1])[0]
    with pytest.raises(codec.BadFrame, match="at most 16,777,216 are allowed"):
        codec.TO_HOST.decode([header, bytes(limits.MESSAGE_BYTES_MAX + 1)])
    with pytest.raises(codec.BadFrame, match="11 bytes, at most 10"):
        codec.unpack_body(bytes(11), codec.ANSWER, 10)


def _mutated(chance: random.Random, frame: bytes, other: bytes) -> bytes:
    changed = bytearray(frame)
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.randrange(len(changed) + 1)
        match chance.randrange(6):
            case 0 if changed:
                changed[place % len(changed)] = chance.randrange(256)
            case 1 if changed:
                changed[place % len(changed)] ^= 1 << chance.randrange(8)
            case 2:
                changed[place:place] = chance.randbytes(chance.randrange(1, 6))
            case 3:
                del changed[place : place + chance.randrange(1, 6)]
            case 4:
                start = chance.randrange(len(other) + 1)
                changed[place:place] = other[start : start + chance.randrange(1, 20)]
            case _:
                changed[place:] = b""
    return bytes(changed)


def test_mutated_frames_give_a_message_or_a_bad_frame() -> None:
    chance = random.Random(20240229)
    every = [
        (direction, direction.encode(message)) for direction, message in examples.MESSAGES.values()
    ]
    deadline = time.monotonic() + FUZZ_SECONDS
    tried = 0
    while time.monotonic() < deadline and tried < 50_000:
        direction, frames = chance.choice(every)
        other = chance.choice(every)[1][1]
        body = _mutated(chance, frames[1], other)
        header = frames[0] if chance.random() < 0.9 else _mutated(chance, frames[0], other)
        tried += 1
        try:
            message = direction.decode([header, body])
        except codec.BadFrame:
            continue
        assert type(message) in direction.kinds
        assert direction.decode(direction.encode(message)) == message
    assert tried > 1000
