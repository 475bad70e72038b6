"""What waits for a peer that reads slowly arrives whole and in order, and is bounded."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from tidemark.protocol import zmtp
from tidemark.supervisor.shell.connection import PARTS_AT_ONCE, Connection, Unread

HEADER = b"\x01"
SIZES = [10, 300, 40_000, 1, 0, 70_000, 255, 256, *[20] * (3 * PARTS_AT_ONCE), 150_000, 5]


@pytest.fixture
def ends() -> Iterator[tuple[Connection, socket.socket]]:
    near, far = socket.socketpair()
    connection = Connection(near, 0.0, unread=Unread(2_000_000, 1_000))
    yield connection, far
    connection.close()
    far.close()


def bodies() -> list[bytes]:
    return [bytes([number % 251]) * size for number, size in enumerate(SIZES)]


def on_the_wire(messages: list[bytes]) -> bytes:
    return b"".join(part for body in messages for part in zmtp.packed(HEADER, body))


def everything(connection: Connection, far: socket.socket, size: int, at_once: int) -> bytes:
    read = b""
    while len(read) < size:
        connection.flush()
        read += far.recv(at_once)
    return read


@pytest.mark.parametrize("at_once", [700, 65_536])
def test_what_is_held_is_sent_by_flush_alone(
    ends: tuple[Connection, socket.socket], at_once: int
) -> None:
    connection, far = ends
    far.setblocking(False)
    for body in bodies():
        assert connection.hold(HEADER, body)
    with pytest.raises(BlockingIOError):
        far.recv(1)
    expected = on_the_wire(bodies())
    assert connection.unsent_bytes == len(expected)
    assert everything(connection, far, len(expected), at_once) == expected
    assert (connection.unsent_bytes, connection.wants_to_send) == (0, False)


def test_what_is_given_follows_what_is_held(ends: tuple[Connection, socket.socket]) -> None:
    connection, far = ends
    messages = bodies()
    for number, body in enumerate(messages):
        assert connection.give(HEADER, body) if number % 3 else connection.hold(HEADER, body)
    expected = on_the_wire(messages)
    assert everything(connection, far, len(expected), 4_096) == expected


def test_no_more_is_held_than_may_wait(ends: tuple[Connection, socket.socket]) -> None:
    connection, _ = ends
    held = 0
    while connection.hold(HEADER, bytes(30_000)):
        held += 1
    assert 2_000_000 <= connection.unsent_bytes < 2_000_000 + 30_100
    assert held == 67
    assert not connection.give(HEADER, b"")


def test_one_who_is_gone_takes_nothing(ends: tuple[Connection, socket.socket]) -> None:
    connection, far = ends
    far.close()
    assert connection.hold(HEADER, b"the last")
    connection.flush()
    assert not connection.hold(HEADER, b"one more")
    assert not connection.wants_to_send
