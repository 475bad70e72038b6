"""A host's connection with a real socket at the other end, which answers as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import zmq
from tidemark.client._attachment import Identity
from tidemark.client._connection import Connection
from tidemark.client._core import HostCore
from tidemark.client._opening import _say_goodbye
from tidemark.protocol import codec
from tidemark.protocol.errors import SessionTakenError
from tidemark.protocol.host_answers import Refused
from tidemark.protocol.host_requests import Detach

SECONDS = 10.0
TAKEN = Refused(1, 0, "session_taken", "attachment 1 is not known here", b"\x80")


@asynccontextmanager
async def refused(path: Path) -> AsyncIterator[tuple[Connection, zmq.Socket[bytes]]]:
    """A connection whose attachment was refused, and what the other end notices of it."""
    context = zmq.Context()
    router, events = context.socket(zmq.ROUTER), context.socket(zmq.PAIR)
    router.linger = events.linger = 0
    router.monitor("inproc://events", zmq.EVENT_DISCONNECTED)
    events.connect("inproc://events")
    router.bind(f"ipc://{path}")
    core = HostCore(Identity(b"t" * 16, 7, "here", 99), None)
    connection = Connection(f"ipc://{path}", core, {}, None)
    try:
        opening = asyncio.ensure_future(connection.open())
        await readable(router)
        peer, *_ = router.recv_multipart()
        router.send_multipart([peer, *codec.TO_HOST.encode(TAKEN)])
        with pytest.raises(SessionTakenError):
            await opening
        yield connection, events
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


def with_refused(
    path: Path, work: Callable[[Connection, zmq.Socket[bytes]], Awaitable[None]]
) -> None:
    async def test() -> None:
        async with refused(path) as (connection, events):
            await work(connection, events)

    asyncio.run(test())


def test_who_is_refused_for_good_hangs_up(tmp_path: Path) -> None:
    """And so is not there to miss that supervisor when it ends, and to look for another one."""

    async def hung_up(connection: Connection, events: zmq.Socket[bytes]) -> None:
        await readable(events)
        assert not connection.is_down

    with_refused(tmp_path / "h", hung_up)


def test_who_was_refused_leaves_without_asking_anybody(tmp_path: Path) -> None:
    async def left(connection: Connection, _: zmq.Socket[bytes]) -> None:
        async with asyncio.timeout(1.0):  # an answer would be waited for ten times as long
            await _say_goodbye(connection, Detach())

    with_refused(tmp_path / "h", left)
