"""A host's connection with a real socket at the other end, which answers as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import zmq
from tidemark.client._attachment import Identity
from tidemark.client._connection import Connection
from tidemark.client._core import HostCore
from tidemark.client._launch import Found
from tidemark.protocol import codec
from tidemark.protocol.errors import SessionHeldError
from tidemark.protocol.host_answers import Refused

SECONDS = 10.0
HELD = Refused(1, 0, "session_held", "held", b"")


class Place:
    """Where another supervisor is to be had; remembers whether it was asked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.was_asked = False

    def succeed(self) -> Found:
        self.was_asked = True
        return Found(f"ipc://{self._path}")

    def look(self) -> Found:
        return self.succeed()

    def last_words(self) -> str:
        return ""


@asynccontextmanager
async def refused(path: Path, place: Place) -> AsyncIterator[zmq.Socket[bytes]]:
    """What becomes of a connection, at the supervisor's end, after its attachment was refused."""
    context = zmq.Context()
    router, events = context.socket(zmq.ROUTER), context.socket(zmq.PAIR)
    router.linger = events.linger = 0
    router.monitor("inproc://events", zmq.EVENT_DISCONNECTED)
    events.connect("inproc://events")
    router.bind(f"ipc://{path}")
    core = HostCore(Identity(b"t" * 16, 7, "here", 99), None)
    connection = Connection(f"ipc://{path}", core, {}, None, place)
    try:
        opening = asyncio.ensure_future(connection.open())
        await readable(router)
        peer, *_ = router.recv_multipart()
        router.send_multipart([peer, *codec.TO_HOST.encode(HELD)])
        with pytest.raises(SessionHeldError):
            await opening
        yield events
    finally:
        await connection.close()
        router.disable_monitor()
        events.close()
        router.close()
        context.term()


async def readable(socket: zmq.Socket[bytes]) -> None:
    async with asyncio.timeout(SECONDS):
        while not socket.poll(0):
            await asyncio.sleep(0.005)


def test_who_is_refused_for_good_hangs_up_and_asks_for_no_successor(tmp_path: Path) -> None:
    place = Place(tmp_path / "h")

    async def test() -> None:
        async with refused(tmp_path / "h", place) as events:
            await readable(events)

    asyncio.run(test())
    assert not place.was_asked
