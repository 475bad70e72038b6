"""The supervisor is killed, and hosts see to the next one: callers notice nothing but time."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import tidemark
from tidemark import Resumed
from tidemark.client import _absence
from tidemark.client._packages import packages_of
from tidemark.client._places import StatePlace, place_of

from fakes.cells import completed, consumed, in_state, pending, pid_of, run_through, shown
from fakes.doors import Doors
from fakes.process_watch import alive, marked, until_none
from fakes.running_supervisor import HostProcess, RunningSupervisor
from fakes.supervisor_end import only_with_sockets
from fakes.supervisors import end_all, killed, successor, supervisors, the_supervisor
from fakes.waiting import until

KNOCKING = """
text("before")
answer = await tools.knock(door="a")
text("after")
exit(answer)
"""
SECONDS = 30.0


@pytest.fixture
def state(place: Path) -> Iterator[Path]:
    """A state directory whose supervisors hosts start."""
    yield place / "state"
    end_all(place / "state")


@pytest.fixture
def session(state: Path, doors: Doors) -> Iterator[tidemark.Session]:
    """A session on it."""
    made = tidemark.Session("s", state=state, tools=[doors.knock])
    made.open()
    yield made
    with suppress(tidemark.TidemarkError):
        made.close()


@pytest.fixture
def aside() -> Iterator[Callable[..., Future[Any]]]:
    """Runs a call in another thread."""
    with ThreadPoolExecutor() as pool:
        yield pool.submit


def epoch_of(state: Path) -> int:
    with tidemark.connect(state) as client:
        return client.info().epoch


# -- what the host was doing ----------------------------------------------------------------------


@only_with_sockets
def test_an_idle_host_has_a_new_supervisor_without_asking(
    state: Path, session: tidemark.Session, doors: Doors
) -> None:
    cell = session.create_pausable_cell(KNOCKING)
    seen, worker = pending(cell), pid_of(cell)
    former = killed(state)
    successor(state, former)
    assert pending(cell) == seen
    assert epoch_of(state) == 2
    assert pid_of(cell) == worker  # adopted: it has not noticed
    doors.open("a")
    assert run_through(cell).value == "a"
    assert doors.knocked == ["a"]


def test_an_observation_goes_on(
    state: Path, session: tidemark.Session, doors: Doors, aside: Callable[..., Future[Any]]
) -> None:
    cell = session.create_cell(KNOCKING)
    observing = aside(completed, cell)
    doors.until_knocked("a")
    successor(state, killed(state))
    doors.open("a")
    end = observing.result(SECONDS)
    assert end.value == "a"
    assert "".join(map(shown, cell.watch())) == "beforeafter"
    assert doors.knocked == ["a"]


def test_a_resume_in_flight_is_confirmed_once(
    state: Path, session: tidemark.Session, doors: Doors, aside: Callable[..., Future[Any]]
) -> None:
    cell = session.create_pausable_cell(KNOCKING)
    pending(cell)
    worker = pid_of(cell)
    os.kill(worker, signal.SIGSTOP)
    try:
        resuming = aside(cell.resume, 1)
        in_state(session.cell(cell.id), "continuing")
        former = killed(state)
        successor(state, former)
        assert not resuming.done()
    finally:
        os.kill(worker, signal.SIGCONT)
    assert resuming.result(SECONDS) == Resumed(1)
    doors.open("a")
    assert run_through(cell).value == "a"
    assert len(consumed(cell)) == len(set(consumed(cell)))


def test_a_tool_goes_on_and_its_result_is_taken_once(state: Path, place: Path) -> None:
    runs, gate = place / "runs", threading.Event()

    def work(n: int) -> int:
        with runs.open("a") as file:
            file.write(f"{n}\n")
        assert gate.wait(SECONDS)
        return n * 10

    with tidemark.Session("s", state=state, tools=[work]) as session:
        source = "exit(await asyncio.gather(*(tools.work(n=n) for n in range(4))))"
        cell = session.create_cell(source)
        until(lambda: runs.exists() and len(runs.read_text().split()) == 4)
        former = [killed(state)]
        gate.set()  # the results come while nobody is there, or somebody new
        former.append(successor(state, *former))
        os.kill(former[-1], signal.SIGKILL)
        assert completed(cell).value == [0, 10, 20, 30]
        finished = [entry for entry in cell.history() if entry.what == "call finished"]
        assert len(finished) == 4
        session.close()
    assert sorted(runs.read_text().split()) == ["0", "1", "2", "3"]


def test_an_asyncio_host_goes_on_with_everything_at_once(state: Path) -> None:
    async def main() -> list[object]:
        door = asyncio.Event()

        async def knock() -> str:
            await door.wait()
            return "in"

        async with tidemark.AsyncSession("s", state=state, tools=[knock]) as session:
            cells = [await session.create_cell("exit(await tools.knock())") for _ in range(3)]
            bound = await session.create_pausable_cell("await asyncio.sleep(0.01)\nexit(7)")
            first = await bound.wait_to_pending()
            observing = [asyncio.create_task(cell.observe(SECONDS)) for cell in cells]
            await cells[0].status()  # asked after them, so they have been asked
            former = await asyncio.to_thread(killed, state)
            made = asyncio.create_task(session.create_cell("exit('made')", timeout=SECONDS))
            stored = asyncio.create_task(session.stored.set("k", "v"))
            await asyncio.to_thread(successor, state, former)
            door.set()
            ends: list[Any] = await asyncio.gather(*observing)
            ends.append(await (await made).observe(SECONDS))
            await stored
            assert isinstance(first, tidemark.Pending)
            ends.append(await bound.step(first.generation))
            listed = await session.cells()
            assert len(listed) == 5  # no request acted twice
            assert await session.stored.get("k") == "v"
            await session.close()
            return [end.value for end in ends]

    assert asyncio.run(main()) == ["in"] * 3 + ["made", 7]


# -- who starts it --------------------------------------------------------------------------------

HOST = """
with tidemark.Session(sys.argv[2], state=sys.argv[1]) as session:
    cell = session.create_pausable_cell("for n in range(100): await asyncio.sleep(0.001)")
    generation = cell.wait_to_pending().generation
    say("ready")
    while hear() == "go on":
        for _ in range(3):
            generation = cell.step(generation).generation
        say(generation)
    session.close()
