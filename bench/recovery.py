"""How long a supervisor needs to know its cells again: `python bench/recovery.py`.

Three journals are made by the real store, without workers: many finished cells, many unfinished
ones paused at a frontier, and single cells of many frontiers. What is timed is what a start does
before it serves: open the journal, and read back what is not over. README.md says what figures can
bear.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tidemark.protocol import values
from tidemark.protocol.ids import Incarnation, RequestRef, cell_id
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import (
    CellKind,
    EventKind,
    InputKind,
    OutputKind,
    PackedInput,
    PackedOutput,
    Reason,
    Stepping,
)
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core import turn
from tidemark.supervisor.core.facts import CallMark, EventMark
from tidemark.supervisor.core.fleet import Fleet, World
from tidemark.supervisor.shell import journal_schema as schema
from tidemark.supervisor.shell.loop import Loop
from tidemark.supervisor.shell.ports import Ports
from tidemark.supervisor.shell.sqlite_store import SqliteStore

SESSION = "bench"
CELLS = 10_000
FRONTIERS = (100, 1_000, 10_000)
INCARNATION = Incarnation(1, 1)
AT_NS = 1_700_000_000 * 1_000_000_000
BATCH = 500


class Silence:
    """Wires and processes that have nothing to say, and a clock."""

    def drain(self, most: int = 0) -> list[object]:
        """Nothing has happened."""
        return []

    def flush(self) -> None:
        """Nobody was told anything."""

    def watch_host(self, attachment: int, pid: int, started_ns: int) -> None:
        """Nobody is there."""

    def now_ns(self) -> int:
        """Now."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Now, too."""
        return time.monotonic_ns()


def session() -> list[r.Entry]:
    opened = r.SessionOpened(SESSION, "process", False)
    host = r.AttachmentOpened(1, SESSION, bytes(16), 9, "host", 1, 2, (), Limits())
    scope = r.session_scope(SESSION)
    return [r.Entry(scope, opened), r.Entry(scope, host)]


def created(cell: str, number: int) -> list[r.Entry]:
    record = r.CellCreated(
        cell, SESSION, CellKind.PAUSABLE, Stepping.DRAIN, "", Limits(), number,
        RequestRef(1, number), f"key-{number}", bytes(16), 0, 1, "x = await tools.f(a=1)", b"\x80",
    )  # fmt: skip
    return [r.Entry(cell, record), r.Entry(cell, r.WorkerIssued(INCARNATION))]


def step(cell: str, number: int) -> list[r.Entry]:
    """Up to frontier `number`: output, a call that goes out, and what was taken before it."""
    taken = number - 1
    text = f"step {number}\n"
    arguments = values.encode({"a": number})
    steps = (
        r.Put(OutputKind.TEXT, len(text), values.digest(text.encode())),
        r.CallMade(number, "f", len(arguments), False, values.digest(arguments)),
        r.WaitBegun(taken, None, ()),
    )
    body = schema.pack_output(PackedOutput(taken, OutputKind.TEXT, text, None))
    contents = (
        r.Content(cell, r.OUTPUT, taken, body),
        r.Content(cell, r.ARGUMENTS, number, arguments),
    )
    calls = (CallMark(number, "f", True),)
    mark = EventMark(EventKind.PENDING, number, taken, number, number, calls)
    return [
        r.Entry(cell, r.WorkerSaid(INCARNATION, number, (), steps), contents),
        r.Entry(cell, r.FrontierReached(mark)),
        r.Entry(cell, r.CallsDispatched(1, (number,))),
    ]


def resumed(cell: str, number: int) -> list[r.Entry]:
    """The call's result, and the frontier is consumed."""
    packed = PackedInput(number, InputKind.RESULT, number, values.encode("ok"), "", False, 0, AT_NS)
    row = r.Content(cell, r.INPUT, number, schema.pack_input(packed))
    finished = r.CallFinished(number, InputKind.RESULT, number, schema.digest(packed))
    consumed = r.GenerationConsumed(number, number, RequestRef(1, number), number)
    return [r.Entry(cell, finished, (row,)), r.Entry(cell, consumed)]


