"""The thread that answers the supervisor while the cell is busy.

A step that takes less than `PATIENCE_NS` never wakes it: when the cell's thread goes back to its
code it sets an alarm, and calls it off when it listens again.
"""

from __future__ import annotations

import _thread
import os
import select
import sys
import traceback
from enum import Enum
from typing import TYPE_CHECKING, Final

from ..protocol import limits
from .bell import Alarm, Bell
from .exits import EXIT_DEFECT, EXIT_NO_MEMORY
from .signals import block_all

if TYPE_CHECKING:
    from .hearing import Hearing

PATIENCE_NS: Final = 5_000_000
FLUSH_AGE_MS: Final = limits.FLUSH_MS // 2  # looked at as often, so nothing waits longer than that


class Duty(Enum):
    """What a stand-by does until its next look."""

    REST = "until it is called, or the cell has been busy for a while"
    LISTEN = "until something comes"
    LOOK = "for a short time"


class Standby:
    """Sleeps while the cell's own thread listens, and while its steps are short."""

    def __init__(self, hearing: Hearing) -> None:
        """Without a descriptor and a thread; see `open`."""
        self._hearing = hearing
        self._bell = Bell()
        self._alarm = Alarm(PATIENCE_NS)
        self._resting: select.poll
        self._on_duty: select.poll

    def open(self, wire: int) -> None:
        """Start the thread; `wire` is polled while it is on duty."""
        self._bell.open()
        self._alarm.open()
        self._resting, self._on_duty = select.poll(), select.poll()
        self._resting.register(self._bell.fileno(), select.POLLIN)
        self._resting.register(self._alarm.fileno(), select.POLLIN)
        self._on_duty.register(self._bell.fileno(), select.POLLIN)
        self._on_duty.register(wire, select.POLLIN)
        # Not a `threading.Thread`: that takes 0.5 ms more of every fork, and is none of the cell's.
        _thread.start_new_thread(self._run, ())

    def expect(self) -> None:
        """The cell's thread leaves; be there if it stays away."""
        self._alarm.set()

    def rest(self) -> None:
        """The cell's thread listens again."""
        self._alarm.call_off()

    def call(self) -> None:
        """Look now: somebody waits for an answer."""
        self._bell.ring()

    def _run(self) -> None:
        # Signals belong to the cell's main thread, which would not wake if one came here.
        block_all()
        try:
            duty = Duty.REST
            while True:
                if duty is Duty.REST:
                    self._resting.poll()
                    self._alarm.call_off()
                else:
                    self._on_duty.poll(FLUSH_AGE_MS if duty is Duty.LOOK else None)
                self._bell.silence()
                duty = self._hearing.stand_by()
        except MemoryError:
            os._exit(EXIT_NO_MEMORY)  # the cell has used all that it may
        except BaseException:  # noqa: BLE001 - ends the process: nobody else would notice
            traceback.print_exc(file=sys.__stderr__)
        finally:
            # Also when the telling fails, as it does without memory.
            os._exit(EXIT_DEFECT)
