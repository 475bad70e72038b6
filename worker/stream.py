"""The worker's numbered stream: what has been said, and what the journal does not have yet.

A plain object without I/O, clock or threads, so that a simulator can drive it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Final

from ..protocol import limits
from ..protocol.weights import item_bytes
from ..protocol.worker_messages import Called, Finished, Item, Said

SAID_BYTES_MAX: Final = 8 * limits.MIB  # half a message: codes and lengths never make it too large
Ticks = tuple[tuple[int, int], ...]


class StreamClosed(Exception):
    """Something was said after `Finished`."""


class Stream:
    """Items become `Said` messages 1, 2, 3, ..., each kept until the journal has it.

    Attributes:
        epoch: that of the supervisor to which this worker listens; 0 before the first.
        said: the last seq that was used.
        have: the last seq that the journal is known to have.
        ignored: messages of another epoch that were dropped.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.said = 0
        self.have = 0
        self.ignored = 0
        self.closed = False
        self.pending_bytes = 0
        self.unacknowledged_bytes = 0
        self._pending: list[tuple[Item, int]] = []
        self._kept: deque[tuple[Said, int]] = deque()
        self._last_call = 0

    @property
    def unacknowledged(self) -> list[Said]:
        """What was said and the journal is not known to have, in order."""
        return [said for said, _ in self._kept]

    @property
    def pending(self) -> int:
        """How many items wait for the next message."""
        return len(self._pending)

    @property
    def last_call(self) -> int:
        """The number of the last tool call that was put into it; 0: none was."""
        for item, _ in reversed(self._pending):
            if type(item) is Called:
                return item.number
        return self._last_call

    @property
    def is_due(self) -> bool:
        """Whether enough is pending to be sent without waiting for more."""
        return self.pending_bytes >= limits.FLUSH_BYTES or len(self._pending) >= limits.FLUSH_ITEMS

    @property
    def is_full(self) -> bool:
        """Whether the cell must wait for the journal before it says more."""
        return (
            self.pending_bytes + self.unacknowledged_bytes >= limits.UNACKNOWLEDGED_BYTES_MAX
            or len(self._kept) >= limits.UNACKNOWLEDGED_MESSAGES_MAX
        )

    def add(self, item: Item) -> None:
        """Put an item behind all that was said before.

        Raises:
            StreamClosed: `Finished` has been added; nothing may follow it.
        """
        if self.closed:
            raise StreamClosed
        size = item_bytes(item)
        if isinstance(item, Finished):
            self.closed = True
        self._pending.append((item, size))
        self.pending_bytes += size

    def take(self, ticks: Ticks = (), readings: int = 0) -> Said | None:
        """The next message: pending items (as many as fit) and the clock's record; None: nothing.

        It counts as said from now on. Call again until None: one message may not hold everything.
        """
        while self._pending or ticks:
            count, size = self._fitting()
            items = tuple([item for item, _ in self._pending[:count]])
            said = Said(self.epoch, self.said + 1, ticks, items, readings)
            kept = (said, size)
            call = max((item.number for item in items if type(item) is Called), default=0)
            # A finalizer or signal handler of the cell can have spoken in the lines above, on
            # this very thread; then these items have gone out under that number. From here on
            # nothing is made, so that no finalizer runs.
            if said.seq != self.said + 1:
                continue
            self.said += 1
            self._last_call = call or self._last_call
            self._kept.append(kept)
            del self._pending[:count]
            self.pending_bytes -= size
            self.unacknowledged_bytes += size
            return said
        return None

    def _fitting(self) -> tuple[int, int]:
        count = total = 0
        for _, size in self._pending[: limits.FLUSH_ITEMS]:
            if count and total + size > SAID_BYTES_MAX:
                break
            count, total = count + 1, total + size
        return count, total

    def accepts(self, epoch: int) -> bool:
        """Whether a message of this epoch is for us; if not it is counted and must be dropped."""
        if epoch != self.epoch:
            self.ignored += 1
        return epoch == self.epoch

    def follows(self, epoch: int) -> bool:
        """Like `accepts`, for the messages by which a newer supervisor takes over."""
        if epoch < self.epoch:
            self.ignored += 1
        return epoch >= self.epoch

    def acknowledged(self, have: int) -> None:
        """The journal has all up to seq `have`; an older acknowledgement changes nothing.

        Raises:
            ValueError: it has more than was said.
        """
        if have > self.said:
            raise ValueError(f"acknowledged up to {have}, but only {self.said} were said")
        self.have = max(self.have, have)
        while self._kept and self._kept[0][0].seq <= have:
            self.unacknowledged_bytes -= self._kept.popleft()[1]

    def adopt(self, epoch: int, have: int) -> list[Said]:
        """Speak to this supervisor from now on; returns what must be said to it again.

        Raises:
            ValueError: it has more than was said, or less than was acknowledged before.
        """
        if have < self.have:
            raise ValueError(f"a journal that has {have}, after one that had {self.have}")
        self.acknowledged(have)
        if epoch != self.epoch:
            self.epoch = epoch
            self._kept = deque((replace(said, epoch=epoch), size) for said, size in self._kept)
        return self.unacknowledged
