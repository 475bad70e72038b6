"""Cells, as an asyncio host has them: handles that may be thrown away and made again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

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
from ..protocol.host_answers import (
    AlreadyGiven,
    Answer,
    EventGiven,
    EventsGiven,
    FrontierGiven,
    Hibernated,
    HistoryGiven,
    ResumedGiven,
    StatusGiven,
)
from ..protocol.host_requests import (
    AskFrontier,
    AskStatus,
    Hibernate,
    Resume,
    Step,
    Terminate,
    WaitToPending,
)
from ..protocol.packed import CellKind, PackedEvent
from . import _asks
from ._failures import not_yet, unconfirmed, unexpected
from ._handles import HandleState, Parked, is_final
from ._unpack import event_of, frontier_of, history_entry, status_of
from ._values import HistoryEntry, Status

if TYPE_CHECKING:
    from ._connection import Connection
    from ._opening import Opening

WATCH_PAGE: Final = 100
# The supervisor answers a long wait when this has passed, so that a lost host is not kept for ever.
WATCH_WAIT_NS: Final = 60 * 1_000_000_000


class _Handle:
    """What both kinds of cells can. Made by sessions and clients, not by users."""

    def __init__(self, opening: Opening, cell: str, name: str, after: int | None) -> None:
        self._opening = opening
        self._state = HandleState(cell, after)
        self._name = name

    def __repr__(self) -> str:
        named = f" {self._name!r}" if self._name else ""
        return f"<{type(self).__name__} {self.id}{named}>"

    @property
    def id(self) -> str:
        """The cell's id; it sorts by creation time."""
        return self._state.cell

    @property
    def name(self) -> str:
        """The name given at creation, or an empty text."""
        return self._name

    async def terminate(self) -> Completed | Terminated:
        """End the cell, however busy it is; its final event, also when it had ended before."""
        connection = await self._opening.opened()
        given = await connection.ask(EventGiven, Terminate(self.id, self._state.last))
        event = self._received(connection, given.event)
        if not isinstance(event, (Completed, Terminated)):
            raise unexpected(event, "a final event")
        return event

    async def hibernate(self) -> str | None:
        """Let the idle cell give up its worker; it is run again when something moves it.

        Returns None when it has no worker now, else why it keeps it. Its events, its frontier and
        its calls are what they were, and so is everything that it does later.
        """
        connection = await self._opening.opened()
        return (await connection.ask(Hibernated, Hibernate(self.id))).why or None

    async def status(self) -> Status:
        """What the cell is doing; its worker is not asked."""
        connection = await self._opening.opened()
        return status_of(await connection.ask(StatusGiven, AskStatus(self.id)))

    async def history(
        self, after: int | None = None, limit: int = 1000
    ) -> tuple[HistoryEntry, ...]:
        """The cell's records after number `after`, oldest first, at most `limit`."""
        ask = _asks.history(self.id, after, limit)
        connection = await self._opening.opened()
        given = await connection.ask(HistoryGiven, ask)
        return tuple(history_entry(row) for row in given.rows)

    async def watch(self, after: int | None = None) -> AsyncIterator[Event]:
        """The cell's events after number `after`, from the oldest kept, to its end.

        Reads only: nothing is acknowledged or consumed, and any number may watch. No output item
        comes twice.
        """
        number, next_index, ended = _asks.position(after), 0, False
        connection = await self._opening.opened()
        while not ended:
            ask = _asks.events(self.id, "", number, WATCH_PAGE, WATCH_WAIT_NS)
            given = await connection.ask(EventsGiven, ask)
            for row in given.rows:
                event = event_of(row.event, next_index)
                number = row.event.number
                if row.event.output:
                    next_index = max(next_index, row.event.output[-1].index + 1)
                yield event
                if is_final(event):
                    return
            ended = given.ended

    def _received(self, connection: Connection, packed: PackedEvent) -> Event:
        event = self._state.received(packed)
        if is_final(event):
            # No request of this handle will name it, so the host's next one does.
            connection.core.acknowledge(self.id, event.number)
        return event


class AsyncCell(_Handle):
    """A continuing cell: it goes on by itself whenever an input arrives."""

    kind: Final = CellKind.CONTINUING.value

    async def observe(
        self, yield_after: float = 10.0, *, take_over: bool = False
    ) -> Yielded | Completed | Terminated:
        """The next event: what the cell has put out, or its end.

        Asking acknowledges the event before. When the wait is cancelled nothing is lost.

        Args:
            yield_after: seconds after which to return with what there is; 0: at once.
            take_over: detach another observer that waits.

        Raises:
            BusyObserverError: another observation waits on this cell.
            CellClosedError: this handle has had the final event.
        """
        ask = _asks.observe(self.id, self._state.last, yield_after, take_over=take_over)
        connection = await self._opening.opened()
        given = await connection.ask(EventGiven, ask)
        event = self._received(connection, given.event)
        if isinstance(event, Pending):
            raise unexpected(event, "an event of a continuing cell")
        return event


