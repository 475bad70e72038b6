"""Who waits for which answer, on one loop."""

from __future__ import annotations

import asyncio
from typing import Final

from ..protocol.errors import TidemarkError
from ..protocol.host_answers import Answer
from ._happenings import Settled

_LATE: Final = "no answer in time"


class Waiters:
    """A future for each request that was begun and whose outcome was not taken yet."""

    def __init__(self) -> None:
        self._futures: dict[int, asyncio.Future[Answer]] = {}

    def add(self, number: int) -> None:
        """Somebody will wait for this request's answer."""
        self._futures[number] = asyncio.get_running_loop().create_future()

    async def outcome(self, number: int, timeout: float | None) -> Answer:
        """The answer; after a timeout it can be waited for again.

        Raises:
            TimeoutError: none after so many seconds.
            TidemarkError: the refusal.
        """
        if not self._futures[number].done():
            await self._wait(number, timeout)
        return self._futures.pop(number).result()

    async def _wait(self, number: int, timeout: float | None) -> None:
        """Until it is settled. `asyncio.wait` would take a turn of the loop more, and a set."""
        loop = asyncio.get_running_loop()
        future = self._futures[number]
        timer = None if timeout is None else loop.call_later(timeout, future.cancel, _LATE)
        try:
            await future
        except TidemarkError:
            return  # whoever takes the result gets it
        except asyncio.CancelledError as cancelled:
            # One that is settled is kept: the answer came as we were cancelled, and comes once.
            if future.cancelled() and self._futures.get(number) is future:
                self._futures[number] = loop.create_future()  # it can be waited for again
            task = asyncio.current_task()
            if cancelled.args == (_LATE,) and not (task is not None and task.cancelling()):
                raise TimeoutError from None
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def drop(self, number: int) -> None:
        """Nobody waits for this one any more."""
        self._futures.pop(number).cancel()

    def settle(self, settled: Settled) -> None:
        """The request has its answer, or its error."""
        future = self._futures.get(settled.number)
        if future is None or future.done():
            return
        if settled.error is None:
            future.set_result(settled.answer)  # type: ignore[arg-type]
        else:
            _fail(future, settled.error)

    def close(self, error: TidemarkError) -> None:
        """Whoever still waits gets this."""
        for future in self._futures.values():
            if not future.done():
                _fail(future, error)


def _fail(future: asyncio.Future[Answer], error: TidemarkError) -> None:
    future.set_exception(error)
    future.exception()  # whoever waits raises it; nobody waiting is no mistake
