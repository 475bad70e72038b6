"""An answer is kept for whoever asks for it again, however the first wait for it ended."""

from __future__ import annotations

import asyncio

import pytest
from tidemark.client._happenings import Settled
from tidemark.client._waiters import Waiters
from tidemark.protocol.errors import CellNotFoundError
from tidemark.protocol.host_answers import Done

NUMBER = 7


async def waiting(waiters: Waiters) -> asyncio.Task[object]:
    """A task that waits for the answer already."""
    waiters.add(NUMBER)
    task: asyncio.Task[object] = asyncio.ensure_future(waiters.outcome(NUMBER, None))
    await asyncio.sleep(0)
    return task


def test_a_wait_that_was_cancelled_can_be_repeated() -> None:
    async def scene() -> object:
        waiters = Waiters()
        task = await waiting(waiters)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        waiters.settle(Settled(NUMBER, Done(), None))
        return await waiters.outcome(NUMBER, 1.0)

    assert asyncio.run(scene()) == Done()


def test_an_answer_that_came_as_the_wait_was_cancelled_is_kept() -> None:
    async def scene() -> object:
        waiters = Waiters()
        task = await waiting(waiters)
        waiters.settle(Settled(NUMBER, Done(), None))
        task.cancel()  # as a deadline does that is due in the same turn of the loop
        with pytest.raises(asyncio.CancelledError):
            await task
        return await waiters.outcome(NUMBER, 1.0)

    assert asyncio.run(scene()) == Done()


def test_so_is_a_refusal() -> None:
    async def scene() -> object:
        waiters = Waiters()
        task = await waiting(waiters)
        waiters.settle(Settled(NUMBER, None, CellNotFoundError("gone")))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await waiters.outcome(NUMBER, 1.0)

    with pytest.raises(CellNotFoundError, match="gone"):
        asyncio.run(scene())
