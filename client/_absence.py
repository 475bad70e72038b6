"""What a host does while its supervisor is gone: wait for one, or see to a successor itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from ..protocol.errors import SupervisorUnavailableError, TidemarkError
from ._core import HostCore
from ._failures import connection_lost, no_successor, none_stayed
from ._launch import Found, Started
from ._places import GoneForGood, Succeeded
from ._running import in_joined_thread

# A supervisor that is being replaced is back long before this.
DOWN_SECONDS_MAX: Final = 30.0
STARTS_MAX: Final = 5
_BACKOFF_SECONDS: Final = 0.1
_LOOK_AGAIN_SECONDS: Final = 1.0
_SETTLE_SECONDS: Final = 0.25
# After so long what is held here, as a tool's result, is reason enough to try once more.
_TRY_AGAIN_SECONDS: Final = 30.0


class Shell(Protocol):
    """The connection, as those see it who bring it a supervisor."""

    endpoint: str
    core: HostCore

    def move(self, endpoint: str) -> None:
        """Connect to this endpoint from now on."""

    def give_up(self, error: TidemarkError) -> None:
        """Give what waits this error; what is asked later may be answered again."""

    def fail(self, error: TidemarkError) -> None:
        """Nothing will be answered any more."""


class Absence(Protocol):
    """The supervisor's absence, as the connection sees it."""

    @property
    def is_down(self) -> bool:
        """Whether the connection has been lost and is not there again."""

    def begun(self) -> None:
        """The connection is down."""

    def ended(self) -> bool:
        """It is up again. Whether it was down until now."""

    def somebody_waits(self) -> None:
        """There is something to ask."""

    def attached(self) -> None:
        """The supervisor has answered: it is one that stays."""

    def close(self) -> None:
        """Nobody waits for a supervisor any more."""


class Patience:
    """Waits for whoever sees to the endpoint, 30 s while there is something to ask."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.is_down = False
        self._timer: asyncio.TimerHandle | None = None

    def begun(self) -> None:
        self.is_down = True
        if self._shell.core.waits:
            self.somebody_waits()

    def ended(self) -> bool:
        was_down = self.is_down
        self.close()
        return was_down

    def somebody_waits(self) -> None:
        if self.is_down and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(DOWN_SECONDS_MAX, self._expired)

    def attached(self) -> None:
        """That it is up was enough."""

    def close(self) -> None:
        self.is_down = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expired(self) -> None:
        self._timer = None
        self._shell.give_up(connection_lost(self._shell.endpoint, DOWN_SECONDS_MAX))


class Succession:
    """Finds or starts the successor, and moves the connection to it.

    One that was killed is replaced at once. One that was ended on purpose is not, until there is
    something to ask.
    """

    def __init__(self, shell: Shell, place: Succeeded) -> None:
        self._shell, self._place = shell, place
        self.is_down = False
        self._starts = 0
        self._latest: Found | Started | None = None
        self._waiting_since: float | None = None
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begun(self) -> None:
        self.is_down = True
        self._news.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._succeed())

    def ended(self) -> bool:
        was_down, self.is_down = self.is_down, False
        self._news.set()
        return was_down

    def somebody_waits(self) -> None:
        if self.is_down:
            self._news.set()

    def attached(self) -> None:
        self._starts = 0

    def close(self) -> None:
        self.is_down = False
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _succeed(self) -> None:
        self._waiting_since = None
        while self.is_down:
            try:
                await self._one_try()
            except GoneForGood as error:
                self._shell.fail(error)
                return
            except TidemarkError as error:
                self._starts = 0
                self._shell.give_up(error)
                self._waiting_since = None
                await self._pause(_TRY_AGAIN_SECONDS)

    async def _one_try(self) -> None:
        """Look for a supervisor, or start one, and give the connection a moment to find it.

        Raises:
            TidemarkError: no further try would do better.
        """
        self._news.clear()
        waits = self._shell.core.waits
        if not waits:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = asyncio.get_running_loop().time()
        found = await self._had(self._place.succeed if waits else self._place.look)
        if not self.is_down:
            return
        if found is None:
            await self._pause(_LOOK_AGAIN_SECONDS)
            return
        is_new = isinstance(found, Started) and found is not self._latest
        self._latest = found
        self._starts += is_new
        if is_new or found.endpoint != self._shell.endpoint:
            self._shell.move(found.endpoint)
        await self._pause(_SETTLE_SECONDS)
        if self.is_down and self._waiting_since is not None:
            waited = asyncio.get_running_loop().time() - self._waiting_since
            if waited > DOWN_SECONDS_MAX:
                raise connection_lost(self._shell.endpoint, DOWN_SECONDS_MAX)

    async def _had(self, way: Callable[[], Found | Started | None]) -> Found | Started | None:
        """What this way to a supervisor gives; one that did not come up counts as started.

        Raises:
            TidemarkError: it is no use, or has been tried often enough.
        """
        if self._starts >= STARTS_MAX:
            words = await in_joined_thread(self._place.last_words)
            raise none_stayed(self._starts, words)
        if self._starts:
            await asyncio.sleep(_BACKOFF_SECONDS * 2**self._starts)
        try:
            return await in_joined_thread(way)
        except GoneForGood:
            raise
        except SupervisorUnavailableError:
            self._starts += 1
            if self._starts >= STARTS_MAX:
                raise
        except (OSError, RuntimeError) as error:  # no descriptor, process or thread to be had
            self._starts += 1
            if self._starts >= STARTS_MAX:
                raise no_successor(error) from error
        return None

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
