"""Who holds a session, what is left of it, keys, names, lists."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
import tidemark

from fakes.cells import completed, in_state, pending, run_through, shown
from fakes.doors import Doors
from fakes.running_supervisor import HostProcess, RunningSupervisor
from fakes.waiting import until


def test_a_held_session_is_refused_and_says_by_whom(
    open_session: Any, supervisor: RunningSupervisor
) -> None:
    session = open_session("held")
    with pytest.raises(tidemark.SessionHeldError) as caught:
        tidemark.Session("held", endpoint=supervisor.endpoint).open()
    assert caught.value.pid == os.getpid()
    assert caught.value.host
    assert caught.value.since > 1.6e9
    assert "take_over" in str(caught.value)
    assert completed(session.create_cell("exit(1)")).value == 1


HOLDER = """
def failure(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__

def slow():
    say("called")
    hear()
    return "from the first"

session = tidemark.Session(sys.argv[2], endpoint=sys.argv[1], tools=[slow])
session.open()
session.stored.set("n", 1)
cell = session.create_pausable_cell("exit(await tools.slow())")
say(cell.id)
try:
    while True:
        session.cells()
        time.sleep(0.01)
except tidemark.SessionTakenError as error:
    say(str(error))
say([failure(lambda: session.create_cell("1")), failure(lambda: session.stored.get("n"))])
time.sleep(0.2)
session.close()
say("closed")
"""


def test_a_session_is_taken_over_and_results_under_way_are_taken(
    supervisor: RunningSupervisor,
) -> None:
    host = HostProcess(HOLDER, supervisor.endpoint, "taken")
    try:
        said = [host.hear(), host.hear()]
        (cell_id,) = [word for word in said if word != "called"]
        with pytest.raises(tidemark.SessionHeldError) as held:
            tidemark.Session("taken", endpoint=supervisor.endpoint).open()
        assert held.value.pid == host.process.pid
        session = tidemark.Session("taken", endpoint=supervisor.endpoint, take_over=True)
        session.open()
        try:
            assert "taken" in host.hear()
            assert host.hear() == ["SessionTakenError", "SessionTakenError"]
            cell = session.cell(cell_id)
            assert isinstance(cell, tidemark.PausableCell)
            host.say()  # only now does its tool return
            assert run_through(cell).value == "from the first"
            assert host.hear() == "closed"
            # The former holder's close was not allowed to end what is not its own any more.
            assert completed(session.create_cell("exit(2)")).value == 2
            assert session.stored.get("n") == 1
        finally:
            session.close()
    finally:
        assert host.close() == ""


def test_a_session_whose_host_was_killed_can_be_opened_at_once(
    supervisor: RunningSupervisor,
) -> None:
    program = """
session = tidemark.Session("orphan", endpoint=sys.argv[1])
session.open()
first = session.create_cell("text('unread')\\nexit(1)")
second = session.create_pausable_cell("text('seen?')\\nawait asyncio.sleep(0.001)\\nexit(2)")
second.wait_to_pending()
say([first.id, second.id])
hear()
"""
    host = HostProcess(program, supervisor.endpoint)
    try:
        first_id, second_id = host.hear()
    finally:
        host.kill()
        host.close()

    def opened() -> tidemark.Session | None:
        session = tidemark.Session("orphan", endpoint=supervisor.endpoint)
        try:
            session.open()
        except tidemark.SessionHeldError:
            return None
        return session

    session = until(opened, seconds=5)
    assert session is not None
    try:
        first, second = session.cell(first_id), session.cell(second_id)
        end = completed(first)
        assert (shown(end), end.value) == ("unread", 1)
        assert isinstance(second, tidemark.PausableCell)
        assert shown(pending(second)) == "seen?"
        assert run_through(second).value == 2
    finally:
        session.close()


SLOW_HOST = """
def slow(n: int) -> int:
    say("called")
    time.sleep(1000)
session = tidemark.Session("calls", endpoint=sys.argv[1], tools=[slow])
session.open()
cell = session.create_cell(
    "r = await asyncio.gather(*(tools.slow(n=n) for n in (1, 2, 3)), return_exceptions=True)\\n"
    "exit([str(one) for one in r])"
)
say(cell.id)
hear()
"""


def test_an_unfinished_call_of_a_killed_host_is_unknown_and_decided_by_the_next(
    supervisor: RunningSupervisor,
) -> None:
    host = HostProcess(SLOW_HOST, supervisor.endpoint)
    try:
        said = [host.hear() for _ in range(4)]
        (cell_id,) = [word for word in said if word != "called"]
    finally:
        host.kill()
        host.close()

    def slow(n: int) -> int:
        return n * 10

    def opened() -> tidemark.Session | None:
        session = tidemark.Session("calls", endpoint=supervisor.endpoint, tools=[slow])
        try:
            session.open()
        except tidemark.SessionHeldError:
            return None
        return session

    session = until(opened, seconds=5)
    assert session is not None
    try:
        calls = until(lambda: len(found := session.calls()) == 3 and found)
        assert calls
        assert [(call.tool, call.arguments, call.unknown) for call in calls] == [
            ("slow", {"n": n}, True) for n in (1, 2, 3)
        ]
        assert [call.key for call in calls] == [f"{cell_id}/tool-{n}" for n in (1, 2, 3)]
        calls[0].finish("given")
        calls[1].fail("decided")
        calls[2].run_again()
        assert completed(session.cell(cell_id)).value == ["given", "decided", "30"]
        assert session.calls() == ()
    finally:
        session.close()


def test_close_ends_the_cells_and_detach_leaves_them(
    supervisor: RunningSupervisor, open_session: Any
) -> None:
    session = open_session("leaving", tools=[])
    cell = session.create_cell("await asyncio.Event().wait()")
    session.detach()
    again = open_session("leaving", tools=[])
    assert [row.id for row in again.cells()] == [cell.id]
    assert again.cell(cell.id).status().state != "terminated"
    with tidemark.connect(supervisor.endpoint) as client:
        (row,) = [row for row in client.sessions() if row.name == "leaving"]
        assert row.unfinished == 1
        assert row.holder is not None
        assert str(os.getpid()) in row.holder
        again.close()
        assert client.cell(cell.id).status().state == "terminated"
        (row,) = [row for row in client.sessions() if row.name == "leaving"]
        assert (row.unfinished, row.holder) == (0, None)
    with pytest.raises(ValueError, match="closed"):
        again.create_cell("1")


def test_a_key_makes_one_cell(session: tidemark.Session, open_session: Any) -> None:
    cell = session.create_cell("exit(1)", idempotency_key="k", inputs={"a": 1})
    completed(cell)
    again = session.create_cell("exit(1)", idempotency_key="k", inputs={"a": 1})
    assert again.id == cell.id
    assert completed(again).value == 1
    different: list[dict[str, Any]] = [
        {"source": "exit(2)", "inputs": {"a": 1}},
        {"source": "exit(1)", "inputs": {"a": 2}},
        {"source": "exit(1)", "inputs": {"a": 1}, "name": "other"},
        {"source": "exit(1)", "inputs": {"a": 1}, "limits": tidemark.Limits(cpu_seconds=9)},
    ]
    for request in different:
        with pytest.raises(tidemark.IdempotencyConflictError) as caught:
            session.create_cell(**request, idempotency_key="k")
        assert caught.value.cell_id == cell.id
    with pytest.raises(tidemark.IdempotencyConflictError):
        session.create_pausable_cell("exit(1)", idempotency_key="k", inputs={"a": 1})
    assert len(session.cells()) == 1
    other = open_session().create_cell("exit(1)", idempotency_key="k", inputs={"a": 1})
    assert other.id != cell.id  # sessions share nothing


def test_names_and_lists(session: tidemark.Session, client: tidemark.Client) -> None:
    cells = [session.create_cell("exit(1)", name=f"cell {n}") for n in range(5)]
    paused = session.create_pausable_cell("await tools.knock(door='x')", name="paused ü")
    pending(paused)
    for cell in cells:
        completed(cell)
    ids = [cell.id for cell in [*cells, paused]]
    assert ids == sorted(ids)  # by creation
    assert len(set(ids)) == 6
    listed = session.cells()
    assert [row.id for row in listed] == ids[::-1]
    assert [row.name for row in listed] == ["paused ü", *[f"cell {n}" for n in (4, 3, 2, 1, 0)]]
    assert (listed[0].kind, listed[0].state, listed[0].generation, listed[0].calls) == (
        "pausable",
        "paused",
        1,
        1,
    )
    page = session.cells(limit=2)
    assert page == listed[:2]
    assert session.cells(limit=2, before=page[-1].id) == listed[2:4]
    assert [row.id for row in session.cells(state="paused")] == [paused.id]
    assert len(session.cells(state="completed")) == 5
    assert [row.id for row in client.cells(session=session.name, state="paused")] == [paused.id]
    assert client.cell(paused.id).name == "paused ü"
    assert repr(paused) == f"<PausableCell {paused.id} 'paused ü'>"


def test_exit_from_odd_places(session: tidemark.Session) -> None:
    sources = [
        "exit(7)",
        "try:\n    exit(7)\nexcept BaseException:\n    exit(8)\nfinally:\n    exit(9)",
        "def f(): g()\ndef g(): exit(7)\nf()",
        "async def f():\n    exit(7)\nasyncio.create_task(f())\nawait asyncio.sleep(100)",
        "asyncio.get_running_loop().call_soon(exit, 7)\nawait asyncio.sleep(100)",
        "import threading\nthreading.Thread(target=exit, args=(7,)).start()\nwhile True: pass",
        "def f(n): return exit(7) if n > 900 else f(n + 1)\nf(0)",
        "class A:\n    def __del__(self): exit(7)\na = A()\ndel a\nexit(8)",
        "async def f():\n    try:\n        yield\n    finally:\n        exit(7)\n"
        "async for _ in f(): break\nimport gc; gc.collect()\nawait asyncio.sleep(100)",
        "async with asyncio.TaskGroup() as g:\n    g.create_task(asyncio.sleep(100))\n    exit(7)",
        "import contextlib\nwith contextlib.suppress(BaseException): exit(7)\nexit(8)",
    ]
    cells = [
        session.create_cell(f"text('kept')\nstore('k{n}', 1)\n{source}")
        for n, source in enumerate(sources)
    ]
    for source, cell in zip(sources, cells, strict=True):
        end = completed(cell)
        assert (end.value, end.reason, end.error, shown(end)) == (7, "ended", None, "kept"), source
    assert len(session.stored.keys()) == len(sources)


def test_exit_with_a_value_that_is_not_plain_goes_on(session: tidemark.Session) -> None:
    cell = session.create_cell("try:\n    exit({1})\nexcept TypeError as error:\n    text(error)")
    end = completed(cell)
    assert "value" in shown(end)
    assert end.value is None


def test_an_error_is_the_cells_own_traceback(session: tidemark.Session) -> None:
    cell = session.create_cell("def f():\n    return {}['key']\nawait asyncio.sleep(0)\nf()\n")
    end = completed(cell)
    assert end.error == (
        "Traceback (most recent call last):\n"
        '  File "<cell>", line 4, in <module>\n'
        "    f()\n"
        '  File "<cell>", line 2, in f\n'
        "    return {}['key']\n"
        "           ~~^^^^^^^\n"
        "KeyError: 'key'\n"
    )


def test_terminate_while_starting_and_in_every_other_state(
    session: tidemark.Session, doors: Doors
) -> None:
    cells = [session.create_cell("while True: pass") for _ in range(6)]
    for cell in cells:
        assert isinstance(cell.terminate(), tidemark.Terminated)
    paused = session.create_pausable_cell("await tools.knock(door='a')")
    pending(paused)
    assert isinstance(paused.terminate(), tidemark.Terminated)
    running = session.create_pausable_cell("await tools.knock(door='a')")
    pending(running)
    running.resume(1)
    assert isinstance(running.terminate(), tidemark.Terminated)
    done = session.create_cell("exit(1)")
    end = completed(done)
    assert done.terminate() == end
    for cell in cells:
        assert in_state(cell, "terminated").reason is None


LARGE = 1_500_000  # more than one answer's part, and than a socket holds


def test_who_observes_has_the_whole_end_when_the_session_is_closed() -> None:
    async def closed_while_observed() -> Any:
        session = tidemark.AsyncSession(isolation="process")
        await session.open()
        source = f"text('x' * {LARGE})\nawait asyncio.Event().wait()"
        cell = await session.create_cell(source)
        observing = asyncio.create_task(cell.observe(60))
        async with asyncio.timeout(20):
            while (await cell.status()).state != "idle":
                await asyncio.sleep(0.01)
        await session.close()
        return await observing

    event = asyncio.run(closed_while_observed())
    assert isinstance(event, tidemark.Terminated)
    assert sum(len(item.text) for item in event.output) == LARGE
