"""What a worker and the supervisor say to each other; who may say what when is in PROTOCOL.md.

Everything that a worker says about its cell travels as items in `Said`, numbered by `seq` from 1 in
each incarnation. A worker keeps what the journal does not have; after a gap, a reconnect or a new
supervisor it is asked by `Adopt(epoch, have)` and says the rest again. `Fetch` alone is not
numbered: it changes nothing, and is asked again until it is answered.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from . import limits
from .classes import dataclass
from .ids import Incarnation, RequestRef
from .limits import Limits
from .packed import CellKind, OutputKind, OwnWork, PackedInput, Reason, Stepping, ToolSpecs
from .shape import (
    Count,
    Digest,
    Line,
    Name,
    Notice,
    OutputText,
    Pid,
    Prose,
    Seed,
    Size,
    Source,
    StoredKey,
    TimeNs,
    Value,
)

# -- items of Said --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Emitted:
    """An output item; its position is counted, not claimed.

    `line`, here and below: the source line, told only in a later life of the cell; 0 if unknown.
    """

    CODE: ClassVar[int] = 1
    kind: OutputKind
    content: OutputText
    detail: Name | None
    digest: Digest
    line: Count = 0


@dataclass(frozen=True, slots=True)
class Called:
    """A tool call; numbers rise by one within a cell."""

    CODE: ClassVar[int] = 2
    number: Count
    tool: Name
    arguments: Value
    digest: Digest
    line: Count = 0


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The cell no longer waits for this call (its task was cancelled)."""

    CODE: ClassVar[int] = 3
    number: Count


@dataclass(frozen=True, slots=True)
class Notified:
    """A message to the holder."""

    CODE: ClassVar[int] = 4
    text: Notice
    digest: Digest
    line: Count = 0


@dataclass(frozen=True, slots=True)
class Wrote:
    """A stored value that becomes visible with the completion; content None deletes the key."""

    CODE: ClassVar[int] = 5
    key: StoredKey
    content: Value | None
    digest: Digest
    line: Count = 0


@dataclass(frozen=True, slots=True)
class YieldAsked:
    """The cell asks for its output so far to be handed over."""

    CODE: ClassVar[int] = 6


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Continue has arrived and the gate opens after this has been said.

    It repeats what Continue said, so that a supervisor that never sent it can finish the resume.
    """

    CODE: ClassVar[int] = 7
    generation: Count
    upto: Count
    request: RequestRef
    acknowledged: Count


@dataclass(frozen=True, slots=True)
class Paused:
    """A pausable cell is at its next frontier, having taken inputs up to `taken`."""

    CODE: ClassVar[int] = 8
    generation: Count
    taken: Count
    next_timer_ns: TimeNs | None
    own_work: OwnWork


@dataclass(frozen=True, slots=True)
class Waited:
    """The loop has nothing ready and the cell may go on with the next input by itself."""

    CODE: ClassVar[int] = 9
    taken: Count
    next_timer_ns: TimeNs | None
    own_work: OwnWork


@dataclass(frozen=True, slots=True)
class Flagged:
    """From here on the cell cannot be replayed; `line` is the source line, 0 if unknown."""

    CODE: ClassVar[int] = 10
    why: Line
    line: Count


@dataclass(frozen=True, slots=True)
class Finished:
    """The cell's code has ended; nothing follows.

    The reason is "ended", "raised", "refused" or "limit"; the others are the supervisor's to give.
    """

    CODE: ClassVar[int] = 11
    reason: Reason
    error: Prose | None
    value: Value | None
    taken: Count


Item: TypeAlias = (
    Emitted
    | Called
    | Abandoned
    | Notified
    | Wrote
    | YieldAsked
    | Confirmed
    | Paused
    | Waited
    | Flagged
    | Finished
)

Items: TypeAlias = Annotated[tuple[Item, ...], Size(limits.SAID_ITEMS_MAX)]
Inputs: TypeAlias = Annotated[tuple[PackedInput, ...], Size(limits.INPUTS_MAX)]

# -- worker to supervisor -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of a connection, and the answer to Adopt.

    Attributes:
        epoch: that of the Adopt which is answered; 0 unasked.
        started: whether the worker has been given its source.
        said: the last seq that the worker has used.
        inputs: the last input that the worker has received.
        python: what a later life of the cell depends on: the interpreter, and our own rules.
        journal: the highest record number that the worker was ever told.
        acknowledged: the last seq that the worker was ever told to be in the journal. A journal
            that has less than either has gone back.
    """

    CODE: ClassVar[int] = 1
    cell: Name
    incarnation: Incarnation
    epoch: Count
    started: bool
    said: Count
    inputs: Count
    pid: Pid
    python: Name
    journal: Count = 0
    acknowledged: Count = 0


