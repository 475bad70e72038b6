"""Who gets the processors first, where the system lets us say so."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

AUTOGROUP: Final = Path("/proc/self/autogroup")
NICENESS: Final = "-10"  # of the session: nine times the share of another one
# Of the calling thread alone: what it starts, threads and the zygote, is as others are.
AT_ONCE: Final = os.SCHED_RR | os.SCHED_RESET_ON_FORK
LOWEST: Final = os.sched_param(1)


def go_first() -> None:
    """Have the calling thread run as soon as it has something to do, if we may.

    For that a process needs CAP_SYS_NICE, or a limit RLIMIT_RTPRIO above 0. Every cell waits for
    its supervisor, which has something to do for a moment and then waits. On processors full of
    others it would be given one milliseconds later each time, several times in a cycle. What it
    does for one host or worker has a bound in each beat, and Linux keeps a twentieth of the time
    for others (`sched_rt_runtime_us`); but no limit of a CPU cgroup holds for such a thread.
    """
    with suppress(OSError):  # everything works without
        os.sched_setscheduler(0, AT_ONCE, LOWEST)
    _have_a_larger_share()


def go_along() -> None:
    """Have the calling thread served as the first one of its process is.

    For what that one cannot do without for long: beside processors full of others it would not
    come to it.
    """
    policy = os.sched_getscheduler(os.getpid())
    if policy == AT_ONCE:
        with suppress(OSError):
            os.sched_setscheduler(0, policy, LOWEST)


def _have_a_larger_share() -> None:
    """The same for the session that this process leads, and so for its other threads.

    Where autogroups are on Linux shares the processors out among sessions, and every cell is one:
    among sixty-four of them that of their supervisor is the busiest. A session that others have
    begun, such as that of a terminal, stays as it is.
    """
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # not root, or no autogroups here
            AUTOGROUP.write_text(NICENESS)
