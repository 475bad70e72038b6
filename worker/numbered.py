"""Tasks and futures with a hash that is their number, so that sets of them have one order.

asyncio keeps tasks in sets: a group aborts its tasks, and `wait` returns them, in the order of
their hashes, which are addresses otherwise.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import selectors
from asyncio import futures, tasks
from collections.abc import Iterable, Iterator
from typing import Any, cast


class Task(asyncio.Task[Any]):
    """asyncio's own, numbered."""

    __slots__ = ("_n",)
    _n: int

    def __init__(self, coro: Any, *, loop: Any, **options: Any) -> None:
        # First, because asyncio puts it into a set before it is done.
        self._n = loop.next_number()
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self._n


class Future(asyncio.Future[Any]):
    """asyncio's own, numbered."""

    __slots__ = ("_n",)
    _n: int

    def __init__(self, *, loop: Any) -> None:
        self._n = loop.next_number()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._n


_GatheringFuture: Any = tasks._GatheringFuture  # type: ignore[attr-defined]


class _NumberedGathering(_GatheringFuture):  # type: ignore[misc]
    """The future that `gather` returns, numbered if its loop counts."""

    def __init__(self, children: Any, *, loop: Any) -> None:
        count = getattr(loop, "next_number", None)
        self._n = object.__hash__(self) if count is None else count()
        super().__init__(children, loop=loop)

    def __hash__(self) -> int:
        return cast(int, self._n)


class NumberingLoop(asyncio.SelectorEventLoop):
    """A loop that makes numbered tasks and futures."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self.next_number = itertools.count(1).__next__
        super().__init__(selector)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """A task of a coroutine, or of a tool call, which runs already and is a future.

        `asyncio.create_task(tools.NAME())` is what everybody writes.
        """
        if not asyncio.isfuture(coro):
            return self._task(coro, options)
        task = self._task(_awaited(coro), options)
        # A task that is cancelled before it has run never comes to await the call.
        task.add_done_callback(lambda done: done.cancelled() and coro.cancel())
        return task

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return Future(loop=self)

    def _task(self, coro: Any, options: dict[str, Any]) -> asyncio.Task[Any]:
        if self.get_task_factory() is not None:  # the cell's own
            return super().create_task(coro, **options)
        self._check_closed()  # type: ignore[attr-defined]
        return Task(coro, loop=self, **options)


async def _awaited(future: asyncio.Future[Any]) -> Any:
    return await future


for _kind in (Task, Future, _NumberedGathering):
    # In a cell's output they look like what they stand for.
    _kind.__module__ = "_asyncio"
_NumberedGathering.__module__ = _GatheringFuture.__module__
_NumberedGathering.__name__ = _NumberedGathering.__qualname__ = _GatheringFuture.__name__


def install() -> None:
    """Make asyncio's `gather` and `as_completed` keep the order that they were given."""
    original: Any = tasks.as_completed

    def as_completed(fs: Any, *, timeout: float | None = None) -> Any:
        return original(_in_order(fs), timeout=timeout)

    def as_completed_lazily(fs: Any, *, timeout: float | None = None) -> Iterator[Any]:
        yield from original(_in_order(fs), timeout=timeout)

    # Until 3.12 it is a generator, which begins nothing before it is asked for the first.
    chosen = as_completed_lazily if inspect.isgeneratorfunction(original) else as_completed
    chosen.__name__ = chosen.__qualname__ = original.__name__
    chosen.__doc__ = original.__doc__
    for module in (asyncio, tasks):
        module.as_completed = chosen  # type: ignore[attr-defined]
    tasks._GatheringFuture = _NumberedGathering  # type: ignore[attr-defined]


def _in_order(fs: Iterable[Any]) -> Any:
    """Futures instead of coroutines, made in the order in which they were given."""
    if futures.isfuture(fs) or asyncio.iscoroutine(fs):
        return fs  # the original says what is wrong
    loop = asyncio.get_event_loop_policy().get_event_loop()
    return [tasks.ensure_future(each, loop=loop) for each in dict.fromkeys(fs)]