"""


def test_hosts_that_race_end_up_on_one_successor(state: Path) -> None:
    hosts = [HostProcess(HOST, str(state), f"s{n}") for n in range(2)]
    try:
        assert [host.hear() for host in hosts] == ["ready"] * 2
        for turn in (1, 2):
            former = killed(state)
            for host in hosts:
                host.say("go on")
            assert [host.hear(seconds=SECONDS) for host in hosts] == [1 + 3 * turn] * 2
            (now,) = supervisors(state)
            assert now != former
        for host in hosts:
            host.say("end")
            assert host.process.wait(10) == 0
    finally:
        for host in hosts:
            host.close()


def test_successors_that_are_killed_while_they_start_are_replaced(
    state: Path, session: tidemark.Session, aside: Callable[..., Future[Any]]
) -> None:
    cell = session.create_pausable_cell("await asyncio.sleep(0.01)\nexit(3)")
    pending(cell)
    former = [killed(state)]
    stepping = aside(cell.step, 1)
    for _ in range(3):
        former.append(successor(state, *former))
        os.kill(former[-1], signal.SIGKILL)
    assert stepping.result(SECONDS).value == 3
    assert supervisors(state)[0] not in former


def test_supervisors_that_never_stay_are_not_started_for_ever(
    state: Path, session: tidemark.Session, aside: Callable[..., Future[Any]]
) -> None:
    session.stored.set("k", 1)
    former = [killed(state, signal.SIGTERM)]
    asking = aside(session.stored.get, "k")
    while not asking.done():
        for pid in set(supervisors(state)) - set(former):
            former.append(pid)
            os.kill(pid, signal.SIGKILL)
    error = asking.exception()
    assert isinstance(error, tidemark.SupervisorUnavailableError)
    assert not error.outcome_known
    assert "supervisor.log" in str(error)
    assert len(former) == 1 + _absence.STARTS_MAX
    assert session.stored.get("k") == 1  # who asks again has another one started


@only_with_sockets
def test_one_that_was_ended_on_purpose_is_replaced_when_there_is_something_to_ask(
    state: Path, session: tidemark.Session, doors: Doors
) -> None:
    cell = session.create_pausable_cell(KNOCKING)
    seen, worker = pending(cell), pid_of(cell)
    former = killed(state, signal.SIGTERM)
    place = place_of(state, None, None, None, packages_of((), ()))
    assert isinstance(place, StatePlace)
    assert place.look() is None  # what an idle host sees
    assert alive(worker)
    doors.open("a")  # a tool's result is something to deliver
    successor(state, former)
    assert pending(cell) == seen
    assert run_through(cell).value == "a"
    assert doors.knocked == ["a"]
    former = killed(state, signal.SIGTERM)
    assert place.look() is None
    assert completed(cell).value == "a"  # and so is a request
    killed(state)
    assert place.look() is not None
    the_supervisor(state)


# -- when there can be none -----------------------------------------------------------------------


def test_a_journal_that_no_successor_can_read(state: Path, session: tidemark.Session) -> None:
    session.stored.set("k", 1)
    killed(state, signal.SIGTERM)
    with closing(sqlite3.connect(state / "journal.db")) as journal:
        (version,) = journal.execute("PRAGMA user_version").fetchone()
        journal.execute(f"PRAGMA user_version = {version + 98}")
    with pytest.raises(tidemark.JournalError, match=r"newer Tidemark.*upgrade"):
        session.stored.get("k")
    with closing(sqlite3.connect(state / "journal.db")) as journal:
        journal.execute(f"PRAGMA user_version = {version}")
    assert session.stored.get("k") == 1


def test_a_journal_that_has_gone_back_is_refused_and_not_tried_again(
    state: Path, session: tidemark.Session
) -> None:
    session.stored.set("k", "old")
    killed(state, signal.SIGTERM)
    shutil.copytree(state, state.parent / "backup")
    for n in range(3):
        session.stored.set("k", n)
    with tidemark.connect(state) as client:
        told = client.info().journal
    killed(state, signal.SIGTERM)
    for journal in state.glob("journal.db*"):
        journal.unlink()
    for journal in (state.parent / "backup").glob("journal.db*"):
        shutil.copy(journal, state)
    with pytest.raises(tidemark.JournalError, match=r"ends at record \d+, and the host was told"):
        session.stored.get("k")
    refusing = the_supervisor(state)
    with pytest.raises(tidemark.JournalError, match="start a new session") as refused:
        session.stored.get("k")
    numbers = [int(word.strip(",:;")) for word in str(refused.value).split() if word[0].isdigit()]
    assert numbers[0] < numbers[1] <= told
    assert supervisors(state) == [refusing]
    killed(state)
    with pytest.raises(tidemark.JournalError):
        session.stored.get("k")
    assert supervisors(state) == []
    with tidemark.Session("s", state=state, take_over=True) as another:
        assert another.stored.get("k") == "old"


def test_at_an_endpoint_the_client_waits_for_somebody_to_see_to_it(
    place: Path, aside: Callable[..., Future[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = RunningSupervisor(place / "state")
    second = None
    session = tidemark.Session("s", endpoint=first.endpoint)
    try:
        session.open()
        session.stored.set("k", 1)
        first.signal(signal.SIGKILL)
        first.ended()
        asking = aside(session.stored.get, "k")
        second = RunningSupervisor(place / "state")
        assert asking.result(SECONDS) == 1
        second.signal(signal.SIGKILL)
        second.ended()
        monkeypatch.setattr(_absence, "DOWN_SECONDS_MAX", 0.3)
        with pytest.raises(tidemark.SupervisorUnavailableError, match="repeat it when") as lost:
            session.stored.get("k")
        assert not lost.value.outcome_known
        assert supervisors(place / "state") == []  # nobody here has started one
        second.close()
        monkeypatch.undo()
        second = RunningSupervisor(place / "state")
        assert session.stored.get("k") == 1
    finally:
        if second is not None:
            session.close()
            second.close()
        first.close()


# -- a private one --------------------------------------------------------------------------------


def test_a_private_supervisor_is_replaced_on_its_journal(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", None)
    former: list[int] = []
    with tidemark.Session() as session:
        session.stored.set("k", {"kept": True})
        cell = session.create_cell("text('done')\nexit(5)")
        end = completed(cell)
        for _ in range(2):
            former.append(killed(place))
            successor(place, *former)  # by itself, though nobody asks
            assert session.stored.get("k") == {"kept": True}
            assert list(cell.watch())[-1] == end
            assert completed(session.create_cell("exit(6)")).value == 6
        former.append(killed(place))
        session.stored.delete("k")
        assert session.stored.keys() == ()
        assert session.durability == "crash"
        assert len(list(place.iterdir())) == 1
    until_none(str(place), seconds=3)
    assert list(place.iterdir()) == []


def test_an_asyncio_host_with_a_private_supervisor_goes_on(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", None)

    async def main() -> None:
        async with tidemark.AsyncSession() as session:
            await session.stored.set("k", 1)
            former = await asyncio.to_thread(killed, place)
            values = await asyncio.gather(*(session.stored.get("k") for _ in range(20)))
            assert values == [1] * 20
            await asyncio.to_thread(successor, place, former)
            await asyncio.to_thread(killed, place)  # and it is left at once

    asyncio.run(main())
    until_none(str(place), seconds=3)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("ending", ["killed", "closed"])
def test_a_host_that_ends_while_a_successor_starts_leaves_nothing(place: Path, ending: str) -> None:
    program = """
