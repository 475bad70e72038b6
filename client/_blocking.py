"""Sessions and clients for hosts that block: the asyncio ones, run by a thread."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from ..protocol.limits import Limits
from . import _asks
from ._aio import AsyncSession
from ._aio_client import AsyncClient
from ._blocking_cells import CallInfo, Cell, PausableCell, blocking
from ._loop_thread import LoopThread
from ._running import OnNotify, in_thread
from ._tools import Tool
from ._values import CellEvent, CellInfo, Notification, SessionInfo, SupervisorInfo


class Session:
    """A named group of cells, with the tools that they call in this host.

    The arguments are those of `AsyncSession`. Calls block, and Ctrl-C interrupts them without
    losing anything; tools and `on_notify` run in other threads meanwhile. Not thread-safe: one
    thread at a time, except that sync tools may call it.
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
        _asks.check_callback("on_notify", on_notify)
        self._thread = LoopThread()
        self._session = AsyncSession(
            name,
            tools=tools,
            on_notify=None if on_notify is None else _in_a_thread(on_notify),
            endpoint=endpoint,
            state=state,
            isolation=isolation,
            replay=replay,
            durability=durability,
            limits=limits,
            take_over=take_over,
            preload=preload,
            package_paths=package_paths,
        )

    def __enter__(self) -> Self:
        try:
            self.open()
        except BaseException:
            self._thread.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread.stopped:
            return
        try:
            self._thread.run(self._session.__aexit__(kind, error, trace))
        finally:
            self._thread.stop()

    @property
    def name(self) -> str:
        """The session's name; one that the supervisor chooses is known once it is open."""
        return self._session.name

    @property
    def isolation(self) -> str | None:
        """The isolation level of its cells; None before it is open."""
        return self._session.isolation

    @property
    def durability(self) -> str | None:
        """What the supervisor's commits survive: "power" or "crash"; None before it is open."""
        return self._session.durability

    @property
    def stored(self) -> Stored:
        """The session's stored values."""
        return Stored(self._thread, self._session)

    def open(self) -> None:
        """Open it now instead of at the first use. See `AsyncSession.open`."""
        self._thread.run(self._session.open())

    def detach(self) -> None:
        """Leave the session; its cells go on, and the next holder finds everything."""
        self._leave(self._session.detach)

    def close(self) -> None:
        """Terminate every unfinished cell of the session, and leave it."""
        self._leave(self._session.close)

    def _leave(self, leave: Callable[[], Any]) -> None:
        if self._thread.stopped:
            return
        try:
            self._thread.run(leave())
        finally:
            self._thread.stop()

    def create_cell(
        self,
        source: str | bytes,
        *,
        inputs: Mapping[str, object] | None = None,
        name: str | None = None,
        idempotency_key: str | None = None,
        limits: Limits | None = None,
        timeout: float | None = 10.0,
    ) -> Cell:
        """Make a continuing cell. See `AsyncSession.create_cell`."""
        making = self._session.create_cell(
            source,
            inputs=inputs,
            name=name,
            idempotency_key=idempotency_key,
            limits=limits,
            timeout=timeout,
        )
        return Cell(self._thread, self._thread.run(making))

    def create_pausable_cell(
        self,
        source: str | bytes,
        *,
        inputs: Mapping[str, object] | None = None,
        name: str | None = None,
        idempotency_key: str | None = None,
        limits: Limits | None = None,
        stepping: str = "drain",
        timeout: float | None = 10.0,
    ) -> PausableCell:
        """Make a pausable cell. See `AsyncSession.create_pausable_cell`."""
        making = self._session.create_pausable_cell(
            source,
            inputs=inputs,
            name=name,
            idempotency_key=idempotency_key,
            limits=limits,
            stepping=stepping,
            timeout=timeout,
        )
        return PausableCell(self._thread, self._thread.run(making))

    def cell(self, id: str, *, after: int | None = None) -> Cell | PausableCell:
        """A handle of a cell that exists. See `AsyncSession.cell`."""
        return blocking(self._thread, self._thread.run(self._session.cell(id, after=after)))

    def cells(
        self, *, state: str | None = None, limit: int = 100, before: str | None = None
    ) -> tuple[CellInfo, ...]:
        """The session's cells, newest first; `before` an id for the next page."""
        return self._thread.run(self._session.cells(state=state, limit=limit, before=before))

    def events(self, after: int | None = None) -> Iterator[CellEvent]:
        """Frontiers and ends of all its cells, without an end. See `AsyncSession.events`."""
        return self._thread.iterate(self._session.events(after))

    def calls(self) -> tuple[CallInfo, ...]:
        """Tool calls that somebody has to decide about: outcome unknown, or external."""
        return tuple(
            CallInfo(call.key, call.tool, call.arguments, call.unknown, self._thread, call)
            for call in self._thread.run(self._session.calls())
        )


