"""The machine's own clocks and randomness, for our own code: a cell sees others.

To be imported before `reproducible.install` has put the cell's in their place.
"""

from __future__ import annotations

from os import getrandom, urandom
from time import (
    asctime,
    clock_gettime_ns,
    ctime,
    gmtime,
    localtime,
    monotonic,
    monotonic_ns,
    sleep,
    strftime,
    time_ns,
)

__all__ = [
    "asctime",
    "clock_gettime_ns",
    "ctime",
    "getrandom",
    "gmtime",
    "localtime",
    "monotonic",
    "monotonic_ns",
    "sleep",
    "strftime",
    "time_ns",
    "urandom",
]
