"""Who may be in the middle of a large message: a few at a time, so that their sum is bounded."""

from __future__ import annotations

from typing import Final

from ...protocol import limits
from .connection import Connection

LARGE_BYTES: Final = 192 * limits.KIB  # what anybody may have under way
AT_ONCE: Final = 2  # of `MESSAGE_BYTES_MAX` each
SECONDS_MAX: Final = 30.0  # for one, while somebody waits for its place


class LargeMessages:
    """Places for connections that have sent much of a message and not its end."""

    def __init__(self) -> None:
        self._placed: dict[Connection, float] = {}
        self._waiting: dict[Connection, None] = {}

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for a place."""
        return bool(self._waiting)

    def must_wait(self, connection: Connection) -> bool:
        """Whether nothing more may be read of this connection for now."""
        return connection in self._waiting

    def weigh(self, connection: Connection, now: float) -> list[Connection]:
        """Note how much is kept of a connection; those for whom this changes something."""
        if connection.incoming.held <= LARGE_BYTES:
            return self._leave(connection, now) if self._placed else []
        if connection in self._placed or connection in self._waiting:
            return []
        if len(self._placed) < AT_ONCE:
            self._placed[connection] = now
            return []
        self._waiting[connection] = None
        return [connection]

    def dropped(self, connection: Connection, now: float) -> list[Connection]:
        """The connection is no more; those who may go on in its place."""
        self._waiting.pop(connection, None)
        return self._leave(connection, now)

    def _leave(self, connection: Connection, now: float) -> list[Connection]:
        if self._placed.pop(connection, None) is None or not self._waiting:
            return []
        following = next(iter(self._waiting))
        del self._waiting[following]
        self._placed[following] = now
        return [following]

    def late(self, now: float) -> list[Connection]:
        """Those who have kept others waiting for too long."""
        if not self._waiting:
            return []
        return [each for each, since in self._placed.items() if now - since >= SECONDS_MAX]
