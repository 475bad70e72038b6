"""What a session is apart from its cells: its name and level, and how it is opened and left."""

from __future__ import annotations

from collections.abc import Awaitable
from enum import Enum
from types import TracebackType
from typing import Any, Self

from ..protocol import values
from ..protocol.errors import TidemarkError
from ..protocol.host_answers import Attached, Done, KeysGiven, StoredGiven
from ..protocol.host_requests import CloseSession, Detach, StoredKeys
from . import _asks
from ._opening import Opening, log_failed_goodbye


class Leaving(Enum):
    """What the end of a session's block does."""

    CLOSE = "close"
    DETACH = "detach"


class AsyncMember:
    """A host's part in a session: opened at the first use, left once."""

    def __init__(self, opening: Opening, name: str, at_exit: Leaving) -> None:
        self._opening = opening
        self._asked_name = name
        self._at_exit = at_exit

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        leaving = self.detach() if self._at_exit is Leaving.DETACH else self.close()
        await leave_block(leaving, error)

    # -- what it is -------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The session's name; one that the supervisor chooses is known once it is open."""
        attached = self._attached
        return attached.session if attached else self._asked_name

    @property
    def isolation(self) -> str | None:
        """The isolation level of its cells; None before it is open."""
        attached = self._attached
        return attached.isolation if attached else None

    @property
    def durability(self) -> str | None:
        """What the supervisor's commits survive: "power" or "crash"; None before it is open."""
        attached = self._attached
        return attached.durability if attached else None

    @property
    def stored(self) -> AsyncStored:
        """The session's stored values."""
        return AsyncStored(self._opening)

    @property
    def _attached(self) -> Attached | None:
        connection = self._opening.connection
        return connection.core.attached if connection else None

    # -- its life ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open it now instead of at the first use.

        Raises:
            SessionHeldError: another host holds it.
            IsolationUnavailableError: the machine cannot give this level.
            SupervisorUnavailableError: no supervisor answers, or could be started.
        """
        await self._opening.opened()

    async def detach(self) -> None:
        """Leave the session; its cells go on, and the next holder finds everything."""
        await self._opening.leave(Detach())

    async def close(self) -> None:
        """Terminate every unfinished cell of the session, and leave it."""
        await self._opening.leave(CloseSession())


class AsyncStored:
    """A session's stored values. Each write is one transaction of its own."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening

    async def get(self, key: str, default: Any = None) -> Any:
        """The value, as cells created now would read it."""
        ask = _asks.stored_get(key)
        connection = await self._opening.opened()
        content = (await connection.ask(StoredGiven, ask)).content
        return default if content is None else values.decode(content)

    async def set(self, key: str, value: Any) -> None:
        """Write plain data; in the journal when this returns."""
        ask = _asks.stored_set(key, value)
        await (await self._opening.opened()).ask(Done, ask)

    async def delete(self, key: str) -> None:
        """Remove a key; one that is not there is no error."""
        ask = _asks.stored_delete(key)
        await (await self._opening.opened()).ask(Done, ask)

    async def keys(self) -> tuple[str, ...]:
        """All keys, sorted."""
        return (await (await self._opening.opened()).ask(KeysGiven, StoredKeys())).keys


async def leave_block(leaving: Awaitable[None], error: BaseException | None) -> None:
    """Leave; when the block has failed, its own error goes first."""
    try:
        await leaving
    except TidemarkError as failure:
        if error is None:
            raise
        log_failed_goodbye(failure)
