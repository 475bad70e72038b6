"""Successors that are not what was there before: another version of us, or an older journal."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest
import tidemark
from tidemark.protocol import codec

from fakes.cells import completed, in_state, pending, pid_of
from fakes.doors import Doors
from fakes.process_watch import alive
from fakes.running_supervisor import HostProcess, RunningSupervisor
from fakes.supervisor_end import only_with_sockets
from fakes.waiting import until

NEXT_VERSION = codec.PROTOCOL_VERSION + 1


@pytest.fixture
def next_release(place: Path) -> Path:
    """A directory with a `tidemark` whose protocol has another version."""
    source = Path(tidemark.__file__).parent
    copy = place / "next" / "tidemark"
    for room in ("protocol", "supervisor", "worker", "client"):
        shutil.copytree(source / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(source / "__init__.py", copy / "__init__.py")
    file = copy / "protocol" / "codec.py"
    text = file.read_text()
    changed = re.sub(r"(?m)^PROTOCOL_VERSION\b.*$", f"PROTOCOL_VERSION = {NEXT_VERSION}", text)
    assert changed != text
    file.write_text(changed)
    return copy.parent


FINISH = """
with tidemark.connect(sys.argv[1]) as client:
    cell = client.cell(sys.argv[2])
    say([cell.frontier().generation, cell.resume(1, timeout=20).generation])
    say(cell.wait_to_pending(timeout=20).value)
    say([entry.what for entry in cell.history()])
"""


@only_with_sockets
def test_workers_of_another_version_are_ended_and_their_cells_run_again(
    place: Path, next_release: Path, doors: Doors
) -> None:
    state = place / "state"
    running = RunningSupervisor(state)
    host = None
    try:
        session = tidemark.Session("s", endpoint=running.endpoint, tools=[doors.knock])
        session.open()
        cell = session.create_pausable_cell("x = await tools.knock(door='x')\nexit(['was', x])")
        pending(cell)
        doors.open("x")
        until(lambda: any(entry.what == "call finished" for entry in cell.history()))
        worker = pid_of(cell)
        session.detach()
        running.signal(signal.SIGKILL)
        running.ended()
        assert alive(worker)
        path = {"PYTHONPATH": str(next_release)}
        later = RunningSupervisor(state, **path)
        until(lambda: not alive(worker), what="the end of the old worker")
        host = HostProcess(FINISH, later.endpoint, cell.id, **path)
        assert host.hear() == [1, 1]
        assert host.hear() == ["was", "x"]
        assert host.hear().count("worker issued") == 2
        later.close()
    finally:
        if host is not None:
            host.close()
        running.close()


@only_with_sockets
def test_a_journal_behind_what_a_worker_was_told_is_refused_for_its_cell(
    place: Path, doors: Doors
) -> None:
    state = place / "state"
    running = RunningSupervisor(state)
    try:
        session = tidemark.Session("s", endpoint=running.endpoint, tools=[doors.knock])
        session.open()
        # Created first: the restored journal has it, paused at its first frontier.
        cell = session.create_pausable_cell(
            "for n in range(100):\n    text('x' * 20000)\n    await tools.knock(door='open')"
        )
        doors.open("open")
        pending(cell)
        with sqlite3.connect(state / "journal.db") as live, sqlite3.connect(place / "old") as old:
            live.backup(old)
        for generation in range(1, 40):
            cell.resume(generation, timeout=20)
            pending(cell)
        running.signal(signal.SIGKILL)
        running.ended()
        for name in ("journal.db-wal", "journal.db-shm"):
            (state / name).unlink(missing_ok=True)
        os.replace(place / "old", state / "journal.db")
        later = RunningSupervisor(state)
        with tidemark.connect(later.endpoint) as client:
            again = client.cell(cell.id)
            in_state(again, "completed")
            end = completed(again)
            assert end.reason == "lost"
            assert end.error is not None
            numbers = [int(word) for word in re.findall(r"\d+", end.error)]
            assert len(numbers) == 4
            assert numbers[0] < numbers[2]  # records
            assert numbers[1] < numbers[3]  # messages
        later.close()
    finally:
        running.close()
