"""How a session or client comes to its connection, and leaves it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Final

from ..protocol.errors import (
    SessionTakenError,
    ShuttingDownError,
    SupervisorUnavailableError,
    TidemarkError,
)
from ._launch import (
    Found,
    Started,
    StartedPrivate,
    find,
    find_or_start,
    process_started_ns,
    start_private,
    use_endpoint,
)
from ._running import OnNotify, in_joined_thread, in_thread

if TYPE_CHECKING:
    from ..protocol.host_requests import CloseSession, Detach, SessionAsk
    from ._connection import Connection
    from ._tools import OfferedTool

_LOG: Final = logging.getLogger("tidemark")
_LEAVE_SECONDS_MAX: Final = 10.0
# A supervisor may end between being found and being asked; then another one is found or started.
_ROUNDS: Final = 3
_TOKEN_BYTES: Final = 16

Launch = Callable[[], Found | Started]


def launch_of(
    state: str | os.PathLike[str] | None, endpoint: str | None, durability: str | None
) -> Launch:
    """How a session with these arguments finds its supervisor.

    Raises:
        TypeError, ValueError: arguments that do not go together.
    """
    if durability not in (None, "power", "crash"):
        raise ValueError(f"durability must be 'power' or 'crash', not {durability!r:.40}")
    if state is not None and endpoint is not None:
        raise ValueError("give state or endpoint, not both: an endpoint has its own state")
    if endpoint is not None:
        return partial(Found, use_endpoint(endpoint).endpoint)
    if state is not None:
        return partial(find_or_start, os.fspath(state), durability)
    return partial(start_private, durability)


def launch_for_client(state_or_endpoint: str | os.PathLike[str]) -> Launch:
    """How a client without a session finds the supervisor that it names."""
    place = os.fspath(state_or_endpoint)
    if "://" in place:
        return partial(Found, use_endpoint(place).endpoint)
    return partial(find, place)


class Opening:
    """One life on a supervisor: opened at the first use, left once.

    Args:
        launch: finds or starts the supervisor; blocking.
        session: what to open there; None to open no session.
        tools: by name.
    """

    def __init__(
        self,
        launch: Launch,
        session: SessionAsk | None,
        tools: dict[str, OfferedTool],
        on_notify: OnNotify | None,
    ) -> None:
        self._launch = launch
        self._session = session
        self._tools = tools
        self._on_notify = on_notify
        self._lock = asyncio.Lock()
        self._supervisor: Found | Started | None = None
        self._connection: Connection | None = None
        self._left = False

    @property
    def connection(self) -> Connection | None:
        """The connection, if it has been opened and not been left."""
        return self._connection

    @property
    def session_name(self) -> str:
        """The name of the session that was opened; empty without one, or before."""
        attached = self._connection.core.attached if self._connection else None
        return attached.session if attached else ""

    async def opened(self) -> Connection:
        """The connection, opened now if this is the first use.

        Raises:
            ValueError: it has been left.
            TidemarkError: no supervisor, or it refuses.
        """
        if self._connection is not None:
            return self._connection
        async with self._lock:
            if self._left:
                raise ValueError("this session has been closed; open a new one")
            if self._connection is None:
                self._connection = await self._open()
        return self._connection

    async def _open(self) -> Connection:
        for left in reversed(range(_ROUNDS)):
            supervisor = await self._launched()
            try:
                return await self._attached(supervisor)
            except BaseException as error:
                if isinstance(supervisor, StartedPrivate):
                    await in_joined_thread(supervisor.end)
                gone = isinstance(error, (ShuttingDownError, SupervisorUnavailableError))
                if not (gone and left) or isinstance(supervisor, StartedPrivate):
                    raise
                if getattr(self._launch, "func", None) is Found:
                    raise  # an endpoint names one supervisor: there is no other to be found
        raise AssertionError("the last round raises or returns")

    async def _launched(self) -> Found | Started:
        launching = _Launching(self._launch)
        try:
            # What the connection needs is imported while the supervisor starts.
            launched, _ = await asyncio.gather(
                in_joined_thread(launching.run),
                in_thread(import_module, "._connection", __package__),
            )
            return launched
        except BaseException:
            launching.abandon()
            raise

    async def _attached(self, supervisor: Found | Started) -> Connection:
        from ._attachment import Identity
        from ._connection import Connection
        from ._core import HostCore

        pid = os.getpid()
        identity = Identity(
            os.urandom(_TOKEN_BYTES), pid, socket.gethostname(), process_started_ns(pid)
        )
        core = HostCore(identity, self._session)
        connection = Connection(supervisor.endpoint, core, self._tools, self._on_notify)
        if isinstance(supervisor, StartedPrivate):
            loop = asyncio.get_running_loop()
            supervisor.on_end(lambda why: _tell_end(loop, connection, why))
        try:
            await connection.open()
        except BaseException:
            await connection.close()
            raise
        self._supervisor = supervisor
        return connection

    async def leave(self, ask: CloseSession | Detach) -> None:
        """Say this, then let everything go. What was not opened is only marked as left.

        Raises:
            SupervisorUnavailableError: nobody answered; what it does about the cells is not known.
        """
        self._left = True
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            await _say_goodbye(connection, ask)
        finally:
            supervisor = self._supervisor
            if isinstance(supervisor, StartedPrivate):
                supervisor.cut()  # at once, also when this is being cancelled
            try:
                await connection.close()
            finally:
                if isinstance(supervisor, StartedPrivate):
                    await in_joined_thread(supervisor.end)


class _Launching:
    """A launch that may be given up while its thread is at work: then its supervisor is ended."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._lock = threading.Lock()
        self._abandoned = False
        self._launched: Found | Started | None = None

    def run(self) -> Found | Started:
        """For the thread; blocks until the supervisor is there."""
        launched = self._launch()
        with self._lock:
            self._launched = launched
            abandoned = self._abandoned
        if abandoned:
            launched.end()
        return launched

    def abandon(self) -> None:
        """Nobody will use what comes of it. Does not block."""
        with self._lock:
            self._abandoned = True
            launched = self._launched
        if launched is not None:
            threading.Thread(target=launched.end, name="tidemark-abandoned").start()


async def _say_goodbye(connection: Connection, ask: CloseSession | Detach) -> None:
    from ..protocol.host_answers import Done
    from ..protocol.host_requests import Detach

    lost = connection.core.lost
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


def _tell_end(loop: asyncio.AbstractEventLoop, connection: Connection, why: str) -> None:
    error = SupervisorUnavailableError(f"{why}; its cells are gone with it: open a new session")
    try:
        loop.call_soon_threadsafe(connection.fail, error)
    except RuntimeError:
        return  # the loop has been closed: nobody waits any more


def log_failed_goodbye(error: TidemarkError) -> None:
    """Leaving failed while another error is on its way to the caller, who gets that one."""
    _LOG.warning("the session could not be left properly: %s", error)
