"""Who waits for which answer, on one loop."""

from __future__ import annotations

import asyncio

from ..protocol.errors import TidemarkError
from ..protocol.host_answers import Answer
from ._happenings import Settled


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
        future = self._futures[number]
        if not future.done():
            done, _ = await asyncio.wait({future}, timeout=timeout)
            if not done:
                raise TimeoutError
        del self._futures[number]
        return future.result()

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
