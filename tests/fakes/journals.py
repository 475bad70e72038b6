"""A journal as cells leave it, written by the real store without any process."""

from __future__ import annotations

from pathlib import Path

from tidemark.protocol import values
from tidemark.protocol.ids import NO_REQUEST, Incarnation, RequestRef, cell_id
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
from tidemark.supervisor.core.facts import CallMark, EventMark
from tidemark.supervisor.shell import journal_schema as schema
from tidemark.supervisor.shell.sqlite_store import SqliteStore

SESSION = "tides"
SCOPE = r.session_scope(SESSION)
LIFE = Incarnation(1, 1)
PAUSED, ENDED, GONE = cell_id(1, 7), cell_id(2, 7), cell_id(3, 7)
AT_NS = 1_700_000_000 * 1_000_000_000


def created(cell: str, kind: CellKind, key: str = "") -> r.Entry:
    inputs = values.encode({"word": "tide", "raw": b"\xff\x00"})
    record = r.CellCreated(
        cell, SESSION, kind, Stepping.DRAIN, "a name", Limits(), 5, RequestRef(1, 9),
        key, bytes(16), 0, 1, "text(word)", inputs,
    )  # fmt: skip
    return r.Entry(cell, record)


def said(cell: str, seq: int, *made: tuple[r.StreamStep, r.Content | None]) -> r.Entry:
    """What a worker says, with its contents."""
    steps = tuple(step for step, _ in made)
    contents = tuple(content for _, content in made if content is not None)
    return r.Entry(cell, r.WorkerSaid(LIFE, seq, (), steps), contents)


def output(cell: str, number: int, text: str) -> tuple[r.Put, r.Content]:
    body = schema.pack_output(PackedOutput(number, OutputKind.TEXT, text, None))
    step = r.Put(OutputKind.TEXT, len(text), values.digest(text.encode()))
    return step, r.Content(cell, r.OUTPUT, number, body)


def call(cell: str, number: int, **arguments: object) -> tuple[r.CallMade, r.Content]:
    body = values.encode(arguments)
    step = r.CallMade(number, "search", len(body), False, values.digest(body))
    return step, r.Content(cell, r.ARGUMENTS, number, body)


def write(cell: str, number: int, key: str, value: object) -> tuple[r.ValueWritten, r.Content]:
    content = values.encode(value)
    step = r.ValueWritten(key, len(key.encode()) + len(content), values.digest(content))
    return step, r.Content(cell, r.WRITE, number, schema.pack_write(key, content))


def result(cell: str, number: int, value: object) -> r.Entry:
    packed = PackedInput(
        number, InputKind.RESULT, number, values.encode(value), "", False, 0, AT_NS
    )
    record = r.CallFinished(number, InputKind.RESULT, number, schema.digest(packed))
    return r.Entry(cell, record, (r.Content(cell, r.INPUT, number, schema.pack_input(packed)),))


def pending(cell: str, number: int, start: int, stop: int, *calls: int) -> r.Entry:
    marks = tuple(CallMark(each, "search", True) for each in calls)
    mark = EventMark(EventKind.PENDING, number, start, stop, number, marks)
    return r.Entry(cell, r.FrontierReached(mark))


def paused_cell() -> list[list[r.Entry]]:
    """At its second frontier, with a value that nobody can see yet."""
    wait = (r.WaitBegun(0, None, ()), None)
    return [
        [created(PAUSED, CellKind.PAUSABLE, "once"), r.Entry(PAUSED, r.WorkerIssued(LIFE))],
        [
            said(PAUSED, 1, output(PAUSED, 0, "one"), call(PAUSED, 1, q="mark"), wait),
            pending(PAUSED, 1, 0, 1, 1),
            r.Entry(PAUSED, r.CallsDispatched(1, (1,))),
        ],
        [result(PAUSED, 1, ["found", b"\x80"])],
        [
            # What came with the confirmation was written beside it.
            r.Entry(
                PAUSED,
                r.GenerationConsumed(1, 1, RequestRef(1, 10), 1),
                (output(PAUSED, 1, "two")[1], write(PAUSED, 1, "depth", 7)[1]),
            ),
            said(PAUSED, 2, *((step, None) for step, _ in _second())),
            pending(PAUSED, 2, 1, 2),
        ],
    ]


def _second() -> list[tuple[r.StreamStep, r.Content | None]]:
    wait = (r.WaitBegun(1, None, ()), None)
    return [output(PAUSED, 1, "two"), write(PAUSED, 1, "depth", 7), wait]


def ended_cell() -> list[list[r.Entry]]:
    """Completed and acknowledged; what it wrote is there, its old output is not."""
    long = "y" * 700_000
    yields = [EventMark(EventKind.YIELDED, n, n - 1, n) for n in (1, 2)]
    final = EventMark(
        EventKind.COMPLETED, 3, 2, 3, reason=Reason.ENDED, value=values.encode("done")
    )
    notice = (r.NoticeMade("look", values.digest(b"look")), None)
    written = write(ENDED, 1, "k", {"a": 1})
    sizes = ((written[0].key, written[0].size),)
    published = r.StoredChanged(SESSION, 1, sizes, ENDED, NO_REQUEST, b"")
    return [
        [created(ENDED, CellKind.CONTINUING), r.Entry(ENDED, r.WorkerIssued(LIFE))],
        [said(ENDED, 1, output(ENDED, 0, long)), r.Entry(ENDED, r.YieldMade(yields[0]))],
        [r.Entry(ENDED, r.EventAcknowledged(1))],
        [said(ENDED, 2, output(ENDED, 1, long), written, notice)],
        [r.Entry(ENDED, r.YieldMade(yields[1])), r.Entry(ENDED, r.NoticesDelivered(1))],
        [r.Entry(ENDED, r.EventAcknowledged(2)), said(ENDED, 3, output(ENDED, 2, "end"))],
        [r.Entry(ENDED, r.CellCompleted(final, 1)), r.Entry(SCOPE, published)],
        [r.Entry(ENDED, r.EventAcknowledged(3))],
    ]


def terminated_cell() -> list[list[r.Entry]]:
    final = EventMark(EventKind.TERMINATED, 1, 0, 0)
    written = said(GONE, 1, write(GONE, 1, "never", 1), call(GONE, 1, q="x"))
    return [
        [created(GONE, CellKind.CONTINUING), r.Entry(GONE, r.WorkerIssued(LIFE)), written],
        [r.Entry(GONE, r.CellTerminated(final, RequestRef(1, 11)))],
    ]


def write_journal(path: Path) -> None:
    """A session, its host, a value of the host's, and three cells."""
    opened = r.SessionOpened(SESSION, "process", False)
    host = r.AttachmentOpened(1, SESSION, bytes(16), 9, "host", 1, 2, (), Limits())
    content = values.encode("by the host")
    size = len("note") + len(content)
    noted = r.StoredChanged(SESSION, 2, (("note", size),), "", RequestRef(1, 12), content)
    store = SqliteStore(path, "crash")
    batches = [[r.Entry(SCOPE, opened), r.Entry(SCOPE, host)]]
    batches += [*paused_cell(), *ended_cell(), *terminated_cell(), [r.Entry(SCOPE, noted)]]
    for number, batch in enumerate(batches):
        store.commit(batch, AT_NS + number)
    store.close()
