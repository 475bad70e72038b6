"""Cells, as a blocking host has them: the asyncio handles, waited for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ..protocol.frontier import (
    AlreadyRunning,
    Completed,
    Event,
    Frontier,
    Pending,
    Resumed,
    Terminated,
    Yielded,
)
from ._aio_calls import AsyncCallInfo
from ._aio_cells import AsyncCell, AsyncPausableCell
from ._loop_thread import LoopThread
from ._values import HistoryEntry, Status

H = TypeVar("H", AsyncCell, AsyncPausableCell)


class _Handle(Generic[H]):
    """What both kinds of cells can. Made by sessions and clients, not by users."""

    def __init__(self, thread: LoopThread, cell: H) -> None:
        self._thread = thread
        self._cell: H = cell

    def __repr__(self) -> str:
        named = f" {self.name!r}" if self.name else ""
        return f"<{type(self).__name__} {self.id}{named}>"

    @property
    def id(self) -> str:
        """The cell's id; it sorts by creation time."""
        return self._cell.id

    @property
    def name(self) -> str:
        """The name given at creation, or an empty text."""
        return self._cell.name

    @property
    def kind(self) -> str:
        """ "continuing" or "pausable"."""
        return self._cell.kind

    def terminate(self) -> Completed | Terminated:
        """End the cell, however busy it is; its final event, also when it had ended before."""
        return self._thread.run(self._cell.terminate())

    def hibernate(self) -> str | None:
        """Let the idle cell give up its worker; it is run again when something moves it.

        Returns None when it has no worker now, else why it keeps it.
        """
        return self._thread.run(self._cell.hibernate())

    def status(self) -> Status:
        """What the cell is doing; its worker is not asked."""
        return self._thread.run(self._cell.status())

    def history(self, after: int | None = None, limit: int = 1000) -> tuple[HistoryEntry, ...]:
        """The cell's records after number `after`, oldest first, at most `limit`."""
        return self._thread.run(self._cell.history(after, limit))

    def watch(self, after: int | None = None) -> Iterator[Event]:
        """The cell's events after number `after`, from the oldest kept, to its end.

        Reads only: nothing is acknowledged or consumed, and any number may watch.
        """
        return self._thread.iterate(self._cell.watch(after))


class Cell(_Handle[AsyncCell]):
    """A continuing cell: it goes on by itself whenever an input arrives."""

    def observe(
        self, yield_after: float = 10.0, *, take_over: bool = False
    ) -> Yielded | Completed | Terminated:
        """The next event: what the cell has put out, or its end. See `AsyncCell.observe`."""
        return self._thread.run(self._cell.observe(yield_after, take_over=take_over))


class PausableCell(_Handle[AsyncPausableCell]):
    """A pausable cell: it stops at every frontier until that generation is resumed."""

    def wait_to_pending(
        self, *, timeout: float | None = None, take_over: bool = False
    ) -> Pending | Completed | Terminated:
        """The current frontier, or the end. See `AsyncPausableCell.wait_to_pending`."""
        return self._thread.run(self._cell.wait_to_pending(timeout=timeout, take_over=take_over))

    def resume(self, generation: int, *, timeout: float | None = 30.0) -> Resumed | AlreadyRunning:
        """Leave the frontier of this generation. See `AsyncPausableCell.resume`."""
        return self._thread.run(self._cell.resume(generation, timeout=timeout))

    def step(
        self, generation: int, *, timeout: float | None = None
    ) -> Pending | Completed | Terminated | AlreadyRunning:
        """`resume`, then `wait_to_pending`, in one request. See `AsyncPausableCell.step`."""
        return self._thread.run(self._cell.step(generation, timeout=timeout))

    def frontier(self) -> Frontier | None:
        """The last frontier recorded, also when it was left or the cell has ended; or None."""
        return self._thread.run(self._cell.frontier())


def blocking(thread: LoopThread, cell: AsyncCell | AsyncPausableCell) -> Cell | PausableCell:
    """The blocking handle of an asyncio handle."""
    if isinstance(cell, AsyncPausableCell):
        return PausableCell(thread, cell)
    return Cell(thread, cell)


@dataclass(frozen=True, slots=True)
class CallInfo:
    """A call without a result: its host ended while it ran, or its tool is external.

    Attributes:
        key: unique among all calls.
        unknown: it was given to a host, so it may have taken effect.
    """

    key: str
    tool: str
    arguments: Any
    unknown: bool
    _thread: LoopThread = field(repr=False, compare=False)
    _call: AsyncCallInfo = field(repr=False, compare=False)

    def finish(self, value: Any) -> None:
        """Give the cell this result; plain data. In the journal when this returns."""
        self._thread.run(self._call.finish(value))

    def fail(self, message: str) -> None:
        """Give the cell a `ToolError` with this text."""
        self._thread.run(self._call.fail(message))

    def run_again(self) -> None:
        """Offer the call to the session's holder once more, as a new attempt."""
        self._thread.run(self._call.run_again())
