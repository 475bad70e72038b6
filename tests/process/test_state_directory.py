"""A supervisor that outlives its hosts, and the one that comes after it."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import pytest
import tidemark
from tidemark import Resumed

from fakes.cells import completed, in_state, pending, pid_of, run_through, shown
from fakes.doors import Doors
from fakes.process_watch import alive, until_none
from fakes.running_supervisor import HostProcess, RunningSupervisor
from fakes.supervisor_end import only_with_sockets
from fakes.supervisors import end_all, supervisors
from fakes.waiting import until

SOURCE = """
text("before")
answer = await tools.knock(door="a")
text("after")
exit(answer)
"""


def test_two_hosts_that_start_one_at_once_end_up_on_the_same(place: Path) -> None:
    program = """
hear()
with tidemark.Session(sys.argv[2], state=sys.argv[1]) as session:
    cell = session.create_cell("exit(1)")
    say([session.durability, cell.observe().value])
    with tidemark.connect(sys.argv[1]) as client:
        say(client.info().pid)
    hear()
"""
    state = place / "state"
    hosts = [HostProcess(program, str(state), f"s{n}") for n in range(3)]
    try:
        for host in hosts:
            host.say()
        assert [host.hear() for host in hosts] == [["power", 1]] * 3
        (pid,) = {host.hear() for host in hosts}
        assert supervisors(state) == [pid]
        facts = json.loads((state / "supervisor.json").read_text())
        assert facts["pid"] == pid
        assert {"epoch", "endpoint", "version", "started", "isolation", "durability"} <= set(facts)
        for host in hosts:
            host.say()
            assert host.process.wait(10) == 0
        assert alive(pid)  # it outlives its hosts
        with tidemark.connect(state) as client:
            assert [row.name for row in client.sessions()] == ["s0", "s1", "s2"]
    finally:
        for host in hosts:
            host.close()
        end_all(state)


def test_a_second_session_finds_cells_and_unread_events_of_the_first(
    place: Path, doors: Doors
) -> None:
    state = place / "state"
    try:
        with tidemark.Session("work", state=state, tools=[doors.knock]) as session:
            unread = session.create_cell("text('unread')\nexit(1)")
            cell = session.create_pausable_cell(SOURCE)
            seen = pending(cell)
            until(lambda: unread.status().state == "completed")
            endpoint = json.loads((state / "supervisor.json").read_text())["endpoint"]
        with tidemark.Session("work", endpoint=endpoint, tools=[doors.knock]) as session:
            assert {row.id for row in session.cells()} == {unread.id, cell.id}
            end = completed(session.cell(unread.id))
            assert (shown(end), end.value) == ("unread", 1)
            again = session.cell(cell.id)
            assert isinstance(again, tidemark.PausableCell)
            assert pending(again) == seen
            doors.open("a")
            for call in session.calls():  # the first session's, if it did not end in time
                call.run_again()
            assert run_through(again).value == "a"
            assert list(again.watch())[-1] == completed(again)
    finally:
        end_all(state)


def test_a_supervisor_without_work_ends_by_itself(place: Path) -> None:
    running = RunningSupervisor(place / "state", "--idle-seconds", "0.2")
    try:
        assert running.ended() == 0
        assert not (place / "state" / "supervisor.json").exists()
        assert (place / "state" / "journal.db").exists()
        until_none(str(place / "state"), seconds=2)
    finally:
        running.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@only_with_sockets
def test_a_successor_adopts_the_workers_and_hosts_go_on(
    place: Path, doors: Doors, how: signal.Signals
) -> None:
    state = place / "state"
    first = RunningSupervisor(state)
    second = None
    session = tidemark.Session("lasting", endpoint=first.endpoint, tools=[doors.knock])
    try:
        session.open()
        busy = session.create_cell("await tools.knock(door='b')\nexit('b')")
        cell = session.create_pausable_cell(SOURCE)
        seen = pending(cell)
        doors.until_knocked("a", "b")
        pids = [pid_of(busy), pid_of(cell)]
        life = cell.status().incarnation
        ends: list[object] = []
        waiting = threading.Thread(target=lambda: ends.append(completed(busy)))
        waiting.start()
        first.signal(how)
        assert first.ended() == (0 if how is signal.SIGTERM else -how)
        assert [pid for pid in pids if not alive(pid)] == []
        doors.open("b")  # its result arrives while nobody is there
        second = RunningSupervisor(state)
        assert second.ready["epoch"] == first.ready["epoch"] + 1
        # The same handles, the same workers, the same frontier.
        assert pending(cell) == seen
        assert [pid_of(cell)] == [pids[1]]
        assert cell.status().incarnation == life
        waiting.join(20)
        (end,) = ends
        assert isinstance(end, tidemark.Completed)
        assert end.value == "b"
        assert cell.resume(1) == Resumed(1)
        doors.open("a")
        assert run_through(cell).value == "a"
        assert doors.knocked.count("a") == doors.knocked.count("b") == 1  # no tool ran twice
        assert cell.status().restarts == 0
    finally:
        if second is not None:
            session.close()
            second.close()
        first.close()


def test_a_draining_supervisor_creates_nothing_new(place: Path) -> None:
    """What is asked of one that ends is asked of its successor, with the same request."""
    state = place / "state"
    first = RunningSupervisor(state)
    session = tidemark.Session("drained", endpoint=first.endpoint)
    second = None
    try:
        session.open()
        kept = session.create_cell("await asyncio.Event().wait()")
        pid_of(kept)
        first.signal(signal.SIGTERM)
        assert first.ended() == 0
        made: list[str] = []
        creating = threading.Thread(
            target=lambda: made.append(session.create_cell("exit(5)", timeout=30).id)
        )
        creating.start()
        second = RunningSupervisor(state)
        creating.join(20)
        assert len(made) == 1
        assert completed(session.cell(made[0])).value == 5
        assert {row.id for row in session.cells()} == {kept.id, made[0]}
    finally:
        if second is not None:
            session.close()
            second.close()
        first.close()


def test_workers_without_a_successor_are_ended_by_their_zygote(place: Path) -> None:
    state = place / "state"
    running = RunningSupervisor(state, "--orphan-seconds", "0.5")
    session = tidemark.Session("left", endpoint=running.endpoint, replay=False)
    try:
        session.open()
        cell = session.create_cell("await asyncio.sleep(0.001)\ntext('on')\nwhile True: pass")
        until(lambda: cell.observe(0.05).output)
        running.signal(signal.SIGKILL)
        running.ended()
        until_none(str(state), seconds=4)
    finally:
        running.close()
    later = RunningSupervisor(state)
    try:
        with tidemark.connect(later.state) as client:
            again = client.cell(cell.id)
            assert in_state(again, "completed").reason == "lost"
            assert "".join(shown(event) for event in again.watch()) == "on"
    finally:
        session.detach()
        later.close()


def test_a_cell_that_had_begun_is_not_run_again_without_replay(place: Path) -> None:
    """Also when it had not said anything yet, and supervisor and zygote die together."""
    state = place / "state"
    trace = place / "trace"
    first = RunningSupervisor(state)
    session = tidemark.Session("once", endpoint=first.endpoint, replay=False, isolation="process")
    second = None
    try:
        session.open()
        cell = session.create_cell(f"open({str(trace)!r}, 'a').write('ran ')\nwhile True: pass")
        until(lambda: trace.exists() and trace.read_text())
        first.signal(signal.SIGKILL)
        first.ended()
        first.close()  # also its zygote and workers
        second = RunningSupervisor(state)
        assert in_state(cell, "completed").reason == "lost"
        assert trace.read_text() == "ran "
    finally:
        if second is not None:
            session.close()
            second.close()
        first.close()


def test_what_is_in_a_state_directory(place: Path) -> None:
    state = place / "state"
    running = RunningSupervisor(state)
    try:
        assert {path.name for path in state.iterdir()} >= {"journal.db", "run", "supervisor.json"}
        assert state.stat().st_mode & 0o077 == 0
        assert (state / "run").stat().st_mode & 0o777 == 0o700
        assert (state / "journal.db").stat().st_mode & 0o007 in (0, 0o004)
        facts = json.loads((state / "supervisor.json").read_text())
        assert facts["pid"] == running.pid
        assert facts["endpoint"] == running.endpoint
        assert facts["version"] == tidemark.__version__
        with tidemark.connect(state) as client:
            info = client.info()
            assert (info.pid, info.epoch) == (running.pid, running.ready["epoch"])
            assert info.durability == "power"
            assert info.isolation in ("process", "restricted", "sealed")
            assert (info.unfinished, info.workers) == (0, 0)
        running.signal(signal.SIGKILL)
        running.ended()
        assert (state / "supervisor.json").exists()  # left behind; the lock tells
        with tidemark.Session("after", state=state) as session:
            assert completed(session.create_cell("exit(1)")).value == 1
    finally:
        end_all(state)
        running.close()