def ended(cell: str, number: int) -> list[r.Entry]:
    event = EventMark(EventKind.COMPLETED, number, 1, 1, reason=Reason.ENDED)
    return [r.Entry(cell, r.CellCompleted(event, 0)), r.Entry(cell, r.EventAcknowledged(number))]


def finished_cells(count: int) -> Iterator[list[r.Entry]]:
    for number in range(1, count + 1):
        cell = cell_id(number, 7)
        yield [*created(cell, number), *step(cell, 1), *resumed(cell, 1), *ended(cell, 2)]


def paused_cells(count: int) -> Iterator[list[r.Entry]]:
    for number in range(1, count + 1):
        cell = cell_id(number, 7)
        yield [*created(cell, number), *step(cell, 1)]


def long_cell(frontiers: int) -> Iterator[list[r.Entry]]:
    cell = cell_id(1, 7)
    yield created(cell, 1)
    for number in range(1, frontiers + 1):
        yield step(cell, number)
        if number < frontiers:
            yield resumed(cell, number)


def make(path: Path, entries: Iterator[list[r.Entry]]) -> None:
    """A journal with these records."""
    store = SqliteStore(path, "crash")
    store.commit(session(), AT_NS)
    batch: list[r.Entry] = []
    for some in entries:
        batch += some
        if len(batch) >= BATCH:
            store.commit(batch, AT_NS)
            batch = []
    if batch:
        store.commit(batch, AT_NS)
    store.close()


def start(path: Path) -> int:
    """What a start does before it serves; the number of cells in memory."""
    store = SqliteStore(path, "power")
    world = World(
        store.epoch, store.journal_id, store.secret, "process", "power", "0", 1, 1, schema.PACKERS
    )
    silence = Silence()
    loop = Loop(Ports(store, silence, silence, silence), world)
    cells = len(loop.fleet.cells)
    store.close()
    return cells


def recover(path: Path) -> int:
    """One cell's facts, from its records; the number of its inputs."""
    store = SqliteStore(path, "power")
    fleet = Fleet(
        World(store.epoch, store.journal_id, store.secret, "", "", "0", 1, 1, schema.PACKERS)
    )
    for stored in store.session_records():
        turn.recover_session(fleet, stored.record, stored.at_ns)
    for records in map(store.cell_records, store.unfinished_cells()):
        turn.recover_cell(fleet, [(each.record, each.at_ns) for each in records], AT_NS)
    inputs: int = fleet.cells[cell_id(1, 7)].cell.inputs
    store.close()
    return inputs


def timed(name: str, entries: Iterator[list[r.Entry]], act: Callable[[Path], int]) -> None:
    """Make a journal, and print the best of three times as a line of JSON."""
    print(json.dumps({"case": name} | best_of_three(entries, act)), flush=True)


def best_of_three(entries: Iterator[list[r.Entry]], act: Callable[[Path], int]) -> dict[str, float]:
    """Make a journal; the best time of three, what was counted, and the journal's size."""
    with tempfile.TemporaryDirectory(prefix="tm-recovery-", dir="/var/tmp") as folder:
        path = Path(folder) / "journal.db"
        make(path, entries)
        size = path.stat().st_size
        best, count = float("inf"), 0
        for _ in range(3):
            gc.collect()
            before = time.perf_counter()
            count = act(path)
            best = min(best, time.perf_counter() - before)
    return {"seconds": round(best, 4), "count": count, "journal_bytes": size}


def main() -> int:
    """Print a line of JSON for each journal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=CELLS)
    parser.add_argument("--frontiers", type=int, nargs="*", default=FRONTIERS)
    asked = parser.parse_args()
    timed(f"start, {asked.cells:,} finished cells", finished_cells(asked.cells), start)
    timed(f"start, {asked.cells:,} paused cells", paused_cells(asked.cells), start)
    for frontiers in asked.frontiers:
        timed(f"one cell of {frontiers:,} frontiers", long_cell(frontiers), recover)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
