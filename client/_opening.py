"""How a session or client comes to its connection, and leaves it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from importlib import import_module
from typing import TYPE_CHECKING, Final

from ..protocol.errors import (
    SessionTakenError,
    ShuttingDownError,
    SupervisorUnavailableError,
    TidemarkError,
)
from ._launch import Found, Started, process_started_ns
from ._places import EndpointPlace, PrivatePlace, StatePlace
from ._running import OnNotify, in_joined_thread, in_thread

if TYPE_CHECKING:
    from ..protocol.host_requests import CloseSession, Detach, SessionAsk
    from ._connection import Connection
    from ._tools import OfferedTool

_LOG: Final = logging.getLogger("tidemark")
_LEAVE_SECONDS_MAX: Final = 10.0
# A supervisor may end between being found and being asked; then another one is found or started.
_ROUNDS: Final = 3
_DRAINED_SECONDS: Final = 0.6  # a supervisor that is ending has ended by then
_TOKEN_BYTES: Final = 16
_CLOSED: Final = "this session has been closed; open a new one"


class Opening:
    """One life on a supervisor: opened at the first use, left once.

    Args:
        place: where the supervisor is.
        session: what to open there; None to open no session.
        tools: by name.
    """

    def __init__(
        self,
        place: EndpointPlace | StatePlace | PrivatePlace,
        session: SessionAsk | None,
        tools: dict[str, OfferedTool],
        on_notify: OnNotify | None,
    ) -> None:
        self._place = place
        self._session = session
        self._tools = tools
        self._on_notify = on_notify
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self._leaving: CloseSession | Detach | None = None

    @property
    def connection(self) -> Connection | None:
        """The connection, if it has been opened and not been left."""
        return self._connection

    @property
    def session_name(self) -> str:
        """The name of the session that was opened; empty without one, or before."""
        attached = self._connection.core.attached if self._connection else None
        return attached.session if attached else ""

    @property
    def _is_left(self) -> bool:
        return self._leaving is not None

    async def opened(self) -> Connection:
        """The connection, opened now if this is the first use.

        Raises:
            ValueError: it has been left, perhaps while this opened it.
            TidemarkError: no supervisor, or it refuses.
        """
        if self._connection is not None:
            return self._connection
        async with self._lock:
            if self._is_left:
                raise ValueError(_CLOSED)
            if self._connection is None:
                connection = await self._open()
                if self._leaving is not None:  # set meanwhile; nobody else has this connection
                    await self._let_go(connection, self._leaving)
                    raise ValueError(_CLOSED)
                self._connection = connection
        return self._connection

    async def _open(self) -> Connection:
        try:
            return await self._opened_soon()
        except BaseException:
            place = self._place
            if isinstance(place, PrivatePlace):
                self._place = PrivatePlace(place.kind)  # opening may be tried again
                await in_joined_thread(place.end)
            raise

    async def _opened_soon(self) -> Connection:
        for left in reversed(range(_ROUNDS)):
            supervisor = await self._launched()
            try:
                return await self._attached(supervisor)
            except (ShuttingDownError, SupervisorUnavailableError) as error:
                if not left or not isinstance(self._place, StatePlace):
                    raise  # there is no other to be found
                if isinstance(error, ShuttingDownError):
                    await asyncio.sleep(_DRAINED_SECONDS)
        raise AssertionError("the last round raises or returns")

    async def _launched(self) -> Found | Started:
        # What the connection needs is imported while the supervisor starts.
        launched, _ = await asyncio.gather(
            in_joined_thread(self._place.launch),
            in_thread(import_module, "._connection", __package__),
        )
        return launched

    async def _attached(self, supervisor: Found | Started) -> Connection:
        from ._attachment import Identity
        from ._connection import Connection
        from ._core import HostCore

        pid = os.getpid()
        identity = Identity(
            os.urandom(_TOKEN_BYTES), pid, socket.gethostname(), process_started_ns(pid)
        )
        core = HostCore(identity, self._session)
        place = None if isinstance(self._place, EndpointPlace) else self._place
        connection = Connection(supervisor.endpoint, core, self._tools, self._on_notify, place)
        try:
            await connection.open()
        except BaseException:
            await connection.close()
            raise
        return connection

    async def leave(self, ask: CloseSession | Detach) -> None:
        """Say this, then let everything go. What was not opened is only marked as left.

        While another task opens it, this waits until that one has let go of everything.

        Raises:
            SupervisorUnavailableError: nobody answered; what it does about the cells is not known.
        """
        self._leaving = ask
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._let_go(connection, ask)
            return
        async with self._lock:
            if isinstance(self._place, PrivatePlace):  # it may have been launched ahead
                await in_joined_thread(self._place.end)

    async def _let_go(self, connection: Connection, ask: CloseSession | Detach) -> None:
        try:
            if not (isinstance(self._place, PrivatePlace) and connection.is_down):
                await _say_goodbye(connection, ask)
        finally:
            if isinstance(self._place, PrivatePlace):
                self._place.cut()  # at once, also when this is being cancelled
            try:
                await connection.close()
            finally:
                if isinstance(self._place, PrivatePlace):
                    await in_joined_thread(self._place.end)


async def _say_goodbye(connection: Connection, ask: CloseSession | Detach) -> None:
    from ..protocol.host_answers import Done
    from ..protocol.host_requests import Detach

    lost = connection.core.lost
    if connection.is_over:
        return  # there is nobody to say it to
    if isinstance(lost, SessionTakenError):
        ask = Detach()  # another host has it now: there is nothing of ours to close
    elif lost is not None:
        return
    try:
        await connection.ask(Done, ask, _LEAVE_SECONDS_MAX)
    except TimeoutError:
        raise SupervisorUnavailableError(
            f"the supervisor did not answer within {_LEAVE_SECONDS_MAX:g} s; it ends this host's "
            "part when it notices that this process has ended"
        ) from None
    except SessionTakenError:
        return


def log_failed_goodbye(error: TidemarkError) -> None:
    """Leaving failed while another error is on its way to the caller, who gets that one."""
    _LOG.warning("the session could not be left properly: %s", error)
