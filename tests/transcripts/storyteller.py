"""Tells what is said in one line each, as transcripts show it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgpack
from tidemark.protocol import codec, values
from tidemark.protocol import host_answers as a
from tidemark.protocol import worker_messages as w
from tidemark.protocol.ids import RequestRef, tool_id
from tidemark.protocol.limits import MESSAGE_BYTES_MAX
from tidemark.protocol.packed import EventKind, InputKind, PackedEvent, PackedInput
from tidemark.supervisor.core.records import Entry
from tidemark.supervisor.shell.history import row_of
from tidemark.supervisor.shell.ports import StoredRecord

_WORDS = re.compile(r"(?<!^)(?=[A-Z])")
_CELL = re.compile(r"c[0-9a-f]{14}-[0-9a-f]{8}")


class Storyteller:
    """`names` has what cells and attachments are called in the story."""

    def __init__(self) -> None:
        self.cells: dict[str, str] = {}
        self.hosts: dict[int, str] = {}

    def cell(self, cell: str) -> str:
        return self.cells.get(cell, cell)

    def request(self, ref: RequestRef) -> str:
        return f"{self.hosts.get(ref.attachment, ref.attachment)}'s request {ref.number}"

    def plain(self, text: str) -> str:
        """The text with cells by their names in the story."""
        text = _CELL.sub(lambda match: self.cell(match.group()), text)
        return re.sub(
            r"request (\d+):(\d+)",
            lambda m: self.request(RequestRef(int(m.group(1)), int(m.group(2)))),
            text,
        )

    # -- to hosts ---------------------------------------------------------------------------------

    def to_host(self, message: a.ToHost) -> str:
        if isinstance(message, a.Answered):
            answer = codec.unpack_body(message.content, codec.ANSWER, 8 * MESSAGE_BYTES_MAX)
            return f"{self.answer(answer)}  [{message.number}]"
        if isinstance(message, a.Refused):
            found = msgpack.unpackb(message.attributes)
            more = "".join(f", {name} {value!r}" for name, value in found.items())
            return f"refused: {self.plain(message.code + more)}  [{message.number}]"
        if isinstance(message, a.Unattached):
            return f"Unattached: attach again  [{message.number}]"
        if isinstance(message, a.CallOffered):
            arguments = values.decode(message.arguments)
            again = f", attempt {message.attempt}" if message.attempt > 1 else ""
            name = tool_id(message.call.number)
            shown = f"({arguments})" if arguments else ""
            return f"run {name} of {self.cell(message.call.cell)}: {message.tool}{shown}{again}"
        if isinstance(message, a.CallWithdrawn):
            return f"cancel {tool_id(message.call.number)} of {self.cell(message.call.cell)}"
        if isinstance(message, a.NoticeOffered):
            return f"notification {message.number} of {self.cell(message.cell)}: {message.text!r}"
        return f"session {message.session!r} was taken by {message.by}"

    def answer(self, answer: Any) -> str:
        match answer:
            case a.EventGiven():
                return self.event(answer.event)
            case a.FrontierGiven():
                return "no frontier" if answer.event is None else self.event(answer.event)
            case a.CellMade():
                return f"CellMade {self.cell(answer.cell)}"
            case a.Attached():
                return f"Attached to {answer.session!r}" if answer.session else "Attached"
            case a.ResumedGiven():
                return f"Resumed {answer.generation}"
            case a.AlreadyGiven():
                return f"AlreadyRunning {answer.generation}: {answer.state}, latest {answer.latest}"
            case a.StatusGiven():
                return _status(answer)
            case a.StoredGiven():
                return "nothing" if answer.content is None else repr(values.decode(answer.content))
            case a.CallsGiven():
                calls = ", ".join(tool_id(call.call.number) for call in answer.calls)
                return f"open calls: {calls or 'none'}"
        return _WORDS.sub(" ", type(answer).__name__)

    def event(self, event: PackedEvent) -> str:
        """Kind, number, output, and what else the kind has."""
        words = [f"{event.kind.value.capitalize()} #{event.number}"]
        if event.kind is EventKind.PENDING:
            words.append(f"generation {event.generation}")
            calls = [tool_id(call.number) + ("*" if call.new else "") for call in event.calls]
            words.append("waits for " + (", ".join(calls) or "nothing"))
        if event.reason is not None:
            words.append(event.reason.value)
        if event.value is not None:
            words.append(f"value {values.decode(event.value)!r}")
        if event.error:
            words.append(repr(event.error.strip().splitlines()[-1]))
        words += [f"{item.index}:{item.content!r}" for item in event.output]
        return ", ".join(words)

    # -- to workers and the zygote ----------------------------------------------------------------

    def to_worker(self, message: w.ToWorker) -> str:
        match message:
            case w.Continue():
                brings = _inputs(message.inputs)
                upto = f"take inputs up to {message.upto}"
                return f"Continue {message.generation}: {upto}; {brings or 'brings none'}"
            case w.Deliver():
                return f"Deliver {_inputs(message.inputs)}"
            case w.Adopt() | w.Acknowledge():
                return f"{type(message).__name__}: have {message.have}"
            case w.Fetched():
                return "Fetched"
        return type(message).__name__

    # -- the journal ------------------------------------------------------------------------------

    def commit(self, entries: Sequence[Entry]) -> list[str]:
        """One line for each record of one transaction."""
        lines = []
        for entry in entries:
            row = row_of(StoredRecord(0, 0, entry.record))
            of_cell = entry.scope in self.cells
            where = f"{self.cell(entry.scope)} " if of_cell else ""
            detail = f" ({row.detail})" if row.detail and row.what not in _BRIEF else ""
            mark = "      +" if lines else "journal:"
            lines.append(self.plain(f"{mark} {where}{row.what}{detail}"))
        return lines


_BRIEF = {"cell created"}


def _inputs(inputs: tuple[PackedInput, ...]) -> str:
    return ", ".join(
        f"input {each.number} ("
        + (each.kind.value if each.kind is InputKind.TIMER else f"{tool_id(each.call)}")
        + ("" if each.kind is not InputKind.ERROR else f": {each.message}")
        + ")"
        for each in inputs
    )


def _status(status: a.StatusGiven) -> str:
    words = [
        status.state,
        f"generation {status.generation}",
        f"consumed {status.consumed_generation}",
    ]
    if status.waiting_on:
        words.append("waits for " + ", ".join(status.waiting_on))
    if status.stuck:
        words.append("stuck")
    if status.reason:
        words.append(status.reason)
    return ", ".join(words)
