"""Puts a clock and randomness that can be told again in the place of the machine's.

Once in the zygote, before anything takes a function of `time` into its own names; what a cell then
sees changes for good when its worker begins.
"""

from __future__ import annotations

import gc
import logging
import os
import queue
import subprocess
import sys
import threading
import time as times
from collections.abc import Callable
from typing import Any, Final

from . import numbered
from .chance import Chance
from .clock import CellClock
from .faces import NAMES, SECOND_NS, Faces
from .garbage import Tally

# They wait with the clock in loops, as often as it happens, and show it to nobody: a reading by
# them would be counted without being the cell's.
WAITERS: Final = frozenset({threading.__name__, queue.__name__, subprocess.__name__})
OWN_COLLECTION_ALLOCATIONS: Final = 100_000
KEEP_THEIR_OWN: Final = frozenset({__name__.partition(".")[0], "zmq"})


class Reproducible:
    """The clock and the randomness of this process, and what is counted of its garbage."""

    def __init__(self, faces: Faces, chance: Chance, tally: Tally) -> None:
        self._faces = faces
        self._chance = chance
        self._tally = tally
        self._clock: CellClock | None = None
        self._has_begun = False

    def begin(self, seed: bytes, clock: CellClock, on_foreign: Callable[[str], None]) -> None:
        """Show the cell this clock, and randomness of this seed. In the worker, before it runs.

        `on_foreign` is told why, when another thread takes from either: what it gets is real, and
        nothing can tell it again.
        """
        # By itself Python collects where nobody can tell it again; so it does so only where a long
        # step would otherwise grow without end. See `garbage.py` for the rest.
        gc.set_threshold(OWN_COLLECTION_ALLOCATIONS, 10, 10)
        self._tally.begin()
        clock.on_foreign = on_foreign
        self._faces.begin(clock)
        self._chance.begin(seed, on_foreign)
        vars(logging)["_startTime"] = clock.began_ns / SECOND_NS
        self._clock = clock
        if not self._has_begun:
            self._has_begun = True
            os.register_at_fork(after_in_child=self._release)

    def pause(self) -> None:
        """What has begun was a rehearsal: randomness is the system's until it begins again."""
        self._chance.release()

    def _release(self) -> None:
        if self._clock is not None:
            self._clock.release()
        self._chance.release()


def install() -> Reproducible:
    """Replace what is the same for every cell. Until `begin`, everything is what it was."""
    faces, chance, tally = Faces(), Chance(), Tally()
    replaced: dict[int, tuple[object, object]] = {}
    for name in NAMES:
        _replace(times, name, getattr(faces, name), replaced)
    _replace(os, "urandom", chance.urandom, replaced)
    _replace(os, "getrandom", chance.getrandom, replaced)
    _replace(gc, "get_stats", tally.get_stats, replaced)
    chance.replace_in_random()
    faces.replace_in_datetime()
    _replace_taken(replaced)
    numbered.install()
    return Reproducible(faces, chance, tally)


def _replace(
    module: Any, name: str, new: object, replaced: dict[int, tuple[object, object]]
) -> None:
    before = getattr(module, name)
    replaced[id(before)] = (before, new)
    setattr(module, name, new)


def _replace_taken(replaced: dict[int, tuple[object, object]]) -> None:
    """What modules have taken into their own names before we came."""
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] in KEEP_THEIR_OWN or module_name in WAITERS:
            continue
        names = getattr(module, "__dict__", {})
        for name, value in list(names.items()):
            found = replaced.get(id(value))
            if found is not None and found[0] is value:
                names[name] = found[1]
