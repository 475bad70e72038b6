"""Which sessions get the processors first."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
import tidemark

AUTOGROUP = Path("/proc/self/autogroup")


@pytest.mark.skipif(
    os.geteuid() != 0 or not AUTOGROUP.exists(), reason="only root may, and with autogroups"
)
def test_a_supervisor_goes_before_what_waits_for_it_and_nothing_else_does() -> None:
    before = AUTOGROUP.read_text()
    with tidemark.Session() as session:
        session.create_cell("await asyncio.Event().wait()")
        shares = {
            pid: Path(f"/proc/{pid}/autogroup").read_text().split()[-1]
            for pid in [child.pid for child in psutil.Process().children(recursive=True)]
        }
    assert sorted(shares.values())[0] == "-10"
    assert list(shares.values()).count("-10") == 1
    assert AUTOGROUP.read_text() == before


def may_be_served_at_once() -> bool:
    usual = os.sched_getscheduler(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        return False
    os.sched_setscheduler(0, usual, os.sched_param(0))
    return True


@pytest.mark.skipif(not may_be_served_at_once(), reason="the system does not let this user")
def test_one_thread_of_the_supervisor_is_served_at_once_and_nothing_that_it_starts() -> None:
    with tidemark.Session() as session:
        session.create_cell("await asyncio.Event().wait()")
        policies = {
            thread: os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK
            for child in psutil.Process().children(recursive=True)
            for thread in map(int, os.listdir(f"/proc/{child.pid}/task"))
        }
        (supervisor,) = psutil.Process().children()
    assert policies.pop(supervisor.pid) == os.SCHED_RR
    assert set(policies.values()) == {os.SCHED_OTHER}
    assert len(policies) > 2