@dataclass(frozen=True, slots=True)
class Said:
    """What happened in the cell since the last message.

    Attributes:
        ticks: what the cell's clock has recorded since the last message. Readings and handovers of
            inputs are numbered together; an entry has the number and what was shown, in ns since
            1970, or 0: at this handover garbage was collected.
        readings: the last number that was used; 0 for a cell that has no clock yet.
    """

    CODE: ClassVar[int] = 2
    epoch: Count
    seq: Count
    ticks: Annotated[tuple[tuple[Count, TimeNs], ...], Size(limits.ITEMS_MAX)]
    items: Items
    readings: Count = 0


@dataclass(frozen=True, slots=True)
class Fetch:
    """The cell reads a stored value, or with key None the list of keys."""

    CODE: ClassVar[int] = 3
    epoch: Count
    number: Count
    key: StoredKey | None


FromWorker: TypeAlias = Hello | Said | Fetch

# -- supervisor to worker -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EarlierLife:
    """How far the lives before have come, for a worker that lives them again.

    It says all of it again, with a Waited wherever the cell has nothing ready to run, also when the
    next input is there already; the supervisor compares, and records only what is new.

    Attributes:
        ticks: how many entries of the clock's record Remember has brought.
        readings: the last reading that the journal has.
        taken: the last input that the journal knows to be taken.
        generation: from here on frontiers are numbered: the one after it is the next.
        left: the last generation that was continued.
        upto: the last input that the step now under way may take.
    """

    ticks: Count
    readings: Count
    taken: Count
    generation: Count
    left: Count
    upto: Count


@dataclass(frozen=True, slots=True)
class Remember:
    """A part of what the cell's clock showed in the lives before; all parts come before Start."""

    CODE: ClassVar[int] = 8
    epoch: Count
    ticks: Annotated[tuple[tuple[Count, TimeNs], ...], Size(limits.ITEMS_MAX)]


@dataclass(frozen=True, slots=True)
class Start:
    """The cell, given once to a worker that has said Hello; a spare one is its worker from then on.

    `now_ns` is the supervisor's clock (ns since 1970) at `monotonic_ns` of the machine's
    CLOCK_MONOTONIC, so both sides read one clock. `began_ns` is where the cell's clock begins, in
    every life of it.
    """

    CODE: ClassVar[int] = 1
    epoch: Count
    cell: Name
    incarnation: Incarnation
    kind: CellKind
    stepping: Stepping
    name: Name
    source: Source
    inputs: Value
    tools: ToolSpecs
    limits: Limits
    seed: Seed
    now_ns: TimeNs
    monotonic_ns: TimeNs
    began_ns: TimeNs
    journal: Count
    earlier: EarlierLife | None = None


@dataclass(frozen=True, slots=True)
class Adopt:
    """This supervisor has all up to seq `have`: say Hello, then the rest again, in this epoch."""

    CODE: ClassVar[int] = 2
    epoch: Count
    have: Count
    journal: Count


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The journal has all up to seq `have`; `journal` is its highest record number."""

    CODE: ClassVar[int] = 3
    epoch: Count
    have: Count
    journal: Count


@dataclass(frozen=True, slots=True)
class Deliver:
    """Inputs for a cell that may take them; also the rest of a Continue that was too large."""

    CODE: ClassVar[int] = 4
    epoch: Count
    have: Count
    inputs: Inputs


@dataclass(frozen=True, slots=True)
class Continue:
    """Leave the frontier of this generation: take inputs up to `upto`, then pause again.

    `upto` may name an input that has not arrived yet; it will be delivered. Repeated until it is
    confirmed: for a generation that the worker has already left it is confirmed without moving.
    """

    CODE: ClassVar[int] = 5
    epoch: Count
    have: Count
    generation: Count
    upto: Count
    request: RequestRef
    acknowledged: Count
    inputs: Inputs


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer to Fetch: the value (None if there is none), or all keys."""

    CODE: ClassVar[int] = 6
    epoch: Count
    number: Count
    content: Value | None
    keys: Annotated[tuple[StoredKey, ...], Size(limits.ITEMS_MAX)] | None


@dataclass(frozen=True, slots=True)
class Bye:
    """The completion is in the journal: the worker may end."""

    CODE: ClassVar[int] = 7
    epoch: Count


ToWorker: TypeAlias = Start | Adopt | Acknowledge | Deliver | Continue | Fetched | Bye | Remember
