"""Which sessions get the processors first."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import tidemark
from tidemark.supervisor.shell.zygote_start import _hasten

from fakes.process_watch import alive
from fakes.waiting import until

LARGE_VALUES, LARGE_CHARACTERS = 8, 1_000_000
AUTOGROUP = Path("/proc/self/autogroup")


def below() -> list[int]:
    """The living processes below this one; dead ones of other tests may have fallen to it."""
    found = [child.pid for child in psutil.Process().children(recursive=True)]
    return [pid for pid in found if alive(pid)]


@pytest.mark.skipif(
    os.geteuid() != 0 or not AUTOGROUP.exists(), reason="only root may, and with autogroups"
)
def test_a_supervisor_goes_before_what_waits_for_it_and_nothing_else_does() -> None:
    before = AUTOGROUP.read_text()
    with tidemark.Session() as session:
        session.create_cell("await asyncio.Event().wait()")
        shares = {pid: Path(f"/proc/{pid}/autogroup").read_text().split()[-1] for pid in below()}
    assert sorted(shares.values())[0] == "-10"
    assert list(shares.values()).count("-10") == 1
    assert AUTOGROUP.read_text() == before


@pytest.mark.skipif(
    os.geteuid() != 0 or not AUTOGROUP.exists(), reason="only root may, and with autogroups"
)
@pytest.mark.parametrize(("late", "share"), [(0.0, "-10"), (1.0, "0")])
def test_a_haste_that_begins_late_is_taken_back(late: float, share: str) -> None:
    """By then the zygote may have been ready, and have ended what it did not have yet."""
    with subprocess.Popen(["sleep", "100"], start_new_session=True) as child:
        _hasten(child.pid, time.monotonic() - late)
        assert Path(f"/proc/{child.pid}/autogroup").read_text().split()[-1] == share
        child.kill()


def may_be_served_at_once() -> bool:
    usual = os.sched_getscheduler(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        return False
    os.sched_setscheduler(0, usual, os.sched_param(0))
    return True


def policies() -> dict[int, list[int]]:
    """The scheduling policies of all threads below us, by process."""
    found: dict[int, list[int]] = {}
    for pid in below():
        with suppress(OSError):  # it has ended meanwhile
            threads = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
            found[pid] = [
                os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK for thread in threads
            ]
    return found


@pytest.mark.skipif(not may_be_served_at_once(), reason="the system does not let this user")
def test_the_threads_of_the_supervisor_are_served_at_once_and_nothing_that_it_starts() -> None:
    before = {child.pid for child in psutil.Process().children()}
    with tidemark.Session() as session:
        session.create_cell("await asyncio.Event().wait()")
        (supervisor,) = {child.pid for child in psutil.Process().children()} - before
        for number in range(LARGE_VALUES):  # until a thread of its own moves the log
            session.stored.set("large", f"{number}" * LARGE_CHARACTERS)
        until(lambda: len(os.listdir(f"/proc/{supervisor}/task")) == 2, what="a second thread")
        until(lambda: set(policies()[supervisor]) == {os.SCHED_RR}, what="both served at once")
        found = policies()
    found.pop(supervisor)
    assert {policy for each in found.values() for policy in each} == {os.SCHED_OTHER}


def test_whoever_runs_it_can_keep_it_from_going_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_PRECEDENCE", "usual")
    with tidemark.Session() as session:
        session.create_cell("await asyncio.Event().wait()")
        found = policies()
        shares = [Path(f"/proc/{pid}/autogroup") for pid in found]
        assert "-10" not in {share.read_text().split()[-1] for share in shares if share.exists()}
    assert {policy for each in found.values() for policy in each} == {os.SCHED_OTHER}


def test_a_precedence_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_PRECEDENCE", "sometimes")
    with (
        pytest.raises(tidemark.TidemarkError, match="'sometimes': first or usual"),
        tidemark.Session() as session,
    ):
        session.create_cell("0")