with tidemark.Session() as session:
    session.open()
    say("ready")
    hear()
"""
    host = HostProcess(program, TMPDIR=str(place))
    try:
        assert host.hear() == "ready"
        former = the_supervisor(place)
        os.kill(former, signal.SIGKILL)
        until(lambda: set(supervisors(place)) - {former}, what="a successor that starts")
        if ending == "killed":
            host.kill()
        else:
            host.say()
            assert host.process.wait(10) == 0
        until(lambda: not marked(str(place)), seconds=5, what="no process to be left")
        until(lambda: not list(place.iterdir()), seconds=2, what="no file to be left")
    finally:
        host.close()


def test_a_private_supervisor_is_replaced_though_the_hosts_loop_is_busy(place: Path) -> None:
    program = """
async def main():
    async with tidemark.AsyncSession() as session:
        await session.stored.set("k", 1)
        say("ready")
        hear()  # blocks the loop
        say(await session.stored.get("k"))
        hear()
asyncio.run(main())
"""
    host = HostProcess(program, TMPDIR=str(place))
    try:
        assert host.hear() == "ready"
        former = killed(place)
        until(lambda: list(place.glob("tidemark-*/supervisor.json")))
        successor(place, former)
        host.say()
        assert host.hear() == 1
        host.kill()
        until(lambda: not marked(str(place)), seconds=5, what="no process to be left")
        until(lambda: not list(place.iterdir()), seconds=2, what="no file to be left")
    finally:
        host.close()
