"""What a cell's earlier lives have said, and whether a later one says the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ...protocol.classes import dataclass
from ...protocol.ids import tool_id
from ...protocol.packed import OutputKind
from ...protocol.worker_messages import (
    Abandoned,
    Called,
    Confirmed,
    EarlierLife,
    Emitted,
    Finished,
    Flagged,
    Item,
    Notified,
    Paused,
    Waited,
    Wrote,
    YieldAsked,
)
from . import records as r
from .facts import Cell, Divergence, Phase

LINE_MAX = 300


@dataclass(frozen=True)
class Past:
    """The steps of a cell in their order, and what its clock showed; from its records alone."""

    steps: tuple[r.StreamStep, ...]
    ticks: tuple[tuple[int, int], ...]
    readings: int

    def earlier(self, cell: Cell) -> EarlierLife:
        """How far a worker has to come before what it says is new."""
        paused = cell.phase is Phase.PAUSED
        before = cell.generation - 1 if paused else cell.generation
        upto = cell.taken if paused else cell.upto
        # A signal handler that reads the clock within a reading makes two of the same number.
        ticks = len(dict(self.ticks))
        return EarlierLife(ticks, self.readings, cell.taken, before, before, upto)


@dataclass(frozen=True)
class Compared:
    """What one message of a later life amounts to.

    Attributes:
        position: how many steps of the past have been said by now.
        fresh: the items that follow the past, once it is reached; None before.
        waits_at: the last input it has taken, if it waits for the next of its past.
    """

    position: int
    fresh: tuple[Item, ...] | None = None
    waits_at: int | None = None
    divergence: Divergence | None = None


def past_of(records: Iterable[r.Record]) -> Past:
    """The past of a cell from its records, oldest first."""
    steps: list[r.StreamStep] = []
    ticks: list[tuple[int, int]] = []
    readings = 0
    waited = -1
    for record in records:
        if isinstance(record, r.CellRestored):
            ticks += record.ticks
            readings = max(readings, record.readings)
        elif isinstance(record, r.WorkerSaid):
            ticks += record.ticks
            readings = max(readings, record.readings)
            for step in record.steps:
                if isinstance(step, r.WaitBegun):
                    # After Continue it may wait again for the same input.
                    if step.taken == waited and isinstance(steps[-1], r.WaitBegun):
                        continue
                    waited = step.taken
                steps.append(step)
    return Past(tuple(steps), tuple(ticks), readings)


def deliverable(cell: Cell) -> int:
    """The last input that a later life may be given."""
    if cell.phase is Phase.PAUSED:
        return cell.taken
    return min(cell.inputs, cell.upto) if cell.pausable else cell.inputs


def compare(past: Past, position: int, items: tuple[Item, ...], cell: Cell) -> Compared:
    """Go through a message, step by step, until the past is reached or something differs."""
    for index, item in enumerate(items):
        if position == len(past.steps):
            return Compared(position, items[index:])
        expected = past.steps[position]
        if isinstance(item, (Waited, Paused)):
            said, differs = _compare_wait(expected, item, cell)
        else:
            said = _SAME[type(item)](expected, item)
            differs = not said
        if differs:
            return Compared(position, divergence=differ(past, position, item))
        position += said
    if position == len(past.steps):
        return Compared(position, ())
    last = items[-1] if items else None
    if not isinstance(last, (Waited, Paused)):
        return Compared(position)
    if last.taken >= deliverable(cell):
        # It has all that there is for it, and stands still before the end of its past.
        return Compared(position, divergence=differ(past, position, last))
    return Compared(position, waits_at=last.taken)


def _compare_wait(expected: r.StreamStep, item: Waited | Paused, cell: Cell) -> tuple[bool, bool]:
    """Whether this step was said, and whether it differs from what was.

    A later life says where it waits also where an earlier one did not wait, its input being there.
    """
    if isinstance(item, Paused) and item.generation != cell.generation:
        return False, True
    if not isinstance(expected, r.WaitBegun):
        return False, isinstance(item, Paused)
    if expected.taken != item.taken:
        return False, expected.taken < item.taken
    same = expected.next_timer_ns == item.next_timer_ns
    return same, not same


def differ(past: Past, position: int, item: Item) -> Divergence:
    """The first step that differs, in words."""
    step = past.steps[position]
    output = -1
    if isinstance(step, r.Put):
        output = sum(type(each) is r.Put for each in past.steps[:position])
    expected = _STEP_WORDS[type(step)](step)
    actual = _ITEM_WORDS[type(item)](item)
    line = getattr(item, "line", 0)
    return Divergence(expected[:LINE_MAX], actual[:LINE_MAX], line, output)


# -- what counts as the same ----------------------------------------------------------------------


def _never(step: Any, item: Any) -> bool:
    return False


_SAME: dict[type, Callable[[Any, Any], bool]] = {
    Emitted: lambda s, i: type(s) is r.Put and (s.kind, s.digest) == (i.kind, i.digest),
    Called: lambda s, i: (
        type(s) is r.CallMade and (s.number, s.tool, s.digest) == (i.number, i.tool, i.digest)
    ),
    Abandoned: lambda s, i: type(s) is r.CallDropped and s.number == i.number,
    Notified: lambda s, i: type(s) is r.NoticeMade and s.digest == i.digest,
    Wrote: lambda s, i: (
        type(s) is r.ValueWritten
        and (s.key, s.digest, s.size is None) == (i.key, i.digest, i.content is None)
    ),
    YieldAsked: lambda s, i: type(s) is r.YieldWished,
    Confirmed: _never,
    Flagged: _never,
    Finished: _never,
}

# -- in words -------------------------------------------------------------------------------------


def _shown(text: str) -> str:
    return repr(text[:100] + ("..." if len(text) > 100 else ""))


def _wait_words(wait: Any) -> str:
    timer = "" if wait.next_timer_ns is None else f" and the timer at {wait.next_timer_ns}"
    return f"waits after input {wait.taken} for the next{timer}"


_STEP_WORDS: dict[type, Callable[[Any], str]] = {
    r.Put: lambda s: f"{s.kind.value} of {s.size:,} bytes",
    r.CallMade: lambda s: f"{tool_id(s.number)} calls {s.tool} with {s.size:,} bytes",
    r.CallDropped: lambda s: f"{tool_id(s.number)} is cancelled",
    r.NoticeMade: lambda s: f"notifies {_shown(s.text)}",
    r.ValueWritten: lambda s: f"{'deletes' if s.size is None else 'stores'} {_shown(s.key)}",
    r.YieldWished: lambda s: "asks for a yield",
    r.WaitBegun: _wait_words,
    r.OwnWorkBegun: lambda s: f"begins work of its own: {s.why}",
}

_ITEM_WORDS: dict[type, Callable[[Any], str]] = {
    Emitted: lambda i: (
        f"text {_shown(i.content)}"
        if i.kind is OutputKind.TEXT
        else f"{i.kind.value} of {len(i.content):,} bytes"
    ),
    Called: lambda i: f"{tool_id(i.number)} calls {i.tool} with {len(i.arguments):,} bytes",
    Abandoned: lambda i: f"{tool_id(i.number)} is cancelled",
    Notified: lambda i: f"notifies {_shown(i.text)}",
    Wrote: lambda i: f"{'deletes' if i.content is None else 'stores'} {_shown(i.key)}",
    YieldAsked: lambda i: "asks for a yield",
    Waited: _wait_words,
    Paused: _wait_words,
    Confirmed: lambda i: f"confirms generation {i.generation}",
    Flagged: lambda i: f"begins work of its own: {i.why}",
    Finished: lambda i: f"ends ({i.reason.value})",
}
