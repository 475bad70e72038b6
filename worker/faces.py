"""What code sees of the clock: the functions of `time` and of `datetime`, in front of ours.

They are methods of one object, because bound methods, like the functions in whose place they stand,
are not bound again when somebody keeps one as an attribute of a class.
"""

from __future__ import annotations

import ctypes
import datetime as dates
import gc
import time as times
from collections.abc import Callable
from typing import Any, Final

from . import real
from .clock import CellClock

SECOND_NS: Final = 1_000_000_000
CPU_CLOCKS: Final = frozenset({times.CLOCK_PROCESS_CPUTIME_ID, times.CLOCK_THREAD_CPUTIME_ID})
WALL_CLOCKS: Final = frozenset({times.CLOCK_REALTIME, times.CLOCK_TAI})
NAMES: Final = (
    *("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"),
    *("process_time", "process_time_ns", "thread_time", "thread_time_ns"),
    *("clock_gettime", "clock_gettime_ns"),
    *("localtime", "gmtime", "ctime", "asctime", "strftime"),
)


class Faces:
    """The functions. They show the machine's clocks until a cell's clock is put behind them."""

    def __init__(self) -> None:
        self._wall_ns: Callable[[], int] = real.time_ns
        self._steady_ns: Callable[[], int] = real.monotonic_ns
        self._clock_ns: Callable[[int], int] = real.clock_gettime_ns
        self._has_cell = False

    def begin(self, clock: CellClock) -> None:
        """Show this clock from now on: as every clock, since 1970, but CPU time since it began.

        The monotonic clock and the loop's are the same in asyncio, so they are here.
        """
        began_ns = clock.began_ns
        self._wall_ns = self._steady_ns = reading = clock.reading

        def clock_ns(which: int) -> int:
            real.clock_gettime_ns(which)  # raises for a clock that there is not
            return reading() - began_ns if which in CPU_CLOCKS or which < 0 else reading()

        self._clock_ns = clock_ns
        self._has_cell = True

    def time(self) -> float:
        return self._wall_ns() / SECOND_NS

    def time_ns(self) -> int:
        return self._wall_ns()

    def monotonic(self) -> float:
        return self._steady_ns() / SECOND_NS

    def monotonic_ns(self) -> int:
        return self._steady_ns()

    def perf_counter(self) -> float:
        return self._steady_ns() / SECOND_NS

    def perf_counter_ns(self) -> int:
        return self._steady_ns()

    def process_time(self) -> float:
        return self._clock_ns(times.CLOCK_PROCESS_CPUTIME_ID) / SECOND_NS

    def process_time_ns(self) -> int:
        return self._clock_ns(times.CLOCK_PROCESS_CPUTIME_ID)

    def thread_time(self) -> float:
        return self._clock_ns(times.CLOCK_THREAD_CPUTIME_ID) / SECOND_NS

    def thread_time_ns(self) -> int:
        return self._clock_ns(times.CLOCK_THREAD_CPUTIME_ID)

    def clock_gettime(self, clk_id: int, /) -> float:
        return self._clock_ns(clk_id) / SECOND_NS

    def clock_gettime_ns(self, clk_id: int, /) -> int:
        return self._clock_ns(clk_id)

    def localtime(self, seconds: float | None = None, /) -> times.struct_time:
        return real.localtime(self.time() if seconds is None else seconds)

    def gmtime(self, seconds: float | None = None, /) -> times.struct_time:
        return real.gmtime(self.time() if seconds is None else seconds)

    def ctime(self, seconds: float | None = None, /) -> str:
        return real.ctime(self.time() if seconds is None else seconds)

    def asctime(self, *moment: Any) -> str:
        return real.asctime(*moment) if moment else real.asctime(self.localtime())

    def strftime(self, form: str, /, *moment: Any) -> str:
        return real.strftime(form, *moment) if moment else real.strftime(form, self.localtime())

    # -- datetime ---------------------------------------------------------------------------------

    def replace_in_datetime(self) -> None:
        """`datetime.now` and `utcnow`; `today` asks `time.time` already."""
        kind = dates.datetime
        attributes: dict[str, Any] = gc.get_referents(kind.__dict__)[0]
        now_before, utcnow_before = attributes["now"], attributes["utcnow"]

        def now(cls: type[dates.datetime], tz: dates.tzinfo | None = None) -> dates.datetime:
            if not self._has_cell:
                shown: dates.datetime = now_before.__get__(None, cls)(tz)
                return shown
            return cls.fromtimestamp(self._wall_ns() / SECOND_NS, tz)

        def utcnow(cls: type[dates.datetime]) -> dates.datetime:
            if not self._has_cell:
                shown: dates.datetime = utcnow_before.__get__(None, cls)()
                return shown
            return cls.utcfromtimestamp(self._wall_ns() / SECOND_NS)

        attributes["now"] = classmethod(now)
        attributes["utcnow"] = classmethod(utcnow)
        # Python remembers where it found attributes.
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))
