"""From values as they travel to values as hosts see them. Pure."""

from __future__ import annotations

from ..protocol import ids, values
from ..protocol.frontier import (
    Completed,
    Event,
    Frontier,
    Image,
    OutputItem,
    Pending,
    Terminated,
    Text,
    ToolCall,
    Yielded,
)
from ..protocol.host_answers import CellRow, HistoryRow, InfoGiven, SessionRow, StatusGiven
from ..protocol.packed import EventKind, OutputKind, PackedCall, PackedEvent, PackedOutput
from ._values import CellInfo, HistoryEntry, SessionInfo, Status, SupervisorInfo

_NS = 1e9


def event_of(packed: PackedEvent, first_index: int = 0) -> Event:
    """An event, without the output items before position `first_index`."""
    output = tuple(_item(item) for item in packed.output if item.index >= first_index)
    if packed.kind is EventKind.YIELDED:
        return Yielded(packed.number, output)
    if packed.kind is EventKind.TERMINATED:
        return Terminated(packed.number, output)
    if packed.kind is EventKind.COMPLETED:
        value = None if packed.value is None else values.decode(packed.value, "value")
        reason = packed.reason.value if packed.reason else "ended"
        return Completed(packed.number, output, packed.error, reason, value)
    return Pending(
        packed.number,
        output,
        packed.generation,
        _calls(packed.calls),
        seconds(packed.next_timer_ns),
        packed.own_work,
    )


def frontier_of(packed: PackedEvent) -> Frontier:
    """The frontier in a Pending event, with all its output."""
    return Frontier(
        packed.generation,
        tuple(_item(item) for item in packed.output),
        _calls(packed.calls),
        seconds(packed.next_timer_ns),
        packed.own_work,
    )


def _item(item: PackedOutput) -> OutputItem:
    if item.kind is OutputKind.TEXT:
        return Text(item.content, item.index)
    return Image(item.content, item.detail, item.index)


def _calls(calls: tuple[PackedCall, ...]) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(
            ids.tool_id(call.number),
            call.tool,
            values.decode(call.arguments, "arguments"),
            call.new,
        )
        for call in calls
    )


def seconds(time_ns: int | None) -> float | None:
    """A time or duration in seconds; None stays None."""
    return None if time_ns is None else time_ns / _NS


def status_of(given: StatusGiven) -> Status:
    """A cell's status."""
    return Status(
        state=given.state,
        generation=given.generation,
        consumed_generation=given.consumed_generation,
        incarnation=given.incarnation or None,
        pid=given.pid or None,
        waiting_on=given.waiting_on,
        next_timer=seconds(given.next_timer_ns),
        stuck=given.stuck,
        replayable=given.replayable,
        reason=given.reason or None,
        memory_bytes=given.memory_bytes,
        cpu_seconds=seconds(given.cpu_ns),
        restarts=given.restarts,
        session=given.session,
        name=given.name,
        kind=given.kind.value,
        since=given.since_ns / _NS,
        isolation=given.isolation,
    )


def history_entry(row: HistoryRow) -> HistoryEntry:
    """One record of a cell."""
    return HistoryEntry(row.number, row.at_ns / _NS, row.what, row.detail)


def cell_info(row: CellRow) -> CellInfo:
    """One cell in a list."""
    return CellInfo(
        row.cell,
        row.session,
        row.name,
        row.kind.value,
        row.state,
        row.generation,
        row.calls,
        row.created_ns / _NS,
        row.since_ns / _NS,
    )


def session_info(row: SessionRow) -> SessionInfo:
    """One session in a list."""
    return SessionInfo(row.name, row.holder or None, row.since_ns / _NS, row.unfinished)


def supervisor_info(given: InfoGiven) -> SupervisorInfo:
    """What a supervisor is."""
    return SupervisorInfo(
        given.version,
        given.pid,
        given.epoch,
        given.journal,
        given.isolation,
        given.durability,
        given.started_ns / _NS,
        given.unfinished,
        given.workers,
        given.dropped,
    )
