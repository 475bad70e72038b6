"""Sessions and clients for asyncio hosts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from ..protocol.host_answers import (
    CallsGiven,
    CellMade,
    EventsGiven,
)
from ..protocol.host_requests import (
    CreateCell,
    ListCalls,
    SessionAsk,
)
from ..protocol.limits import Limits
from ..protocol.packed import CellKind
from . import _asks
from ._aio_calls import AsyncCallInfo
from ._aio_cells import (
    WATCH_PAGE,
    WATCH_WAIT_NS,
    AsyncCell,
    AsyncPausableCell,
)
from ._aio_client import find_cell, list_cells
from ._aio_member import AsyncMember, Leaving
from ._failures import unanswered_create
from ._opening import Opening
from ._packages import packages_of
from ._places import place_of
from ._running import OnNotify
from ._tools import Tool, offered_tools
from ._unpack import event_of
from ._values import CellEvent, CellInfo


class AsyncSession(AsyncMember):
    """A named group of cells, with the tools that they call in this host.

    Use it as an async context manager; it opens at the first use. Leaving the block detaches from
    a supervisor that others can reach (`state` or `endpoint`), and else closes: a private
    supervisor ends with its session. For one event loop.

    Args:
        name: the session's durable name; None makes a new one. A name that exists is attached to.
        tools: functions, or `Tool`.
        on_notify: called with each `Notification`, in order; sync or async.
        endpoint: a running supervisor.
        state: a directory: its supervisor, started if there is none.
        isolation: "process", "restricted", "sealed" or None for the best that there is.
        replay: whether cells whose worker was lost are run again from the journal.
        durability: "power" or "crash": what a commit survives.
        limits: defaults for the session's cells.
        take_over: open the session although another host holds it.
        preload: modules that are imported once for all cells of the supervisor that this session
            starts, with the rights of the host; one that runs already keeps what it has.
        package_paths: directories that its cells may read and import from, beside those of this
            Python.

    Raises:
        TypeError, ValueError: arguments that do not go together, tools that cells could not tell
            apart.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        on_notify: OnNotify | None = None,
        endpoint: str | None = None,
        state: str | os.PathLike[str] | None = None,
        isolation: str | None = None,
        replay: bool | None = None,
        durability: str | None = None,
        limits: Limits | None = None,
        take_over: bool = False,
        preload: Iterable[str] = (),
        package_paths: Iterable[str | os.PathLike[str]] = (),
    ) -> None:
        if isolation not in (None, "process", "restricted", "sealed"):
            raise ValueError(
                f"isolation must be 'process', 'restricted' or 'sealed', not {isolation!r:.40}"
            )
        _asks.check_callback("on_notify", on_notify)
        offered = offered_tools(tools)
        ask = SessionAsk(
            name=_asks.session_name(name),
            tools=tuple(tool.spec for tool in offered.values()),
            isolation=isolation,
            replay=None if replay is None else bool(replay),
            durability=durability,
            limits=_asks.limits_of(limits),
            take_over=bool(take_over),
        )
        packages = packages_of(preload, package_paths)
        place = place_of(state, endpoint, durability, isolation, packages)
        lasting = Leaving.CLOSE if state is None and endpoint is None else Leaving.DETACH
        super().__init__(Opening(place, ask, offered, on_notify), ask.name, lasting)

    async def create_cell(
        self,
        source: str | bytes,
        *,
        inputs: Mapping[str, object] | None = None,
        name: str | None = None,
        idempotency_key: str | None = None,
        limits: Limits | None = None,
        timeout: float | None = 10.0,
    ) -> AsyncCell:
        """Make a continuing cell; it is in the journal when this returns, and need not run yet.

        Args:
            inputs: plain data under the names that the cell's code sees.
            idempotency_key: the same key with the same request makes one cell.
            timeout: seconds to wait for the supervisor.

        Raises:
            IdempotencyConflictError: the key belongs to another request.
            LimitExceededError: source, inputs or the session's number of cells.
            SupervisorUnavailableError: no answer in time; whether the cell was made is not known.
        """
        key = os.urandom(16).hex() if idempotency_key is None else idempotency_key
        ask = _asks.create_cell(
            CellKind.CONTINUING, source, inputs=inputs, name=name, key=key, limits=limits
        )
        return AsyncCell(self._opening, *await self._create(ask, timeout), None)

    async def create_pausable_cell(
        self,
        source: str | bytes,
        *,
        inputs: Mapping[str, object] | None = None,
        name: str | None = None,
        idempotency_key: str | None = None,
        limits: Limits | None = None,
        stepping: str = "drain",
        timeout: float | None = 10.0,
    ) -> AsyncPausableCell:
        """Make a pausable cell; see `create_cell`.

        Args:
            stepping: "drain": one resume takes all inputs that are queued; "one": one.
        """
        key = os.urandom(16).hex() if idempotency_key is None else idempotency_key
        ask = _asks.create_cell(
            CellKind.PAUSABLE,
            source,
            inputs=inputs,
            name=name,
            key=key,
            limits=limits,
            stepping=stepping,
        )
        return AsyncPausableCell(self._opening, *await self._create(ask, timeout), None)

    async def _create(self, ask: CreateCell, timeout: float | None) -> tuple[str, str]:
        seconds = _asks.timeout(timeout)
        connection = await self._opening.opened()
        try:
            made = await connection.ask(CellMade, ask, seconds)
        except TimeoutError as error:
            raise unanswered_create(ask.key, seconds or 0.0) from error
        return made.cell, made.name

    async def cell(self, id: str, *, after: int | None = None) -> AsyncCell | AsyncPausableCell:
        """A handle of a cell that exists.

        Args:
            after: the number of the last event that was dealt with; None: what is acknowledged.

        Raises:
            CellNotFoundError: there is none, or it was removed.
        """
        return await find_cell(self._opening, id, after)

    async def cells(
        self, *, state: str | None = None, limit: int = 100, before: str | None = None
    ) -> tuple[CellInfo, ...]:
        """The session's cells, newest first; `before` an id for the next page."""
        await self._opening.opened()
        return await list_cells(self._opening, self._opening.session_name, state, limit, before)

    async def events(self, after: int | None = None) -> AsyncIterator[CellEvent]:
        """Frontiers and ends of all its cells, in the journal's order, without an end.

        Args:
            after: the `position` of the last one that was dealt with; None: from the oldest kept.
        """
        record = _asks.position(after)
        connection = await self._opening.opened()
        name = self._opening.session_name
        while True:
            ask = _asks.events("", name, record, WATCH_PAGE, WATCH_WAIT_NS)
            given = await connection.ask(EventsGiven, ask)
            for row in given.rows:
                record = row.record
                yield CellEvent(row.cell, event_of(row.event), record)

    async def calls(self) -> tuple[AsyncCallInfo, ...]:
        """Tool calls that somebody has to decide about: outcome unknown, or external."""
        connection = await self._opening.opened()
        given = await connection.ask(CallsGiven, ListCalls())
        return tuple(AsyncCallInfo.of(self._opening, call) for call in given.calls)
