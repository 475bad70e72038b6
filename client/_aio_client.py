"""A client without a session, and what clients and sessions have in common."""

from __future__ import annotations

import os
from collections.abc import Generator
from types import TracebackType
from typing import Any, Self

from ..protocol.host_answers import CellsGiven, InfoGiven, SessionsGiven, StatusGiven
from ..protocol.host_requests import AskInfo, AskStatus, Detach, ListSessions
from . import _asks
from ._aio_cells import AsyncCell, AsyncPausableCell, handle_of
from ._aio_member import leave_block
from ._opening import Opening
from ._places import place_for_client
from ._unpack import cell_info, session_info, supervisor_info
from ._values import CellInfo, SessionInfo, SupervisorInfo


class AsyncClient:
    """A supervisor seen without a session: lists, and handles of cells that others made."""

    def __init__(self, state_or_endpoint: str | os.PathLike[str]) -> None:
        self._opening = Opening(place_for_client(state_or_endpoint), None, {}, None)

    async def __aenter__(self) -> Self:
        await self._opening.opened()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await leave_block(self.close(), error)

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    async def close(self) -> None:
        """Leave; nothing ends by it."""
        await self._opening.leave(Detach())

    async def sessions(self) -> tuple[SessionInfo, ...]:
        """All sessions, by name."""
        connection = await self._opening.opened()
        given = await connection.ask(SessionsGiven, ListSessions())
        return tuple(session_info(row) for row in given.rows)

    async def cells(
        self,
        *,
        session: str | None = None,
        state: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> tuple[CellInfo, ...]:
        """Cells of all sessions, or of one, newest first; `before` an id for the next page."""
        return await list_cells(self._opening, session or "", state, limit, before)

    async def cell(self, id: str, *, after: int | None = None) -> AsyncCell | AsyncPausableCell:
        """A handle of a cell; see `AsyncSession.cell`."""
        return await find_cell(self._opening, id, after)

    async def info(self) -> SupervisorInfo:
        """What the supervisor is."""
        connection = await self._opening.opened()
        return supervisor_info(await connection.ask(InfoGiven, AskInfo()))


def connect_async(state_or_endpoint: str | os.PathLike[str]) -> AsyncClient:
    """A client without a session: `async with connect_async(place) as client`, or await it.

    Raises:
        ValueError: not an endpoint.
    """
    return AsyncClient(state_or_endpoint)


async def find_cell(
    opening: Opening, cell: str, after: int | None
) -> AsyncCell | AsyncPausableCell:
    """A handle of a cell that exists."""
    name = _asks.line("a cell's id", cell)
    last = None if after is None else _asks.position(after)
    connection = await opening.opened()
    given = await connection.ask(StatusGiven, AskStatus(name))
    return handle_of(opening, given.kind, given.cell, given.name, last)


async def list_cells(
    opening: Opening, session: str, state: str | None, limit: int, before: str | None
) -> tuple[CellInfo, ...]:
    """One page of cells."""
    ask = _asks.list_cells(_asks.line("session", session), state, limit, before)
    connection = await opening.opened()
    given = await connection.ask(CellsGiven, ask)
    return tuple(cell_info(row) for row in given.rows)
