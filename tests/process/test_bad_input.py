"""Wrong arguments and wrong surroundings: an error of the right type, soon, and nothing changed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import tidemark

from fakes.cells import completed
from fakes.process_watch import until_none
from fakes.running_supervisor import RunningSupervisor

MIB = 2**20


def test_a_source_of_two_mebibytes(session: tidemark.Session) -> None:
    source = "x = 1\n" * (2 * MIB // 6)
    for create in (session.create_cell, session.create_pausable_cell):
        with pytest.raises(tidemark.LimitExceededError) as caught:
            create(source)
        assert caught.value.value == MIB
        assert caught.value.used == len(source)
        assert "source" in caught.value.limit
    assert session.cells() == ()
    almost = "#" * (MIB - 10) + "\nexit(1)"
    assert completed(session.create_cell(almost)).value == 1


def test_a_source_that_does_not_compile_is_no_error_of_create(session: tidemark.Session) -> None:
    end = completed(session.create_cell("text('x')\nif:\n"))
    assert end.reason == "refused"
    assert end.error is not None
    assert "SyntaxError" in end.error
    assert "line 2" in end.error
    assert "tidemark" not in end.error.lower()
    assert completed(session.create_cell("\x00")).reason == "refused"
    assert completed(session.create_cell("é = 'ü'\nexit(é)".encode())).value == "ü"
    with pytest.raises(ValueError, match="UTF-8"):
        session.create_cell(b"exit('\xe9')")


@pytest.mark.parametrize("source", [None, 3, ["text(1)"]])
def test_a_source_is_text(session: tidemark.Session, source: Any) -> None:
    with pytest.raises(TypeError):
        session.create_cell(source)


@pytest.mark.parametrize(
    "inputs",
    [{"a": {1}}, {"a": [float("nan")]}, {"a": object()}, {1: 2}, {"a": {1: 2}}, {"a": 2**64}],
)
def test_inputs_are_plain_data(session: tidemark.Session, inputs: Any) -> None:
    with pytest.raises(TypeError):
        session.create_cell("exit(1)", inputs=inputs)
    assert session.cells() == ()


def test_inputs_are_bounded_and_names(session: tidemark.Session) -> None:
    with pytest.raises(tidemark.LimitExceededError) as caught:
        session.create_cell("exit(1)", inputs={"a": "x" * (5 * MIB)})
    assert caught.value.value == 4 * MIB
    with pytest.raises((ValueError, TypeError)):
        session.create_cell("exit(1)", inputs={"not a name": 1})
    assert session.cells() == ()
    assert completed(session.create_cell("exit(a)", inputs={"a": [1, {"b": None}]})).value == [
        1,
        {"b": None},
    ]


@pytest.mark.parametrize("key", ["3", "None", "b'k'", "('a',)"])
def test_a_key_that_is_no_string(session: tidemark.Session, key: str) -> None:
    for call in (f"store({key}, 1)", f"load({key})", f"delete({key})"):
        end = completed(session.create_cell(call))
        assert end.reason == "raised"
        assert end.error is not None
        assert "TypeError" in end.error
        assert "str" in end.error
    assert session.stored.keys() == ()


def test_wrong_arguments_of_observations(session: tidemark.Session) -> None:
    cell = session.create_cell("await asyncio.Event().wait()")
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="yield_after"):
            cell.observe(wrong)
    with pytest.raises(TypeError):
        cell.observe("soon")  # type: ignore[arg-type]
    for wrong in (0, 1001):
        with pytest.raises(ValueError, match="limit"):
            cell.history(limit=wrong)
    with pytest.raises(ValueError, match="after"):
        cell.history(after=-1)


@pytest.mark.parametrize("cell", ["", "nonsense", "c" + "0" * 14 + "-" + "0" * 8, "c" * 300])
def test_a_cell_that_is_not_there(
    session: tidemark.Session, client: tidemark.Client, cell: str
) -> None:
    for finder in (session, client):
        with pytest.raises((tidemark.CellNotFoundError, ValueError)):
            finder.cell(cell)


def test_an_endpoint_that_nobody_listens_on(place: Path) -> None:
    endpoint = f"ipc://{place}/nobody.sock"

    async def refused(opening: Coroutine[Any, Any, Any]) -> None:
        started = time.monotonic()
        with pytest.raises(tidemark.SupervisorUnavailableError, match=r"nobody\.sock") as caught:
            await opening
        assert time.monotonic() - started < 6
        assert "tidemark serve" in str(caught.value)

    async def main() -> None:
        session = tidemark.AsyncSession(endpoint=endpoint)
        client = tidemark.connect_async(endpoint)
        await asyncio.gather(refused(session.open()), refused(client.__aenter__()))

    asyncio.run(main())


def test_an_endpoint_where_somebody_else_listens(place: Path) -> None:
    path = place / "other.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        started = time.monotonic()
        with pytest.raises(tidemark.SupervisorUnavailableError):
            tidemark.connect(f"ipc://{path}")
        assert time.monotonic() - started < 6


@pytest.mark.parametrize("endpoint", ["nowhere", "http://localhost", "ipc://", "", "tcp://h:1"])
def test_an_endpoint_that_is_none(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"endpoint|tcp"):
        tidemark.Session(endpoint=endpoint)


def test_a_directory_without_a_journal_is_no_place_to_connect_to(place: Path) -> None:
    with pytest.raises(tidemark.SupervisorUnavailableError, match="no state directory"):
        tidemark.connect(place)
    assert list(place.iterdir()) == []


def test_a_directory_held_by_another_supervisor(supervisor: RunningSupervisor) -> None:
    command = [sys.executable, "-m", "tidemark.supervisor", "--state", str(supervisor.state)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode == 1
    assert str(supervisor.pid) in second.stderr
    assert supervisor.endpoint in second.stderr
    with tidemark.connect(supervisor.state) as client:
        assert client.info().pid == supervisor.pid


def test_a_path_of_two_hundred_bytes(place: Path) -> None:
    state = place / ("d" * 90) / ("e" * 90) / "s"
    state = state.with_name("s" * (200 - len(os.fsencode(state)) + 1))
    assert len(os.fsencode(state)) == 200
    state.parent.mkdir(parents=True)
    running = RunningSupervisor(state)
    try:
        with tidemark.Session("long", state=state) as session:
            assert completed(session.create_cell("exit(1)")).value == 1
        facts = json.loads((state / "supervisor.json").read_text())
        run = Path(facts["run"])
        assert len(str(run)) < 100
        assert run.stat().st_mode & 0o777 == 0o700
        running.process.terminate()
        assert running.ended() == 0
        assert not run.exists()
    finally:
        running.close()


def bytes_of(state: Path) -> dict[str, bytes]:
    """The journal, and whatever SQLite may have put beside it."""
    return {path.name: path.read_bytes() for path in state.glob("journal.db*")}


def refused_journal(state: Path, words: str) -> None:
    """Neither session nor command uses this journal, and it stays as it is."""
    before = bytes_of(state)
    started = time.monotonic()
    with pytest.raises(tidemark.JournalError, match=words):
        tidemark.Session("s", state=state).open()
    assert time.monotonic() - started < 10
    with pytest.raises(tidemark.JournalError, match=words):
        tidemark.connect(state)
    assert bytes_of(state) == before
    until_none(str(state), seconds=5)


def test_a_journal_of_a_newer_version(place: Path) -> None:
    state = place / "state"
    running = RunningSupervisor(state)
    running.process.terminate()
    running.ended()
    running.close()
    with sqlite3.connect(state / "journal.db") as journal:
        (version,) = journal.execute("PRAGMA user_version").fetchone()
        journal.execute(f"PRAGMA user_version = {version + 1}")
    journal.close()
    refused_journal(state, "newer|version")


def test_a_journal_that_is_none(place: Path) -> None:
    state = place / "random"
    state.mkdir()
    (state / "journal.db").write_bytes(os.urandom(100_000))
    refused_journal(state, "journal")
    shutil.rmtree(state)
    state.mkdir()
    (state / "journal.db").write_text("just some text")
    refused_journal(state, "journal")


def test_a_database_of_somebody_else(place: Path) -> None:
    state = place / "theirs"
    state.mkdir()
    with sqlite3.connect(state / "journal.db") as theirs:
        theirs.execute("CREATE TABLE precious (stone TEXT)")
        theirs.execute("INSERT INTO precious VALUES ('ruby')")
    theirs.close()
    refused_journal(state, "journal")


def test_a_state_that_is_a_file(place: Path) -> None:
    path = place / "file"
    path.write_text("x")
    with pytest.raises(tidemark.SupervisorUnavailableError, match="file"):
        tidemark.Session(state=path).open()
    assert path.read_text() == "x"


@pytest.mark.parametrize("level", ["restricted", "sealed"])
def test_a_level_is_had_or_refused_with_what_is_missing(open_session: Any, level: str) -> None:
    refusal = None
    try:
        assert open_session(f"isolated {level}", isolation=level).isolation == level
    except tidemark.IsolationUnavailableError as error:
        refusal = error
    if refusal is not None:
        assert refusal.missing
        assert all(line.startswith(f"{level}: ") for line in refusal.missing)
        with pytest.raises(tidemark.IsolationUnavailableError):
            tidemark.Session(isolation=level).open()


def test_a_level_that_does_not_exist_and_one_that_a_session_does_not_have(
    open_session: Any,
) -> None:
    with pytest.raises(ValueError, match="isolation"):
        tidemark.Session(isolation="medium")
    open_session("unconfined", isolation="process").detach()
    with pytest.raises(tidemark.IsolationUnavailableError) as caught:
        open_session("unconfined", isolation="sealed")
    assert "process" in caught.value.missing[0]
    assert open_session("unconfined").isolation == "process"


def test_durability_that_the_supervisor_does_not_have_is_refused(
    open_session: Any, supervisor: RunningSupervisor
) -> None:
    with pytest.raises(tidemark.TidemarkError, match="power") as caught:
        open_session("durable", durability="power")
    assert type(caught.value) is not tidemark.TidemarkError, "a named error, not an internal one"
    assert open_session("crash", durability="crash").durability == "crash"
    with pytest.raises(ValueError, match="durability"):
        tidemark.Session(durability="eternal")


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 201},
        {"endpoint": "ipc:///a", "state": "/b"},
        {"limits": tidemark.Limits()},
    ],
)
def test_session_arguments(arguments: dict[str, Any]) -> None:
    if "limits" in arguments:
        with pytest.raises(TypeError):
            tidemark.Session(limits={"memory_bytes": 1})  # type: ignore[arg-type]
        for wrong in ({"memory_bytes": -1}, {"cpu_seconds": 0}, {"wall_seconds": "1"}):
            with pytest.raises((TypeError, ValueError)):
                tidemark.Limits(**wrong)
        return
    with pytest.raises(ValueError, match=r"name|state or endpoint"):
        tidemark.Session(**arguments)
