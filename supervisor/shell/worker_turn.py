"""One worker's turn: what it has said, as events, as far as its share reaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...protocol import codec, limits
from ...protocol.classes import dataclass
from ...protocol.worker_messages import Fetch, Said
from ...protocol.zmtp import Ping, Ready
from ..core.events import FleetEvent, WorkerSpoke
from .connection import Connection

SCRATCH_BYTES: Final = 64 * limits.KIB


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a worker is heard in one turn."""

    messages: int
    size: int
    items: int  # of what they say: each is decided by itself


# Alone, a worker gets more done for each commit; when others wait, a beat is what they wait for.
# In items there is no difference: who speaks now and then must not find the other alone each time.
ALONE: Final = Share(32, 256 * limits.KIB, 200)
SHARED: Final = Share(3, 64 * limits.KIB, 200)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a turn took: messages, bytes, items of messages; and whether more may be here."""

    messages: int
    size: int
    items: int
    has_more: bool


class Listener:
    """Gives turns; `welcome` is called for each READY, and may raise."""

    def __init__(self, welcome: Callable[[Connection, Ready], None]) -> None:
        self._welcome = welcome
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))

    def hear(
        self, connection: Connection, share: Share, most: int, events: list[FleetEvent]
    ) -> Heard:
        """Append what the connection says to `events`, up to `most` in all.

        All that is left of one that has hung up is heard, whatever its share: the kernel keeps no
        more than a socket's buffer, and it must be heard before the worker's end is.

        Raises:
            Violation, BadFrame: it has said what no honest worker says; `events` has what it said
                before.
        """
        last_words = connection.hung_up
        allowed = most if last_words else share.messages
        taken, read, items, is_empty = 0, 0, 0, connection.ended
        while taken < allowed and len(events) < most:
            found = connection.incoming.take()
            if found is None:
                if is_empty or (read >= share.size and not last_words):
                    return Heard(taken, read, items, has_more=False)
                count = connection.receive(self._scratch)
                read += count
                # Less than was asked for: the rest, if any, is reported by the next poll.
                is_empty = count < SCRATCH_BYTES and not (last_words and count)
                continue
            taken += 1
            if isinstance(found, tuple):
                message = codec.FROM_WORKER.decode(found)
                events.append(WorkerSpoke(connection.token, message))
                items += len(message.items) if isinstance(message, Said) else 0
                # What it fetches may be large.
                if (isinstance(message, Fetch) or items >= share.items) and not last_words:
                    break
            elif isinstance(found, Ready):
                self._welcome(connection, found)
            elif isinstance(found, Ping):
                connection.answer(found.pong)
        return Heard(taken, read, items, has_more=True)
