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


async def one() -> int:
    return 1


def test_a_task_that_exits_does_not_end_the_thread(thread: LoopThread) -> None:
    async def leave(error: BaseException) -> None:
        raise error

    async def begin() -> None:
        tasks = [
            asyncio.ensure_future(leave(error)) for error in (SystemExit(3), KeyboardInterrupt())
        ]
        await asyncio.wait(tasks)
        assert [type(task.exception()) for task in tasks] == [SystemExit, KeyboardInterrupt]

    thread.run(begin())
    assert thread.run(one()) == 1


def test_nobody_waits_for_a_loop_that_was_stopped_by_code_on_it(thread: LoopThread) -> None:
    async def stop() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.Event().wait()

    for call in (stop, one, one):
        with pytest.raises(RuntimeError, match="open a new session"):
            thread.run(call())
    thread.stop()
    with pytest.raises(ValueError, match="has been closed"):
        thread.run(one())
