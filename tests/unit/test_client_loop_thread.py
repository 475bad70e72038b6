"""The thread that runs a blocking session: it ends in time, and nobody waits for one that ended."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
from tidemark.client._loop_thread import LoopThread

END_SECONDS_MAX = 2.0  # 100 ms are allowed; the rest is a machine with other work


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    made = LoopThread()
    yield made
    made.stop()


def test_what_ignores_that_it_is_cancelled_does_not_hold_up_the_end(thread: LoopThread) -> None:
    released = threading.Event()
    kept: list[asyncio.Task[None]] = []

    async def ignore() -> None:
        while not released.is_set():
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                continue

    async def begin() -> None:
        kept.append(asyncio.ensure_future(ignore()))

    thread.run(begin())
    ending = threading.Thread(target=thread.stop, daemon=True)
    began = time.monotonic()
    ending.start()
    ending.join(END_SECONDS_MAX)
    took = time.monotonic() - began
    released.set()
    ending.join()
    assert took < END_SECONDS_MAX
