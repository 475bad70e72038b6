"""The life of one worker, from the fork to its end."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from typing import NoReturn

from ..protocol.zygote_messages import Fork
from .confinement import Ties, begin_session, confine, limit_memory
from .dress_rehearsal import rehearse_cell
from .exits import EXIT_DEFECT, EXIT_NO_MEMORY
from .isolation.levels import Level, Unsealed
from .isolation.quarters import Berth, Quarters, Sockets
from .layette import Layette
from .reproducible import Reproducible
from .runner import Run


def live(
    fork: Fork,
    quarters: Quarters,
    berth: Berth,
    ties: Ties,
    zygote_pid: int,
    signals: tuple[int, ...],
    reproducible: Reproducible,
    layette: Layette,
) -> NoReturn:
    """Be the worker of this cell, or of the one that comes. To be called in the forked child.

    It never returns.

    Args:
        berth: what was made ready for this worker.
        ties: what it keeps of the outside until it is connected.
        zygote_pid: the parent; without it this process must end.
        signals: those that the zygote has changed.
        reproducible: what the cell will see of clock and randomness.
        layette: what was made ready for every worker.
    """
    try:
        try:
            confine(quarters, berth, ties, zygote_pid, signals)
        except Unsealed as error:
            ties.confess(str(error))
        if not fork.cell:
            rehearse_cell(reproducible, layette.stage)
        # Also where nothing was rehearsed: asyncio forgets it at a fork with hooks since 3.12.
        asyncio.set_event_loop(layette.loop)
        link, loop = layette.link, layette.loop
        link.open(fork, lambda: settle(quarters, berth, ties))
        loop.open()
        limit_memory(berth.limits.memory_bytes, ties)
        start = link.wait_for_start()
        begin_session()
        ties.pass_door()
        if quarters.level is Level.RESTRICTED:
            berth.work = quarters.work_of(start.cell)
            os.environ.update(HOME=berth.work, TMPDIR=berth.work)
        Run(start, link, loop, reproducible).to_the_end()
    except MemoryError:
        os._exit(EXIT_NO_MEMORY)  # the cell has used all that it may, and nothing can be told
    except BaseException:  # noqa: BLE001 - ends the process
        traceback.print_exc(file=sys.__stderr__)
    finally:
        # Whatever happened: never back into the zygote's code, whose stack is below.
        os._exit(EXIT_DEFECT)


def settle(quarters: Quarters, berth: Berth, ties: Ties) -> Sockets:
    """What remains to be given up when the worker is connected, before it is given its cell."""
    try:
        sockets = quarters.give_up_sockets(berth)
    except Unsealed as error:
        ties.confess(str(error))
    ties.cut()
    return sockets
