"""The bytes of a worker: what is a message, and everything that is none."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

import pytest
from tidemark.protocol import zmtp
from tidemark.protocol.limits import MESSAGE_BYTES_MAX
from tidemark.protocol.zmtp import Found, Incoming, Ping, Ready, Violation

from fakes.zmtp_peer import COMMAND, LONG, MORE, frame, whole

TOKEN = bytes(range(16))
GREETING = zmtp.greeting_of(b"DEALER", TOKEN)
BARE = GREETING[:64]  # without READY
# What libzmq 4.3.5 says: it pads its signature with the length of the identity.
OF_LIBZMQ = b"\xff" + bytes(7) + b"\x11\x7f\x03\x01NULL" + bytes(16) + bytes(32)


def found(incoming: Incoming) -> Iterator[Found]:
    while (thing := incoming.take()) is not None:
        yield thing


def read(*chunks: bytes) -> list[Found]:
    """What a peer that sends these chunks has said."""
    incoming = Incoming()
    things: list[Found] = []
    for chunk in chunks:
        incoming.feed(chunk)
        things += found(incoming)
    return things


def named(name: bytes, body: bytes = b"") -> bytes:
    return frame(COMMAND, bytes([len(name)]) + name + body)


def prop(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


def ready(*properties: bytes) -> bytes:
    return named(b"READY", b"".join(properties))


def test_a_greeting_and_messages() -> None:
    big = b"y" * 100_000
    stream = GREETING + whole(b"TM\x01\x02", b"") + whole(b"TM\x01\x03", big)
    expected = [Ready(b"DEALER", TOKEN), (b"TM\x01\x02", b""), (b"TM\x01\x03", big)]
    assert read(stream) == expected
    assert read(*(stream[at : at + 1] for at in range(len(stream)))) == expected
    assert read(OF_LIBZMQ + GREETING[64:]) == [Ready(b"DEALER", TOKEN)]


def test_what_we_send_is_what_we_read() -> None:
    for size in (0, 255, 256, zmtp.SMALL_BYTES, zmtp.SMALL_BYTES + 1, MESSAGE_BYTES_MAX):
        body = b"z" * size
        assert read(GREETING, b"".join(zmtp.packed(b"head", body)))[1:] == [(b"head", body)]


def test_ping_is_answered_and_other_commands_are_ignored() -> None:
    things = read(GREETING, named(b"PING", b"\x00\x64context"), named(b"SUBSCRIBE", b"x"))
    assert things[1] == Ping(named(b"PONG", b"context"))
    assert things[2] == zmtp.Ignored()
    interleaved = frame(MORE, b"head") + named(b"PING", b"\x00\x01") + frame(0, b"body")
    assert read(GREETING, interleaved)[2] == (b"head", b"body")


WRONG = {
    "other first byte": b"\x00",
    "HTTP": b"GET / HTTP/1.1\r\n",
    "other signature": b"\xff" + bytes(8) + b"\x7e",
    "version 2": BARE[:10] + b"\x02",
    "mechanism": BARE[:12] + b"PLAIN".ljust(52, b"\x00"),
    "message before READY": BARE + whole(b"TM\x01\x02", b""),
    "claim before READY": BARE + bytes([MORE]),
    "command before READY": BARE + named(b"PING", b"\x00\x01"),
    "READY twice": GREETING + ready(),
    "ERROR": GREETING + named(b"ERROR", b"\x01x"),
    "ERROR at once": BARE + named(b"ERROR", b"\x01x"),
    "no name": GREETING + frame(COMMAND, b""),
    "empty name": GREETING + frame(COMMAND, b"\x00x"),
    "name cut short": GREETING + frame(COMMAND, b"\x09PING"),
    "PING too short": GREETING + named(b"PING", b"\x00"),
    "PING too long": GREETING + named(b"PING", b"\x00" * 19),
    "large command": GREETING + bytes([COMMAND | LONG]) + struct.pack(">Q", 513),
    "endless command": BARE + bytes([COMMAND | LONG]) + struct.pack(">Q", 2**63),
    "command with more": GREETING + frame(COMMAND | MORE, b"\x04PING"),
    "reserved flag": GREETING + bytes([8]),
    "all flags": GREETING + b"\xff",
    "one frame": GREETING + frame(0, b"x"),
    "one frame, only flags": GREETING + bytes([0]),
    "three frames": GREETING + frame(MORE, b"a") + frame(MORE, b"b"),
    "three frames, only flags": GREETING + frame(MORE, b"a") + bytes([MORE]),
    "large header": GREETING + frame(MORE, b"x" * 65),
    "claimed header": GREETING + bytes([MORE | LONG]) + struct.pack(">Q", 2**64 - 1),
    "claimed body": GREETING
    + frame(MORE, b"a")
    + bytes([LONG])
    + struct.pack(">Q", MESSAGE_BYTES_MAX + 1),
    "property cut short": BARE + ready(prop(b"Identity", TOKEN)[:-1]),
    "property without size": BARE + ready(b"\x08Identity\x00"),
    "claimed property": BARE + ready(b"\x01a\xff\xff\xff\xff"),
    "property without name": BARE + ready(prop(b"", b"x")),
    "property twice": BARE + ready(prop(b"Identity", TOKEN), prop(b"IDENTITY", TOKEN)),
    "many properties": BARE + ready(*(prop(bytes([65 + n]), b"") for n in range(17))),
}


@pytest.mark.parametrize("stream", WRONG.values(), ids=WRONG.keys())
def test_what_no_honest_peer_sends(stream: bytes) -> None:
    with pytest.raises(Violation):
        read(stream)
    with pytest.raises(Violation):
        read(*(stream[at : at + 1] for at in range(len(stream))))


def test_everything_cut_short_waits_for_more() -> None:
    stream = GREETING + named(b"PING", b"\x00\x01ctx") + whole(b"TM\x01\x02", b"b" * 300)
    for length in range(len(stream)):
        assert len(read(stream[:length])) < 3


def test_a_claim_costs_nothing() -> None:
    incoming = Incoming()
    incoming.feed(GREETING + frame(MORE, b"a") + bytes([LONG]))
    assert list(found(incoming)) == [Ready(b"DEALER", TOKEN)]
    incoming.feed(struct.pack(">Q", MESSAGE_BYTES_MAX))
    assert incoming.take() is None
    assert incoming.held < 1_000
    for _ in range(100):
        incoming.feed(b"x" * 1_000)
        assert incoming.take() is None
    assert incoming.held < 102_000


def test_what_was_taken_is_not_kept() -> None:
    incoming = Incoming()
    incoming.feed(GREETING)
    stream = whole(b"head", b"x" * 50_000)
    for _ in range(1_000):
        incoming.feed(stream + stream[:10])
        assert sum(isinstance(thing, tuple) for thing in found(incoming)) == 1
        assert incoming.held < 100_000
        incoming.feed(stream[10:])
        assert sum(isinstance(thing, tuple) for thing in found(incoming)) == 1
    assert incoming.held == 0


def test_any_split_says_the_same() -> None:
    rng = random.Random(4)
    for _ in range(300):
        messages = [
            (rng.randbytes(rng.randrange(65)), rng.randbytes(rng.choice([0, 9, 255, 256, 40_000])))
            for _ in range(rng.randrange(5))
        ]
        stream = GREETING + b"".join(whole(*message) for message in messages)
        cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.randrange(12)))
        edges = zip([0, *cuts], [*cuts, len(stream)], strict=True)
        assert read(*(stream[start:end] for start, end in edges))[1:] == messages


def test_mutated_streams_are_read_or_refused() -> None:
    rng = random.Random(5)
    valid = GREETING + named(b"PING", b"\x00\x01ctx") + whole(b"TM\x01\x02", b"b" * 300) * 3
    refused = 0
    for _ in range(5_000):
        stream = bytearray(valid)
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(stream))
            stream[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        incoming = Incoming()
        try:
            for at in range(0, len(stream), 100):
                incoming.feed(bytes(stream[at : at + 100]))
                for thing in found(incoming):
                    assert isinstance(thing, (tuple, Ready, Ping, zmtp.Ignored))
                assert incoming.held <= len(stream)
        except Violation:
            refused += 1
    assert 1_000 < refused < 5_000
