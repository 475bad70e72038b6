"""What hearing each worker costs the supervisor, so that none of them takes the others' time.

A message may cost a microsecond or many milliseconds, and which is for the whole supervisor to
say: so the time of each turn, up to the next one, is measured and divided among those that were
heard in it. While only one worker has anything to say nobody rests.
"""

from __future__ import annotations

from typing import Final

from ...protocol import limits
from .connection import Connection

SHARED_SECONDS: Final = 0.1  # how long somebody else is taken to have more to say
# With two that are busy each can have half; who wants more of it is the one that rests.
SHARE: Final = 0.5
IDLE_SECONDS: Final = 0.0002  # what it takes to be woken for nothing
BURST_SECONDS: Final = 0.02
REST_SECONDS_MAX: Final = 2.0  # one turn that took long for another reason starves nobody
WEIGHT_BYTES: Final = 2 * limits.KIB  # of messages, that cost as much as one more of them


class WorkerCosts:
    """Who has cost how much, and who rests until when."""

    def __init__(self) -> None:
        self._began = 0.0
        self._heard: dict[Connection, float] = {}
        self._others = 0.0  # the weight of what was not a worker's
        self._last: Connection | None = None
        self._shared_until = 0.0
        self._resting: dict[Connection, float] = {}

    def begin(self, now: float) -> None:
        """A turn begins: what the last one has cost is known."""
        if self._heard:
            total = self._others + sum(self._heard.values())
            cost = now - self._began
            for connection, weight in self._heard.items():
                since = max(connection.paid_until, self._began - BURST_SECONDS)
                connection.paid_until = since + cost * weight / total / SHARE
                if connection.paid_until > now and self.is_shared(now):
                    self._resting[connection] = min(connection.paid_until, now + REST_SECONDS_MAX)
            self._heard.clear()
        self._others = 0.0
        self._began = now

    def end_idle(self, now: float) -> None:
        """The turn has found nothing for anybody to decide: what comes after it costs nothing."""
        if self._heard:
            self.begin(max(now, self._began + IDLE_SECONDS))

    def heard(self, connection: Connection, count: int, size: int) -> None:
        """This connection was heard in this turn: so many messages with their items, and bytes."""
        if self._last is not connection:
            if self._last is not None:
                self._shared_until = self._began + SHARED_SECONDS
            self._last = connection
        self._heard[connection] = 1 + count + size / WEIGHT_BYTES

    def heard_others(self, count: int) -> None:
        """So many messages of hosts were heard in this turn."""
        self._others += count

    def is_shared(self, now: float) -> bool:
        """Whether several workers have had something to say lately."""
        return now < self._shared_until

    def rests(self, connection: Connection) -> bool:
        """Whether nothing of it may be heard now."""
        return connection in self._resting

    def rested(self, now: float) -> list[Connection]:
        """Those whose rest is over; all of them when nobody else has anything to say."""
        shared = self.is_shared(now)
        rested = [each for each, until in self._resting.items() if until <= now or not shared]
        for connection in rested:
            del self._resting[connection]
        return rested

    def next_rested(self) -> float | None:
        """When the next rest is over, in seconds of the monotonic clock."""
        if not self._resting:
            return None
        return min(self._shared_until, *self._resting.values())

    def forget(self, connection: Connection) -> None:
        """The connection is no more."""
        self._resting.pop(connection, None)
        self._heard.pop(connection, None)
        self._last = None if self._last is connection else self._last
