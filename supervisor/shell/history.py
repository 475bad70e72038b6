"""A cell's records in words, for `history`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ...protocol.host_answers import HistoryRow
from ...protocol.ids import tool_id
from ..core import records as r
from ..core.facts import Divergence
from .ports import StoredRecord

_WORD = re.compile(r"(?<!^)(?=[A-Z])")


def row_of(stored: StoredRecord) -> HistoryRow:
    """One line of a cell's history."""
    kind = type(stored.record)
    what = _WORD.sub(" ", kind.__name__).lower()
    detail = _DETAIL.get(kind, _nothing)(stored.record)
    return HistoryRow(stored.number, stored.at_ns, what, detail[:4_000])


def _nothing(record: Any) -> str:
    return ""


def _created(record: r.CellCreated) -> str:
    name = f" {record.name!r}" if record.name else ""
    return f"{record.kind.value}{name}, {len(record.source.encode()):,} bytes of source"


def _said(record: r.WorkerSaid) -> str:
    counts: dict[str, int] = {}
    words = []
    for step in record.steps:
        if isinstance(step, r.CallMade):
            words.append(f"{tool_id(step.number)} {step.tool}")
        elif isinstance(step, r.CallDropped):
            words.append(f"{tool_id(step.number)} dropped")
        elif isinstance(step, r.ValueWritten):
            words.append(
                f"stored {step.key!r}" if step.size is not None else f"deleted {step.key!r}"
            )
        else:
            counts[_STEPS[type(step)]] = counts.get(_STEPS[type(step)], 0) + 1
    words += [name if count == 1 else f"{count} x {name}" for name, count in counts.items()]
    return f"{record.seq}: {', '.join(words) or 'nothing'}"


_STEPS: dict[type, str] = {
    r.Put: "output",
    r.NoticeMade: "notification",
    r.YieldWished: "yield asked",
    r.WaitBegun: "waits",
    r.OwnWorkBegun: "own work",
}


def _divergence(found: Divergence) -> str:
    at = f" (line {found.line})" if found.line else ""
    return f"expected: {found.expected}; actual: {found.actual}{at}"


def _frontier(record: r.FrontierReached) -> str:
    event = record.event
    calls = ", ".join(tool_id(call.number) for call in event.calls) or "no calls"
    return f"generation {event.generation}, event {event.number}: {calls}"


def _consumed(record: r.GenerationConsumed) -> str:
    return f"generation {record.generation} by request {record.request}, input {record.upto}"


def _completed(record: r.CellCompleted) -> str:
    reason = record.event.reason.value if record.event.reason else ""
    last = (record.event.error or "").strip().splitlines()[-1:]
    return ": ".join([f"event {record.event.number}, {reason}", *last])


def _calls(record: r.CallsDispatched | r.CallsUnknown | r.CallsReturned | r.CallsCancelled) -> str:
    calls = ", ".join(tool_id(number) for number in record.calls)
    to = f" to attachment {record.attachment}" if isinstance(record, r.CallsDispatched) else ""
    return calls + to


def _call(record: r.CallFinished) -> str:
    return f"{tool_id(record.call)}: {record.kind.value}, input {record.input}"


_DETAIL: dict[type, Callable[[Any], str]] = {
    r.CellCreated: _created,
    r.WorkerIssued: lambda record: f"incarnation {record.incarnation}",
    r.WorkerSaid: _said,
    r.FrontierReached: _frontier,
    r.GenerationConsumed: _consumed,
    r.YieldMade: lambda record: f"event {record.event.number}",
    r.EventAcknowledged: lambda record: f"event {record.number}",
    r.CallsDispatched: _calls,
    r.CallsUnknown: _calls,
    r.CallsReturned: _calls,
    r.CallsCancelled: _calls,
    r.CallFinished: _call,
    r.TimerDue: lambda record: f"input {record.input}",
    r.NoticesDelivered: lambda record: f"up to {record.upto}",
    r.WorkerLost: lambda record: record.why,
    r.WorkerGreeted: lambda record: record.python,
    r.CellRestored: lambda record: f"incarnation {record.incarnation}, up to message {record.seq}",
    r.ReplayDiverged: lambda record: _divergence(record.divergence),
    r.CellCompleted: _completed,
    r.CellTerminated: lambda record: f"event {record.event.number} by request {record.request}",
}
