"""Hosts in real processes: what a session gives, and what it says when something is missing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tidemark
from tidemark.client._places import PrivatePlace

from fakes.process_watch import stopped
from fakes.running_supervisor import RunningSupervisor
from fakes.waiting import until


def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture(scope="module")
def session() -> Iterator[tidemark.Session]:
    with tidemark.Session(tools=[add, tidemark.Tool(name="later", external=True)]) as opened:
        yield opened


def to_the_end(cell: tidemark.Cell) -> tidemark.Completed:
    while True:
        event = cell.observe(30.0)
        if isinstance(event, tidemark.Completed):
            return event
        assert isinstance(event, tidemark.Yielded)


def test_the_first_program_of_the_documentation() -> None:
    async def search(query: str) -> list[str]:
        """Find lines of the corpus that mention the query."""
        return [line for line in ("tide in", "tide out", "a mark") if query in line]

    source = """
hits, more = await asyncio.gather(tools.search(query=word), tools.search(query="mark"))
text(len(hits) + len(more), "hits")
exit(len(hits))
"""

    async def main() -> tuple[list[int], tidemark.Completed]:
        seen = []
        async with tidemark.AsyncSession(tools=[search]) as session:
            cell = await session.create_pausable_cell(source, inputs={"word": "tide"})
            while isinstance(event := await cell.wait_to_pending(), tidemark.Pending):
                seen.append(event.generation)
                assert isinstance(await cell.resume(event.generation), tidemark.Resumed)
            assert isinstance(event, tidemark.Completed)
            return seen, event

    seen, event = asyncio.run(main())
    assert seen == list(range(1, len(seen) + 1))
    assert event.output == (tidemark.Text("3 hits", 0),)
    assert (event.reason, event.value, event.error) == ("ended", 2, None)


def test_tools_are_called_and_wrong_calls_show_the_signature(session: tidemark.Session) -> None:
    cell = session.create_cell(
        "try: await tools.add(a='x')\n"
        "except ToolError as error: text(error)\n"
        "exit(await tools.add(a=40))"
    )
    event = to_the_end(cell)
    assert event.value == 42
    assert "add(a: int, b: int = 2) -> int" in event.output[0].text  # type: ignore[union-attr]


def test_an_external_call_waits_until_somebody_finishes_it(session: tidemark.Session) -> None:
    cell = session.create_pausable_cell("exit(await tools.later(x=1))")
    first = cell.wait_to_pending()
    assert isinstance(first, tidemark.Pending)
    assert cell.wait_to_pending() == first
    (call,) = session.calls()
    assert (call.key, call.tool, call.arguments) == (f"{cell.id}/tool-1", "later", {"x": 1})
    call.finish({"r": 1})
    event = cell.step(first.generation)
    assert isinstance(event, tidemark.Completed)
    assert event.value == {"r": 1}
    assert session.calls() == ()


def test_a_frozen_worker_confirms_nothing_until_it_thaws(session: tidemark.Session) -> None:
    cell = session.create_pausable_cell("while True: await asyncio.sleep(0.001)")
    first = cell.wait_to_pending()
    assert isinstance(first, tidemark.Pending)
    pid = cell.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    until(lambda: stopped(pid), what="the worker to stop")
    try:
        with pytest.raises(tidemark.ResumeUnconfirmedError) as caught:
            cell.resume(first.generation, timeout=0.2)
        assert not caught.value.outcome_known
        assert cell.wait_to_pending() == first
    finally:
        os.kill(pid, signal.SIGCONT)
    assert cell.resume(first.generation) == tidemark.Resumed(first.generation)
    assert isinstance(cell.resume(first.generation), tidemark.AlreadyRunning)
    ended = cell.terminate()
    assert isinstance(ended, tidemark.Terminated)
    assert cell.terminate() == ended


def test_a_step_that_was_given_up_goes_on_as_the_same_request(session: tidemark.Session) -> None:
    cell = session.create_pausable_cell("while True: await asyncio.sleep(0.001)")
    first = cell.wait_to_pending()
    assert isinstance(first, tidemark.Pending)
    pid = cell.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    until(lambda: stopped(pid), what="the worker to stop")
    try:
        with pytest.raises(tidemark.ResumeUnconfirmedError):
            cell.step(first.generation, timeout=0.2)
    finally:
        os.kill(pid, signal.SIGCONT)
    second = cell.step(first.generation)
    assert isinstance(second, tidemark.Pending)
    assert second.generation == first.generation + 1
    cell.terminate()


def test_a_wait_can_time_out_and_be_interrupted_without_loss(session: tidemark.Session) -> None:
    cell = session.create_pausable_cell("await asyncio.sleep(1000)")
    first = cell.wait_to_pending()
    assert isinstance(first, tidemark.Pending)
    cell.resume(first.generation)
    with pytest.raises(TimeoutError):
        cell.wait_to_pending(timeout=0.05)
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        cell.wait_to_pending()
    timer.join()
    assert isinstance(cell.terminate(), tidemark.Terminated)


def test_a_large_answer_travels_in_parts(session: tidemark.Session) -> None:
    cell = session.create_cell("for i in range(20): text(str(i % 10) * (1 << 20))")
    texts: list[str] = []
    event: tidemark.Event | None = None
    while not isinstance(event, tidemark.Completed):
        event = cell.observe(30.0)
        texts += [item.text for item in event.output if isinstance(item, tidemark.Text)]
    assert [text[0] for text in texts] == [str(index % 10) for index in range(20)]
    assert {len(text) for text in texts} == {1 << 20}


def test_watchers_see_every_event_and_no_output_twice(session: tidemark.Session) -> None:
    cell = session.create_cell("text('a')\nyield_control()\nawait asyncio.sleep(0.01)\ntext('b')")
    cell.observe(30.0)
    to_the_end(cell)
    events = list(cell.watch())
    indexes = [item.index for event in events for item in event.output]
    assert indexes == [0, 1]
    assert isinstance(events[-1], tidemark.Completed)


def test_stored_values_are_read_and_written(session: tidemark.Session) -> None:
    session.stored.set("k", [1, {"a": b"x"}])
    assert to_the_end(session.create_cell("store('n', load('k')[0])\nexit(load('k'))")).value == (
        [1, {"a": b"x"}]
    )
    assert session.stored.keys() == ("k", "n")
    session.stored.delete("k")
    assert (session.stored.get("k", "none"), session.stored.get("n")) == ("none", 1)


def test_a_cell_that_is_not_there(session: tidemark.Session) -> None:
    with pytest.raises(tidemark.CellNotFoundError):
        session.cell("c00000000000000-00000000")


def test_two_hosts_on_one_state_directory_and_a_client(tmp_path: Path) -> None:
    with tidemark.Session("s", state=tmp_path) as first:
        cell = first.create_cell("exit(1)")
        with pytest.raises(tidemark.SessionHeldError) as held:
            tidemark.Session("s", state=tmp_path).open()
        assert held.value.pid == os.getpid()
        with tidemark.Session("s", state=tmp_path, take_over=True) as second:
            assert [info.id for info in second.cells()] == [cell.id]
            assert next(second.events()).cell_id == cell.id

            def refused() -> bool:
                try:
                    first.cells()
                except tidemark.SessionTakenError:
                    return True
                return False

            until(refused, what="the former holder to be told")
    with tidemark.connect(tmp_path) as client:
        assert [info.name for info in client.sessions()] == ["s"]
        assert isinstance(client.cell(cell.id), tidemark.Cell)
        pid = client.info().pid
    os.kill(pid, signal.SIGTERM)


def test_requests_that_wait_when_a_host_leaves_are_told(tmp_path: Path) -> None:
    async def host() -> list[object]:
        async with tidemark.AsyncSession("left", state=tmp_path / "state") as session:
            free = await session.create_cell("await asyncio.Event().wait()")
            bound = await session.create_pausable_cell("await asyncio.sleep(0)\nwhile True: pass")
            waiting = [
                asyncio.create_task(free.observe(60)),
                asyncio.create_task(bound.wait_to_pending()),
            ]
            await free.status()  # asked after them, so they have been asked
            await session.detach()
            told = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
        async with tidemark.AsyncSession("left", state=tmp_path / "state") as again:
            await again.close()
        async with tidemark.connect_async(tmp_path / "state") as client:
            pid = (await client.info()).pid
        os.kill(pid, signal.SIGTERM)
        return told

    told = asyncio.run(host())
    assert [type(error) for error in told] == [tidemark.SupervisorUnavailableError] * 2
    assert "ask again from a session that is open" in str(told[0])


def test_a_session_that_is_left_while_it_opens_is_left_open_by_nobody(tmp_path: Path) -> None:
    async def left_while_opening(session: tidemark.AsyncSession, leave: str) -> None:
        creating = asyncio.create_task(session.create_cell("await asyncio.sleep(100)"))
        await asyncio.sleep(0)  # now it opens
        await getattr(session, leave)()
        for made in (creating, session.create_cell("1")):
            with pytest.raises(ValueError, match="has been closed"):
                await made

    async def hosts() -> None:
        private = tidemark.AsyncSession(isolation="process")
        await left_while_opening(private, "close")
        place = private._opening._place
        assert isinstance(place, PrivatePlace)
        assert place._life is not None
        assert place._life.has_ended()
        assert place._directory is not None
        assert not place._directory.exists()
        state = tmp_path / "state"
        lasting = tidemark.AsyncSession("s", state=state, isolation="process")
        await left_while_opening(lasting, "detach")
        successor = tidemark.AsyncSession("s", state=state, isolation="process")
        async with successor:  # nobody holds it
            assert await successor.cells() == ()
        async with tidemark.connect_async(state) as client:
            pid = (await client.info()).pid
        os.kill(pid, signal.SIGTERM)

    asyncio.run(hosts())


def test_nobody_listens(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(tidemark.SupervisorUnavailableError, match="no supervisor answers at ipc"):
        tidemark.Session(endpoint=f"ipc://{tmp_path}/nobody").open()
    assert time.monotonic() - began < 8.0
    with pytest.raises(tidemark.SupervisorUnavailableError, match="no state directory"):
        tidemark.connect(tmp_path / "nothing")


@pytest.mark.parametrize("path", ["/tmp/" + "a" * 200, "/tmp/\udcff" + "a" * 200, "/tmp/\ud800"])
def test_nobody_can_listen(path: str) -> None:
    for ask in (tidemark.connect, lambda endpoint: tidemark.Session(endpoint=endpoint).open()):
        with pytest.raises(tidemark.SupervisorUnavailableError, match="cannot be connected to"):
            ask(f"ipc://{path}")


def test_a_path_need_not_be_utf8_to_be_listened_at(place: Path) -> None:
    link = place / "run\udcff"
    supervisor = RunningSupervisor(place / "state")
    try:
        link.symlink_to(place / "state" / "run")
        with tidemark.connect(f"ipc://{link}/host.sock") as client:
            assert client.info().pid == supervisor.pid
    finally:
        supervisor.close()


def test_a_state_directory_is_named_in_text(place: Path) -> None:
    for use in (tidemark.connect, lambda state: tidemark.Session(state=state)):
        with pytest.raises(ValueError, match="not UTF-8"):
            use(place / "state\udcff")


def test_a_private_supervisor_that_is_asked_to_end_takes_its_journal_along() -> None:
    with tidemark.Session() as session:
        cell = session.create_pausable_cell("await asyncio.sleep(1000)")
        first = cell.wait_to_pending()
        assert isinstance(first, tidemark.Pending)
        cell.resume(first.generation)
        with tidemark.connect(_endpoint_of(session)) as client:
            pid = client.info().pid
        threading.Timer(0.1, os.kill, (pid, signal.SIGTERM)).start()
        told = f"process {pid}.*ended with status 0.*open a new session"
        for _ in range(2):
            with pytest.raises(tidemark.SupervisorUnavailableError, match=told):
                cell.wait_to_pending()


def test_nothing_is_left_of_a_host_that_was_killed(tmp_path: Path) -> None:
    program = (
        "import tidemark, os\n"
        "with tidemark.Session() as session:\n"
        "    cell = session.create_cell('yield_control()\\nwhile True: pass')\n"
        "    cell.observe()\n"
        "    print(cell.status().pid, flush=True)\n"
        "    cell.observe(1000)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as host:
        assert host.stdout is not None
        worker = int(host.stdout.readline())
        assert list(tmp_path.iterdir())
        host.kill()
    until(lambda: not _runs(worker), what="the busy worker to be gone")
    until(lambda: not list(tmp_path.iterdir()), what="the directory to be removed")


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _endpoint_of(session: tidemark.Session) -> str:
    connection = session._session._opening.connection
    assert connection is not None
    return connection.endpoint


def test_a_state_that_no_cell_has_is_refused_by_name() -> None:
    with tidemark.Session() as session, pytest.raises(tidemark.ProtocolError) as refused:
        session.cells(state="bogus")
    assert "no cell is 'bogus'" in str(refused.value)
    assert "paused" in str(refused.value)
