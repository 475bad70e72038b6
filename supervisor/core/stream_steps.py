"""What a cell does when its worker speaks: a `Said` is checked as hostile, item by item.

The result is one `Outcome`: the stream's own record, and the facts that follow from it (a
generation consumed, a frontier reached, output yielded, the end), all committed together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...protocol import limits
from ...protocol.classes import dataclass, field
from ...protocol.packed import EventKind, OutputKind, PackedInput, PackedOutput, Reason
from ...protocol.worker_messages import (
    Abandoned,
    Called,
    Confirmed,
    Emitted,
    Finished,
    Flagged,
    Item,
    Notified,
    Paused,
    Said,
    Waited,
    Wrote,
    YieldAsked,
)
from . import records as r
from .facts import CallMark, CallState, Cell, EventMark, Phase
from .law import LEGAL, CellState, Hostile, Outcome, Told


@dataclass(frozen=True, slots=True)
class Packers:
    """How contents become bytes for the journal, and how a request is told from another.

    `not_plain` says why a value that a worker has packed is no plain data; empty: it is.

    Given by the shell, which owns the codec.
    """

    output: Callable[[PackedOutput], bytes]
    write: Callable[[str, bytes | None], bytes]
    input: Callable[[PackedInput], bytes]
    not_plain: Callable[[bytes], str]
    digest: Callable[[object], bytes]
    digest_of: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Over:
    """A limit of the cell that its worker has exceeded."""

    limit: str
    value: int | float
    used: int | float


@dataclass(frozen=True, slots=True)
class Heard:
    """What a Said amounts to; `finished` or `over` end the cell once `outcome` is applied."""

    outcome: Outcome
    finished: Finished | None
    over: Over | None


@dataclass(slots=True)
class _Reading:
    """A Said while it is read: where the cell would be after the items so far."""

    cell: Cell
    phase: Phase
    packers: Packers
    external: frozenset[str]
    total: int
    bytes: int
    made: int
    open_calls: int
    open_bytes: int
    writes_made: int
    adopted: bool
    steps: list[Any] = field(default_factory=list)
    contents: list[r.Content] = field(default_factory=list)
    consumed: r.GenerationConsumed | None = None
    yields: list[int] = field(default_factory=list)
    paused: Paused | None = None
    paused_total: int = 0
    finished: Finished | None = None
    over: Over | None = None


def said(
    state: CellState, message: Said, packers: Packers, external: frozenset[str], *, adopted: bool
) -> Heard:
    """One message of the stream, next in order.

    Args:
        external: names of tools whose calls are not dispatched to the holder.
        adopted: the worker was started by an earlier supervisor, whose Continue it may confirm.

    Raises:
        Hostile: no honest worker could have said this.
    """
    cell = state.cell
    if cell.incarnation is None:
        raise AssertionError("a worker without an incarnation cannot have spoken")
    reading = _Reading(
        cell=cell,
        phase=state.phase,
        packers=packers,
        external=external,
        total=cell.output.total,
        bytes=cell.output.bytes,
        made=cell.calls_made,
        open_calls=len(cell.calls),
        open_bytes=cell.calls_bytes,
        writes_made=cell.writes_made,
        adopted=adopted,
    )
    for item in message.items:
        if reading.paused is not None and isinstance(item, (Called, Paused, Waited, Abandoned)):
            raise Hostile(f"{type(item).__name__} after Paused")
        if reading.finished is not None:
            raise Hostile("an item after Finished")
        told, read = _ITEMS[type(item)]
        if told not in LEGAL[reading.phase]:
            raise Hostile(f"{told.value} while {reading.phase.value}")
        read(reading, item, state)
        if reading.over is not None:
            break
    steps = tuple(reading.steps)
    stream = r.WorkerSaid(cell.incarnation, message.seq, message.ticks, steps, message.readings)
    outcome = Outcome(state, _records(state, reading, stream), tuple(reading.contents))
    return Heard(outcome, reading.finished, reading.over)


def _records(state: CellState, reading: _Reading, stream: r.WorkerSaid) -> tuple[r.CellRecord, ...]:
    records: list[r.CellRecord] = [] if reading.consumed is None else [reading.consumed]
    records.append(stream)
    output = state.cell.output
    number, start = output.events, output.start
    event = output.event
    consumed = reading.consumed
    if consumed is not None and event is not None and consumed.acknowledged == event.number:
        start = event.stop
    observer = state.waits.observer
    if observer is not None and not state.cell.pausable and reading.yields:
        stop = reading.yields[0]
        if stop > start:
            number += 1
            records.append(r.YieldMade(EventMark(EventKind.YIELDED, number, start, stop)))
            start = stop
    if reading.paused is not None:
        number += 1
        records.append(r.FrontierReached(_frontier(reading, reading.paused, number, start)))
    return tuple(records)


def _emitted(reading: _Reading, item: Emitted, state: CellState) -> None:
    size = len(item.content.encode())
    limit = state.cell.limits.output_bytes or limits.CELL_OUTPUT_BYTES_MAX
    if reading.bytes + size > limit:
        reading.over = Over("output_bytes", limit, reading.bytes + size)
        return
    if item.kind is OutputKind.IMAGE and not item.content.startswith("data:"):
        raise Hostile("an image that is no data URI")
    body = reading.packers.output(PackedOutput(reading.total, item.kind, item.content, item.detail))
    reading.contents.append(r.Content(state.cell.id, r.OUTPUT, reading.total, body))
    reading.steps.append(r.Put(item.kind, size, item.digest))
    reading.total += 1
    reading.bytes += size


def _called(reading: _Reading, item: Called, state: CellState) -> None:
    if item.number != reading.made + 1:
        raise Hostile(f"call {item.number} after call {reading.made}")
    _check_plain(reading, item.arguments)
    reading.made = item.number
    reading.open_calls += 1
    reading.open_bytes += len(item.arguments)
    if reading.open_calls > 2 * limits.CALLS_OPEN_MAX:
        reading.over = Over("calls_open", limits.CALLS_OPEN_MAX, reading.open_calls)
    if reading.open_bytes > 2 * limits.CALLS_OPEN_BYTES_MAX:
        reading.over = Over("calls_open_bytes", limits.CALLS_OPEN_BYTES_MAX, reading.open_bytes)
    size = len(item.arguments)
    external = item.tool in reading.external
    reading.steps.append(r.CallMade(item.number, item.tool, size, external, item.digest))
    reading.contents.append(r.Content(state.cell.id, r.ARGUMENTS, item.number, item.arguments))


def _abandoned(reading: _Reading, item: Abandoned, state: CellState) -> None:
    if not 1 <= item.number <= reading.made:
        raise Hostile(f"it abandons call {item.number}, which it never made")
    reading.steps.append(r.CallDropped(item.number))


def _notified(reading: _Reading, item: Notified, state: CellState) -> None:
    reading.steps.append(r.NoticeMade(item.text, item.digest))


def _wrote(reading: _Reading, item: Wrote, state: CellState) -> None:
    if item.content is not None:
        _check_plain(reading, item.content)
    reading.writes_made += 1
    body = reading.packers.write(item.key, item.content)
    reading.contents.append(r.Content(state.cell.id, r.WRITE, reading.writes_made, body))
    size = None if item.content is None else len(item.key.encode()) + len(item.content)
    reading.steps.append(r.ValueWritten(item.key, size, item.digest))


def _yield_asked(reading: _Reading, item: YieldAsked, state: CellState) -> None:
    reading.steps.append(r.YieldWished())
    reading.yields.append(reading.total)


def _flagged(reading: _Reading, item: Flagged, state: CellState) -> None:
    reading.steps.append(r.OwnWorkBegun(item.why, item.line))


def _confirmed(reading: _Reading, item: Confirmed, state: CellState) -> None:
    cell = state.cell
    if not cell.pausable:
        raise Hostile("a continuing cell has nothing to confirm")
    left = cell.consumed if reading.consumed is None else reading.consumed.generation
    if item.generation <= left:
        return  # a repeated Continue was confirmed again
    if reading.phase not in (Phase.CONTINUING, Phase.PAUSED) or item.generation != cell.generation:
        raise Hostile(f"it confirms generation {item.generation}, which it was not asked to leave")
    resuming = state.waits.resuming
    if resuming is not None and not reading.adopted:
        sent = (resuming.upto, resuming.ref, resuming.acknowledged)
        if (item.upto, item.request, item.acknowledged) != sent:
            raise Hostile("it confirms another Continue than it was sent")
    elif not reading.adopted:
        raise Hostile("it confirms a Continue that nobody sent")
    elif not cell.taken < item.upto <= cell.inputs + 1:
        raise Hostile(f"it confirms a step up to input {item.upto} of {cell.inputs}")
    reading.consumed = r.GenerationConsumed(
        item.generation, item.upto, item.request, item.acknowledged
    )
    reading.phase = Phase.RUNNING


def _paused(reading: _Reading, item: Paused, state: CellState) -> None:
    cell = state.cell
    if not cell.pausable or item.generation != cell.generation + 1:
        raise Hostile(f"generation {item.generation} after {cell.generation}")
    _check_taken(reading, item.taken)
    reading.steps.append(r.WaitBegun(item.taken, item.next_timer_ns, item.own_work))
    reading.paused = item
    reading.paused_total = reading.total
    reading.phase = Phase.PAUSED


def _waited(reading: _Reading, item: Waited, state: CellState) -> None:
    if state.cell.pausable and not (reading.consumed or state.cell.consumed):
        raise Hostile("a pausable cell waits without a frontier")
    _check_taken(reading, item.taken)
    reading.steps.append(r.WaitBegun(item.taken, item.next_timer_ns, item.own_work))


def _finished(reading: _Reading, item: Finished, state: CellState) -> None:
    if item.reason not in (Reason.ENDED, Reason.RAISED, Reason.REFUSED, Reason.LIMIT):
        raise Hostile(f"a worker cannot say that its cell is {item.reason.value}")
    if (item.error is None) != (item.reason is Reason.ENDED):
        raise Hostile(f"reason {item.reason.value} with error {item.error is not None}")
    _check_taken(reading, item.taken)
    if item.value is not None:
        _check_plain(reading, item.value)
    reading.finished = item


def _check_plain(reading: _Reading, value: bytes) -> None:
    """Hosts decode it, and other cells: what is none must not get into the journal."""
    why = reading.packers.not_plain(value)
    if why:
        raise Hostile(f"a value that is no plain data: {why}")


def _check_taken(reading: _Reading, taken: int) -> None:
    cell = reading.cell
    upto = cell.inputs
    if cell.pausable:
        consumed = reading.consumed
        upto = min(upto, consumed.upto if consumed is not None else cell.upto)
    if not cell.taken <= taken <= upto:
        raise Hostile(f"it has taken input {taken}; it may take {cell.taken} to {upto}")


def _frontier(reading: _Reading, item: Paused, number: int, start: int) -> EventMark:
    dropped = {step.number for step in reading.steps if isinstance(step, r.CallDropped)}
    shown = reading.cell.calls_shown
    marks = [
        CallMark(call.number, call.tool, call.number > shown)
        for call in reading.cell.calls.values()
        if call.state is not CallState.WITHDRAWN
        and call.number not in dropped
        and not 0 < call.input <= item.taken
    ]
    marks += [
        CallMark(step.number, step.tool, True)
        for step in reading.steps
        if isinstance(step, r.CallMade) and step.number not in dropped
    ]
    if len(marks) > limits.CALLS_OPEN_MAX:
        raise Hostile(f"a frontier with {len(marks):,} calls")
    return EventMark(
        kind=EventKind.PENDING,
        number=number,
        start=start,
        stop=reading.paused_total,
        generation=item.generation,
        calls=tuple(marks),
        next_timer_ns=item.next_timer_ns,
        own_work=item.own_work,
    )


_ITEMS: dict[type[Item], tuple[Told, Callable[[_Reading, Any, CellState], None]]] = {
    Emitted: (Told.EMITTED, _emitted),
    Called: (Told.CALLED, _called),
    Abandoned: (Told.ABANDONED, _abandoned),
    Notified: (Told.NOTIFIED, _notified),
    Wrote: (Told.WROTE, _wrote),
    YieldAsked: (Told.YIELD_ASKED, _yield_asked),
    Confirmed: (Told.CONFIRMED, _confirmed),
    Paused: (Told.PAUSED, _paused),
    Waited: (Told.WAITED, _waited),
    Flagged: (Told.FLAGGED, _flagged),
    Finished: (Told.FINISHED, _finished),
}
