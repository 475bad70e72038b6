"""The disk refuses a write of the supervisor: what it knows is then what is on the disk.

The kernel refuses it: the size of a file that the supervisor may write is lowered while it runs.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tidemark
from tidemark import JournalError, PausableCell, Pending, Resumed

from fakes.cells import SECONDS, pending, pid_of
from fakes.process_watch import alive
from fakes.running_supervisor import RunningSupervisor
from fakes.supervisor_end import only_with_sockets
from fakes.supervisors import end_all
from fakes.waiting import until

SOURCE = "while True:\n    await tools.echo(value=1)"
CYCLES = 40  # so that the log is longer than the database will be


def echo(value: int) -> int:
    """What came."""
    return value


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "state"
    end_all(tmp_path / "state")


def may_write(pid: int, size: int) -> None:
    """From now on no file of this process may become larger."""
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


def cycle(cell: PausableCell) -> Pending:
    assert isinstance(cell.resume(pending(cell).generation, timeout=SECONDS), Resumed)
    return pending(cell)


@contextmanager
def at_its_bound(
    state: Path,
) -> Iterator[tuple[RunningSupervisor, tidemark.Session, PausableCell]]:
    """A cell at a frontier, under a supervisor whose next commit fails.

    The log cannot grow any more. When all is closed it is moved into the database, and is empty.
    """
    made = RunningSupervisor(state, "--durability=power", "--spares=0")
    try:
        with tidemark.Session(endpoint=made.endpoint, tools=[echo]) as session:
            cell = session.create_pausable_cell(SOURCE)
            for _ in range(CYCLES):
                cycle(cell)
            may_write(made.pid, (state / "journal.db-wal").stat().st_size)
            yield made, session, cell
    finally:
        made.close()


def test_one_write_that_fails_begins_a_new_epoch_in_the_same_process(state: Path) -> None:
    with at_its_bound(state) as (made, _, cell):
        here, worker = pending(cell), pid_of(cell)
        assert cycle(cell).generation == here.generation + 1
        assert pid_of(cell) == worker, "it was adopted"
        with tidemark.connect(made.endpoint) as client:
            assert client.info().epoch == made.ready["epoch"] + 1
        assert made.process.poll() is None


def test_who_asked_is_told_that_nothing_was_acknowledged(state: Path) -> None:
    with at_its_bound(state) as (_, session, cell):
        with pytest.raises(JournalError, match="nothing was acknowledged"):
            session.create_cell("text('a')", name="refused")
        assert [row.id for row in session.cells()] == [cell.id]
        assert session.create_cell("exit(7)").observe(SECONDS)


@only_with_sockets  # or the worker cannot find the successor, and its cell is run again
def test_a_disk_that_goes_on_failing_is_left_to_a_successor(state: Path) -> None:
    with tidemark.Session("tides", state=state, tools=[echo]) as session:
        cell = session.create_pausable_cell(SOURCE)
        here = cycle(cell)
        worker = pid_of(cell)
        with tidemark.connect(state) as client:
            before = client.info()
        may_write(before.pid, 1)
        # The host starts another supervisor by itself, which may write.
        assert cycle(cell).generation == here.generation + 1
        assert pid_of(cell) == worker, "it was adopted"
        with tidemark.connect(state) as client:
            assert client.info().epoch > before.epoch
        until(lambda: not alive(before.pid), what="the end of the one that could not write")
        cell.terminate()
