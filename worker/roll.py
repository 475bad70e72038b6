"""The roll of a zygote's living workers, by their tokens and by their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .child import Child
from .vault import Vault

NO_PLACE: Final = -1


class Roll:
    """Who lives, oldest first.

    A worker has the memory of its zygote, and who knows a token can speak as its worker. So tokens
    are kept in a vault, and children are found by hashes of them.
    """

    def __init__(self) -> None:
        self._by_token: dict[int, Child] = {}
        self._by_pid: dict[int, Child] = {}
        self._tokens = Vault()

    def __iter__(self) -> Iterator[Child]:
        return iter(list(self._by_token.values()))

    def __len__(self) -> int:
        return len(self._by_token)

    def reserve(self, token: bytes) -> int:
        """The place of a token whose worker is about to be forked. Raises OSError: no memory."""
        return self._tokens.keep(token)

    def give_up(self, place: int) -> None:
        """It could not be forked."""
        if place != NO_PLACE:
            self._tokens.forget(place)

    def add(self, token: bytes, child: Child) -> None:
        """A worker has been forked; its place was reserved."""
        self._by_token[hash(token)] = self._by_pid[child.pid] = child

    def find(self, token: bytes) -> Child | None:
        """The living worker with this token."""
        child = self._by_token.get(hash(token))
        return child if child is not None and self.token_of(child) == token else None

    def of_pid(self, pid: int) -> Child | None:
        """The living worker with this number."""
        return self._by_pid.get(pid)

    def token_of(self, child: Child) -> bytes:
        """The token of a living worker."""
        return self._tokens.read(child.place)

    def strike(self, child: Child) -> bytes:
        """It has ended; returns the token that it had."""
        token = self.token_of(child)
        del self._by_token[hash(token)], self._by_pid[child.pid]
        self._tokens.forget(child.place)
        return token
