"""The cell's clock: the supervisor's clock, read in one place and recorded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from . import real

TICK_NS: Final = 1_000_000
STEP_NS: Final = 500  # seconds since 1970 in a float are only true to half of that
STEPS_MAX: Final = 500  # so that steps never run ahead of real time by more than 0.25 ms
TICKS_CROWDED: Final = 4_096  # send them before one message has to hold too many
COLLECTED: Final = 0  # in place of a time: at this handover garbage was collected
Ticks: TypeAlias = tuple[tuple[int, int], ...]


class CellClock:
    """Rises with every reading, is true to 1 ms, and remembers each jump.

    A reading shows the real time only when at least 1 ms has gone by since the last one, and that
    is recorded; otherwise it shows a step more than the last. So few records tell what every
    reading showed. The handover of an input is counted like a reading, and whether garbage was
    collected there is recorded in the same way.

    The record of an earlier life can be given: then readings show what they showed in that one, as
    far as the record goes, and real time after it.

    Only the thread that made the clock has readings of its own. Others see real time, which no
    record tells.

    Attributes:
        on_crowded: called when so much is recorded that it should be sent.
        on_foreign: called, with why the cell cannot be replayed, when another thread reads.
    """

    def __init__(
        self,
        now_ns: int,
        monotonic_ns: int,
        began_ns: int,
        recorded: Mapping[int, int] | None = None,
        readings: int = 0,
    ) -> None:
        """Begin at `began_ns`, with the record of earlier lives up to their last reading.

        The first two are one reading of both clocks: ns since 1970, and CLOCK_MONOTONIC.
        """
        self._offset_ns = now_ns - monotonic_ns
        self.began_ns = began_ns
        self._recorded = recorded or {}
        self._recorded_upto = max(readings, *self._recorded, 0)
        # One value, because the link's thread looks at it at any time.
        self._shown = (0, self.began_ns)
        self._jumped = 0
        self._ticks: deque[tuple[int, int]] = deque()
        self._thread: int | None = threading.get_ident()
        self.on_crowded: Callable[[], None] = lambda: None
        self.on_foreign: Callable[[str], None] = lambda _: None

    def reading(self) -> int:
        """The cell's time, in ns since 1970."""
        if threading.get_ident() != self._thread:
            return self._foreign_reading()
        number, last_ns = self._shown
        number += 1
        is_live = number > self._recorded_upto
        if is_live:
            shown_ns = real.monotonic_ns() + self._offset_ns
        else:
            shown_ns = self._recorded.get(number, 0)
        if shown_ns < last_ns + TICK_NS:
            shown_ns = last_ns + (STEP_NS if number - self._jumped <= STEPS_MAX else 1)
            self._shown = (number, shown_ns)
            return shown_ns
        self._jumped = number
        if is_live:
            self._ticks.append((number, shown_ns))
        self._shown = (number, shown_ns)
        if len(self._ticks) >= TICKS_CROWDED:
            self.on_crowded()
        return shown_ns

    def hand_over(self, to_ns: int, is_due: Callable[[], bool]) -> bool:
        """An input that came at `to_ns` is handed over: the next reading shows at least this.

        Returns whether to collect garbage now: when `is_due` says so, or when an earlier life did.
        """
        number, last_ns = self._shown
        number += 1
        if number <= self._recorded_upto:
            collects = self._recorded.get(number) == COLLECTED
        elif collects := is_due():
            self._ticks.append((number, COLLECTED))
        self._shown = (number, max(last_ns, to_ns))
        return collects

    def now_ns(self) -> int:
        """The time now, in ns since 1970; not a reading."""
        return max(self._shown[1], real.monotonic_ns() + self._offset_ns)

    def release(self) -> None:
        """This is a copy of the process, which nobody replays: show real time, record nothing."""
        self._thread = None

    @property
    def is_crowded(self) -> bool:
        """Whether the ticks should be sent even if there is nothing else to say."""
        return len(self._ticks) >= TICKS_CROWDED

    def drain(self) -> tuple[Ticks, int]:
        """What was recorded since the last call, and the number of the last reading.

        To be called by whoever has the link's lock. A later life must know how far this one came
        before it shows real time again.
        """
        ticks = []
        while self._ticks:
            try:
                ticks.append(self._ticks.popleft())
            except IndexError:  # a signal handler of the cell has spoken in between
                break
        return tuple(ticks), self._shown[0]

    def _foreign_reading(self) -> int:
        # Standing still would hang who waits for a time to come.
        if self._thread is not None:
            self.on_foreign("the clock in another thread")
        return self.now_ns()
