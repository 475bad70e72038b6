"""A notification that fails its callback is one that was handled, and others follow it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tidemark.client._running import NoticeDesk
from tidemark.client._values import Notification
from tidemark.protocol.host_answers import NoticeOffered

CELL = "c00000000000000-00000000"


def handled_by(on_notify: Callable[[Notification], Any]) -> list[int]:
    """The numbers that are told as handled, of three."""

    async def scene() -> list[int]:
        handled: list[int] = []
        last = asyncio.Event()

        def take(cell: str, number: int) -> None:
            handled.append(number)
            if number == 3:
                last.set()

        desk = NoticeDesk(on_notify, take)
        for number in (1, 2, 3):
            desk.put(NoticeOffered(CELL, number, "text"))
        await asyncio.wait_for(last.wait(), 10)
        desk.close()
        return handled

    return asyncio.run(scene())


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), asyncio.CancelledError()])
def test_whatever_a_callback_raises_the_next_notification_comes(error: BaseException) -> None:
    def at_once(notification: Notification) -> None:
        if notification.number == 1:
            raise error

    async def later(notification: Notification) -> None:
        at_once(notification)

    assert handled_by(at_once) == [1, 2, 3]
    assert handled_by(later) == [1, 2, 3]


def test_a_desk_that_is_closed_hands_out_nothing_more() -> None:
    async def scene() -> list[int]:
        begun = asyncio.Event()
        handled: list[int] = []

        async def wait(notification: Notification) -> None:
            begun.set()
            await asyncio.Event().wait()

        desk = NoticeDesk(wait, lambda cell, number: handled.append(number))
        for number in (1, 2):
            desk.put(NoticeOffered(CELL, number, "text"))
        await asyncio.wait_for(begun.wait(), 10)
        desk.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others, timeout=10)
        return handled

    assert asyncio.run(scene()) == []
