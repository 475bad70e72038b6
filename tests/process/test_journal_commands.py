"""`tidemark check` and `tidemark export` on journals of real supervisors."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import tidemark as tm

from fakes.cells import completed, pending, run_through
from fakes.command_line import environment, objects, program, tidemark
from fakes.doors import Doors
from fakes.running_supervisor import RunningSupervisor

SOURCE = """
store("mark", {"depth": 7, "raw": b"\\xff"})
text("before")
answer = await tools.knock(door="a")
notify("there")
for number in range(6):
    text("x" * 300_000)
    await asyncio.sleep(0)
    await tools.knock(door="a")
exit(answer)
"""


@pytest.fixture
def running(place: Path) -> Iterator[RunningSupervisor]:
    supervisor = RunningSupervisor(place / "state")
    yield supervisor
    supervisor.close()


def live_through(running: RunningSupervisor, doors: Doors) -> str:
    """A cell that has come to its end, and one that waits; the id of the first."""
    doors.open("a")
    session = tm.Session(
        "tides", tools=[doors.knock], endpoint=running.endpoint, on_notify=lambda notice: None
    )
    with session:
        session.stored.set("note", "by the host")
        cell = session.create_pausable_cell(SOURCE, idempotency_key="once")
        run_through(cell)
        waits = session.create_pausable_cell("await asyncio.sleep(1000)")
        pending(waits)
        session.detach()
    return cell.id


def test_a_journal_can_be_looked_at_while_it_is_used(
    running: RunningSupervisor, doors: Doors
) -> None:
    cell = live_through(running, doors)
    checked = tidemark("check", "--state", running.state)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "is sound: " in checked.stdout
    exported = tidemark("export", cell, "--state", running.state)
    assert (exported.returncode, exported.stderr) == (0, "")
    found = objects(exported.stdout)
    assert found[0]["record"]["source"] == SOURCE
    assert found[-1]["number"] > found[0]["number"]
    values = [
        content["value"]
        for line in found
        for content in line["contents"]
        if content["kind"] == "input" and content["type"] == "result"
    ]
    assert len(values) == 7
    by_endpoint = tidemark("export", cell, "--endpoint", running.endpoint)
    assert objects(by_endpoint.stdout)[: len(found)] == found


def test_output_that_was_acknowledged_does_not_stay(
    running: RunningSupervisor, doors: Doors
) -> None:
    cell = live_through(running, doors)
    with closing(sqlite3.connect(running.state / "journal.db")) as sql:
        query = "SELECT sum(length(body)) FROM contents WHERE cell = ? AND kind = 'o'"
        kept = sql.execute(query, (cell,)).fetchone()[0]
    assert 600_000 < kept <= 1024 * 1024
    with tm.connect(running.state) as client:
        same = client.cell(cell)
        events = list(same.watch())
        numbers = [event.number for event in events]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert numbers[0] > 1
        assert all(len(event.output) == 1 for event in events[:3])
        assert isinstance(events[-1], tm.Completed)
        assert isinstance(same, tm.PausableCell)
        frontier = same.frontier()
        assert frontier is not None
        assert [item.text for item in frontier.output if isinstance(item, tm.Text)]
        assert len(same.history()) > 40


def test_after_a_kill_the_journal_is_as_sound(running: RunningSupervisor, doors: Doors) -> None:
    cell = live_through(running, doors)
    running.signal(signal.SIGKILL)
    running.process.wait()
    checked = tidemark("check", "--state", running.state, "--json")
    (report,) = objects(checked.stdout)
    assert checked.returncode == 0
    assert report["sound"]
    assert report["cells"] == 2
    assert report["last"] == report["records"]
    assert objects(tidemark("export", cell, "--state", running.state).stdout)


def test_damage_is_told_with_what_to_do(running: RunningSupervisor, doors: Doors) -> None:
    cell = live_through(running, doors)
    running.close()
    with closing(sqlite3.connect(running.state / "journal.db")) as sql, sql:
        sql.execute("UPDATE records SET at_ns = at_ns + 1 WHERE scope = ? AND n > 20", (cell,))
        sql.execute("UPDATE records SET body = x'c1' WHERE n = (SELECT max(n) FROM records)")
    checked = tidemark("check", "--state", running.state)
    assert checked.returncode == 1
    assert f"cell {cell}, record 21: the chain of digests is broken" in checked.stdout
    assert "what to do: " in checked.stderr
    in_json = tidemark("check", "--state", running.state, "--json")
    *findings, report = objects(in_json.stdout)
    assert in_json.returncode == 1
    assert not report["sound"]
    assert {finding["type"] for finding in findings} == {"finding"}
    assert findings[0]["record"] == 21


def test_what_is_not_there_is_said(place: Path, running: RunningSupervisor) -> None:
    for arguments in (("check",), ("export", "c0")):
        nowhere = tidemark(*arguments, "--state", place / "nowhere")
        assert nowhere.returncode == 1
        assert nowhere.stdout == ""
        assert "is not there; name the state directory" in nowhere.stderr
        assert not (place / "nowhere").exists()
    unknown = tidemark("export", "c0", "--state", running.state)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "has no cell 'c0'" in unknown.stderr
    astray = tidemark("export", "c0", "--endpoint", "ipc:///tmp/elsewhere.sock")
    assert astray.returncode == 2
    assert "name its state directory with --state" in astray.stderr


def test_a_reader_that_goes_is_no_error(running: RunningSupervisor, doors: Doors) -> None:
    cell = live_through(running, doors)
    command = [program(), "export", cell, "--state", str(running.state)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as export:
        assert export.stdout is not None
        assert export.stderr is not None
        assert export.stdout.read(1) == b"{"
        export.stdout.close()
        assert export.stderr.read() == b""
        assert export.wait(20) == 141


def test_a_completed_cell_is_read_back(running: RunningSupervisor, doors: Doors) -> None:
    """What was removed is not missed by the next supervisor."""
    cell = live_through(running, doors)
    running.close()
    again = RunningSupervisor(running.state)
    try:
        with tm.connect(again.state) as client:
            same = client.cell(cell)
            assert isinstance(same, tm.PausableCell)
            assert completed(same).reason == "ended"
    finally:
        again.close()