class Stored:
    """A session's stored values. Each write is one transaction of its own."""

    def __init__(self, thread: LoopThread, session: AsyncSession) -> None:
        self._thread = thread
        self._stored = session.stored

    def get(self, key: str, default: Any = None) -> Any:
        """The value, as cells created now would read it."""
        return self._thread.run(self._stored.get(key, default))

    def set(self, key: str, value: Any) -> None:
        """Write plain data; in the journal when this returns."""
        self._thread.run(self._stored.set(key, value))

    def delete(self, key: str) -> None:
        """Remove a key; one that is not there is no error."""
        self._thread.run(self._stored.delete(key))

    def keys(self) -> tuple[str, ...]:
        """All keys, sorted."""
        return self._thread.run(self._stored.keys())


class Client:
    """A supervisor seen without a session: lists, and handles of cells that others made."""

    def __init__(self, state_or_endpoint: str | os.PathLike[str]) -> None:
        self._thread = LoopThread()
        self._client = AsyncClient(state_or_endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread.stopped:
            return
        try:
            self._thread.run(self._client.__aexit__(kind, error, trace))
        finally:
            self._thread.stop()

    def close(self) -> None:
        """Leave; nothing ends by it."""
        if self._thread.stopped:
            return
        try:
            self._thread.run(self._client.close())
        finally:
            self._thread.stop()

    def sessions(self) -> tuple[SessionInfo, ...]:
        """All sessions, by name."""
        return self._thread.run(self._client.sessions())

    def cells(
        self,
        *,
        session: str | None = None,
        state: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> tuple[CellInfo, ...]:
        """Cells of all sessions, or of one, newest first; `before` an id for the next page."""
        listing = self._client.cells(session=session, state=state, limit=limit, before=before)
        return self._thread.run(listing)

    def cell(self, id: str, *, after: int | None = None) -> Cell | PausableCell:
        """A handle of a cell. See `AsyncSession.cell`."""
        return blocking(self._thread, self._thread.run(self._client.cell(id, after=after)))

    def info(self) -> SupervisorInfo:
        """What the supervisor is."""
        return self._thread.run(self._client.info())

    def open(self) -> None:
        """Attach now.

        Raises:
            SupervisorUnavailableError: nobody answers.
        """
        try:
            self._thread.run(self._client.__aenter__())
        except BaseException:
            self._thread.stop()
            raise


def connect(state_or_endpoint: str | os.PathLike[str]) -> Client:
    """A client without a session, connected; close it, or use it as a context manager.

    Args:
        state_or_endpoint: a state directory, or `ipc:///path`.

    Raises:
        SupervisorUnavailableError: nobody answers there.
        ValueError: not an endpoint.
    """
    client = Client(state_or_endpoint)
    client.open()
    return client


def _in_a_thread(on_notify: OnNotify) -> OnNotify:
    """A sync callback must not hold up the loop that serves the session."""
    if inspect.iscoroutinefunction(on_notify):
        return on_notify

    async def call(notification: Notification) -> None:
        result = await in_thread(on_notify, notification)
        if inspect.isawaitable(result):
            await result

    return call
