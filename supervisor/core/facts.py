"""What is known as fact about one cell, and nothing else.

A `Cell` changes only through `apply.py`: a record in, the next `Cell` out. So replaying a cell's
records is the only recovery there is, and putting an older value back undoes a commit that failed.
Contents (output, arguments, results) are not here: the journal has them under (cell, kind, number).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from ...protocol.classes import dataclass, field
from ...protocol.ids import NO_REQUEST, Incarnation, RequestRef
from ...protocol.limits import Limits
from ...protocol.packed import CellKind, EventKind, Reason, Stepping
from ...protocol.shape import Count, Line, Name, Prose, Signed, TimeNs, Value


class Phase(Enum):
    """What is happening in a cell.

    CONTINUING is not a fact but a wish under way: Continue has been sent and is unconfirmed. It is
    seen by `CellState.phase`, never stored.
    """

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    CONTINUING = "continuing"
    FINISHED = "finished"


class CallState(Enum):
    """Where a tool call's receipt stands."""

    WAITING = "waiting"  # journaled; no attachment has it
    DISPATCHED = "dispatched"  # may have reached its attachment
    UNKNOWN = "unknown"  # its attachment ended without a result
    FINISHED = "finished"  # its result is a queued input
    WITHDRAWN = "withdrawn"  # the cell does not wait any more; the host has not said so yet


@dataclass(frozen=True)
class Call:
    """The receipt of one call that is not over. `input`: the number of its result, or 0."""

    number: int
    tool: str
    size: int
    external: bool
    state: CallState = CallState.WAITING
    attachment: int = 0
    attempt: int = 0
    input: int = 0


@dataclass(frozen=True, slots=True)
class CallMark:
    """A call in a frontier, without its arguments."""

    number: Count
    tool: Name
    new: bool


@dataclass(frozen=True, slots=True)
class EventMark:
    """An event without its contents: output items from `start` up to (without) `stop`."""

    kind: EventKind
    number: Count
    start: Count
    stop: Count
    generation: Count = 0
    calls: tuple[CallMark, ...] = ()
    next_timer_ns: TimeNs | None = None
    own_work: tuple[Line, ...] = ()
    reason: Reason | None = None
    error: Prose | None = None
    value: Value | None = None


@dataclass(frozen=True, slots=True)
class Queued:
    """An input that the journal has and the cell has not been seen to take."""

    number: int
    call: int
    due_ns: int


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where a later life of a cell did something else than the journal has.

    Attributes:
        line: of the cell's source, where the other step was taken; 0 if unknown.
        output: the position of the expected output item; -1 when another step was expected.
    """

    expected: Line
    actual: Line
    line: Count
    output: Signed = -1


@dataclass(frozen=True)
class Output:
    """How much a cell has put out, and what events have carried of it.

    Attributes:
        start: where the next event's output begins.
        event: the last event that was numbered, until it is acknowledged or skipped.
        events: the last number given to an event.
    """

    total: int = 0
    bytes: int = 0
    start: int = 0
    event: EventMark | None = None
    events: int = 0
    yield_mark: int | None = None
    observed: bool = False


@dataclass(frozen=True)
class Cell:
    """The facts of one cell. `taken` is the last input that the worker has reported as taken.

    Attributes:
        python: what later lives of the cell depend on, as its first worker has said.
        replays: the current incarnation has not said yet all that the journal has.
        gone: the current incarnation is known to have ended.
        losses: incarnations that the cell itself has lost since it last took an input, in words.
        diverged: how the last later life failed; None when another one has begun since.
        tools_ns: how long it has waited for tools, up to `tools_since_ns` if that is not 0. Counted
            only for a cell whose time is limited.
    """

    id: str
    session: str
    kind: CellKind
    stepping: Stepping
    name: str
    limits: Limits
    created_us: int
    created_by: RequestRef
    stored_version: int
    tools_of: int
    phase: Phase = Phase.STARTING
    since_ns: int = 0
    incarnation: Incarnation | None = None
    spare: int = 0
    restarts: int = 0
    have: int = 0
    python: str = ""
    replays: bool = False
    gone: bool = False
    losses: tuple[str, ...] = ()
    diverged: Divergence | None = None
    # frontiers
    generation: int = 0
    consumed: int = 0
    consumed_by: RequestRef = NO_REQUEST
    frontier: EventMark | None = None
    # inputs and calls
    upto: int = 0
    taken: int = 0
    inputs: int = 0
    queued: tuple[Queued, ...] = ()
    calls: Mapping[int, Call] = field(default_factory=dict)
    calls_made: int = 0
    calls_bytes: int = 0
    calls_shown: int = 0
    # what it waits for
    waiting: bool = False
    next_timer_ns: int | None = None
    own_work: tuple[str, ...] = ()
    flagged: str = ""
    # what it gives
    output: Output = Output()
    writes: Mapping[str, int | None] = field(default_factory=dict)
    writes_made: int = 0
    notices: tuple[tuple[int, str], ...] = ()
    notices_made: int = 0
    final: EventMark | None = None
    final_seen: bool = False
    # what its time is spent on
    tools_ns: int = 0
    tools_since_ns: int = 0

    @property
    def pausable(self) -> bool:
        return self.kind is CellKind.PAUSABLE

    def waits_for(self) -> tuple[Call, ...]:
        """The calls that the cell's code waits for, in numeric order."""
        return tuple(c for c in self.calls.values() if c.state is not CallState.WITHDRAWN)

    def stuck(self) -> bool:
        """Whether nothing that exists can ever wake the cell."""
        quiet = self.waiting or self.phase is Phase.PAUSED
        return (
            quiet
            and self.phase is not Phase.FINISHED
            and not self.waits_for()
            and not self.queued
            and self.next_timer_ns is None
            and not self.own_work
        )

    def waits_for_tools(self) -> bool:
        """Whether its code has nothing to do before a tool's result has come."""
        if self.phase is Phase.PAUSED:
            idle = True
        else:
            # A pausable one that was resumed takes what comes first; its worker says nothing then.
            resumed = self.pausable and self.consumed > 0
            idle = self.phase is Phase.RUNNING and not self.queued and (self.waiting or resumed)
        return idle and not self.own_work and any(not call.input for call in self.waits_for())