class AsyncPausableCell(_Handle):
    """A pausable cell: it stops at every frontier until that generation is resumed."""

    kind: Final = CellKind.PAUSABLE.value

    async def wait_to_pending(
        self, *, timeout: float | None = None, take_over: bool = False
    ) -> Pending | Completed | Terminated:
        """The current frontier, or the end; waits while the cell runs, and moves nothing.

        Args:
            timeout: seconds to wait; None for ever.
            take_over: detach another observer that waits.

        Raises:
            WaitTimeoutError: the cell still runs (a TimeoutError).
            BusyObserverError: another observation waits on this cell.
        """
        seconds = _asks.timeout(timeout)
        connection = await self._opening.opened()
        ask = WaitToPending(self.id, bool(take_over))
        try:
            given = await connection.ask(EventGiven, ask, seconds)
        except TimeoutError as error:
            raise not_yet(self.id, seconds or 0.0) from error
        return _of_pausable(self._received(connection, given.event))

    async def resume(
        self, generation: int, *, timeout: float | None = 30.0
    ) -> Resumed | AlreadyRunning:
        """Leave the frontier of this generation. Returns when that is in the journal.

        Args:
            timeout: seconds to wait for the worker's confirmation; None for ever.

        Raises:
            ResumeUnconfirmedError: not known yet; ask for the same generation again.
            InvalidGenerationError: there is no such frontier (yet).
            CellClosedError: the cell has ended, and not by way of this generation.
        """
        answer = await self._leave(Resume, generation, timeout)
        if isinstance(answer, ResumedGiven):
            return Resumed(answer.generation)
        if isinstance(answer, AlreadyGiven):
            return AlreadyRunning(answer.generation, answer.state, answer.latest)
        raise unexpected(answer, "Resumed or AlreadyRunning")

    async def step(
        self, generation: int, *, timeout: float | None = None
    ) -> Pending | Completed | Terminated | AlreadyRunning:
        """`resume`, then `wait_to_pending`, in one request.

        Args:
            timeout: seconds for both; None for ever.

        Raises:
            ResumeUnconfirmedError: not known yet; step the same generation again.
            BusyObserverError: another observation waits on this cell; nothing was resumed.
        """
        answer = await self._leave(Step, generation, timeout)
        if isinstance(answer, EventGiven):
            connection = await self._opening.opened()
            return _of_pausable(self._received(connection, answer.event))
        if isinstance(answer, AlreadyGiven):
            return AlreadyRunning(answer.generation, answer.state, answer.latest)
        if isinstance(answer, ResumedGiven):
            # An earlier step of this generation gave up its observation before the confirmation.
            return await self.wait_to_pending(timeout=timeout)
        raise unexpected(answer, "an event or AlreadyRunning")

    async def frontier(self) -> Frontier | None:
        """The last frontier recorded, also when it was left or the cell has ended; or None."""
        connection = await self._opening.opened()
        given = await connection.ask(FrontierGiven, AskFrontier(self.id))
        return None if given.event is None else frontier_of(given.event)

    async def _leave(
        self, verb: type[Resume | Step], generation: int, timeout: float | None
    ) -> Answer:
        """Ask, or go on waiting for the same request when this handle gave up waiting before."""
        seconds = _asks.timeout(timeout)
        ask = _asks.resume(verb, self.id, generation, self._state.last)
        connection = await self._opening.opened()
        number = self._begin(connection, ask)
        try:
            return await connection.outcome(number, seconds)
        except (TimeoutError, asyncio.CancelledError) as error:
            if isinstance(ask, Step):
                connection.suspend(number)  # else our own next observation would find it busy
            if self._state.parked is not None:
                connection.abandon(self._state.parked.number)
            self._state.parked = Parked(ask, number)
            if isinstance(error, TimeoutError):
                raise unconfirmed(self.id, generation, seconds or 0.0) from error
            raise

    def _begin(self, connection: Connection, ask: Resume | Step) -> int:
        parked, self._state.parked = self._state.parked, None
        if parked is None:
            return connection.begin(ask)
        if type(parked.ask) is type(ask) and parked.ask.generation == ask.generation:
            connection.again(parked.number)
            return parked.number
        connection.abandon(parked.number)
        return connection.begin(ask)


def _of_pausable(event: Event) -> Pending | Completed | Terminated:
    if isinstance(event, Yielded):
        raise unexpected(event, "an event of a pausable cell")
    return event


def handle_of(
    opening: Opening, kind: CellKind, cell: str, name: str, after: int | None
) -> AsyncCell | AsyncPausableCell:
    """A new handle of the right kind."""
    if kind is CellKind.PAUSABLE:
        return AsyncPausableCell(opening, cell, name, after)
    return AsyncCell(opening, cell, name, after)
