"""The life of one worker, from the fork to its end."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from typing import Final, NoReturn

from ..protocol.zygote_messages import Fork
from .confinement import confine, limit_memory
from .exits import EXIT_DEFECT
from .gate import CellLoop
from .link import Link
from .reproducible import Reproducible
from .runner import Run

SWITCH_S: Final = 0.001  # a busy cell lets the link's thread in after this long


def live(
    fork: Fork,
    work: str,
    zygote_pid: int,
    signals: tuple[int, ...],
    reproducible: Reproducible,
) -> NoReturn:
    """Be the worker of this cell. To be called in the forked child; never returns.

    Args:
        work: an empty directory of the worker's own.
        zygote_pid: the parent; without it this process must end.
        signals: those that the zygote has changed.
        reproducible: what the cell will see of clock and randomness.
    """
    try:
        confine(fork.limits, work, zygote_pid, signals)
        sys.setswitchinterval(SWITCH_S)
        link = Link(fork)
        # Made while the link connects and the supervisor decides.
        loop = CellLoop(link)
        asyncio.set_event_loop(loop)
        limit_memory(fork.limits.memory_bytes)
        Run(link.wait_for_start(), link, loop, reproducible).to_the_end()
    except BaseException:  # noqa: BLE001 - ends the process
        traceback.print_exc(file=sys.__stderr__)
    finally:
        # Whatever happened: never back into the zygote's code, whose stack is below.
        os._exit(EXIT_DEFECT)
