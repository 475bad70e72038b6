"""Whose connection is whose: a token is bound to one connection, and is its only authority."""

from __future__ import annotations

from collections.abc import Callable

from ...protocol.ids import TOKEN_BYTES
from ...protocol.zmtp import Ready
from .connection import Connection


class Stranger(Exception):
    """A connection that says it is somebody whom nobody expects."""


class WorkerTokens:
    """The connections that have said who they are.

    Attributes:
        admits: which tokens are expected; until it is set, every one is.
    """

    def __init__(self) -> None:
        self.admits: Callable[[bytes], bool] = _everybody
        self._tokens: dict[bytes, Connection] = {}
        self._pids: dict[int, Connection] = {}

    def of_token(self, token: bytes) -> Connection | None:
        """Who has this token."""
        return self._tokens.get(token)

    def of_process(self, pid: int) -> Connection | None:
        """The connection of a process, if it is a worker's."""
        return self._pids.get(pid)

    def bind(self, connection: Connection, ready: Ready) -> Connection | None:
        """Bind a connection to the token that it brings; the one that it replaces, if any.

        The first connection with a token keeps it: who comes second, while the first lives, has the
        token from elsewhere. A worker that lost its connection has closed it.

        Raises:
            Stranger: it gets nothing.
        """
        token = ready.identity
        if ready.socket_type != b"DEALER" or len(token) != TOKEN_BYTES or not self.admits(token):
            raise Stranger
        first = self._tokens.get(token)
        if first is not None and not first.is_gone():
            raise Stranger
        connection.token = token
        self._tokens[token] = connection
        self._pids[connection.pid] = connection
        return first

    def unbind(self, connection: Connection) -> None:
        """This connection is no more."""
        if self._tokens.get(connection.token) is connection:
            del self._tokens[connection.token]
        if self._pids.get(connection.pid) is connection:
            del self._pids[connection.pid]


def _everybody(token: bytes) -> bool:
    return True
