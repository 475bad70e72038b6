"""What the supervisor says to a host: answers to requests, refusals, and what it offers unasked."""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from . import limits
from .classes import dataclass
from .host_requests import CallRef
from .packed import CellKind, PackedEvent
from .shape import Blob, Count, Line, Name, Notice, Pid, Prose, Size, StoredKey, TimeNs, Value

# -- what answers hold ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attached:
    """The attachment, and what the host has attached to.

    Attributes:
        existed: the session was there before.
        journal_id: tells two state directories apart.
    """

    CODE: ClassVar[int] = 1
    attachment: Count
    epoch: Count
    session: Name
    existed: bool
    isolation: Name
    durability: Name
    version: Name
    pid: Pid
    journal_id: Count


@dataclass(frozen=True, slots=True)
class Done:
    """It is done, and in the journal."""

    CODE: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class CellMade:
    """The cell is in the journal."""

    CODE: ClassVar[int] = 3
    cell: Name
    kind: CellKind
    name: Name


@dataclass(frozen=True, slots=True)
class EventGiven:
    """An event of a cell."""

    CODE: ClassVar[int] = 4
    event: PackedEvent


@dataclass(frozen=True, slots=True)
class ResumedGiven:
    """The generation was consumed by this request."""

    CODE: ClassVar[int] = 5
    generation: Count


@dataclass(frozen=True, slots=True)
class AlreadyGiven:
    """The generation had been consumed before."""

    CODE: ClassVar[int] = 6
    generation: Count
    state: Name
    latest: Count


@dataclass(frozen=True, slots=True)
class StatusGiven:
    """See `Status` in the client for the fields."""

    CODE: ClassVar[int] = 7
    cell: Name
    session: Name
    name: Name
    kind: CellKind
    state: Name
    generation: Count
    consumed_generation: Count
    incarnation: Name
    pid: Count
    waiting_on: Annotated[tuple[Name, ...], Size(limits.ITEMS_MAX)]
    next_timer_ns: TimeNs | None
    stuck: bool
    replayable: bool
    reason: Prose
    memory_bytes: Count | None
    cpu_ns: TimeNs | None
    restarts: Count
    since_ns: TimeNs
    isolation: Name


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One record of a cell: its number in the journal, when, what, and details for a person."""

    number: Count
    at_ns: TimeNs
    what: Name
    detail: Prose


@dataclass(frozen=True, slots=True)
class HistoryGiven:
    """Records of a cell, oldest first."""

    CODE: ClassVar[int] = 8
    rows: Annotated[tuple[HistoryRow, ...], Size(limits.PAGE_MAX)]


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event with its cell and its position in the journal."""

    cell: Name
    record: Count
    event: PackedEvent


@dataclass(frozen=True, slots=True)
class EventsGiven:
    """Events, oldest first; `ended`: nothing will follow (the one cell asked for has ended)."""

    CODE: ClassVar[int] = 9
    rows: Annotated[tuple[EventRow, ...], Size(limits.PAGE_MAX)]
    ended: bool


@dataclass(frozen=True, slots=True)
class FrontierGiven:
    """The last frontier as a Pending event, or None."""

    CODE: ClassVar[int] = 10
    event: PackedEvent | None


@dataclass(frozen=True, slots=True)
class CellRow:
    """One cell in a list."""

    cell: Name
    session: Name
    name: Name
    kind: CellKind
    state: Name
    generation: Count
    calls: Count
    created_ns: TimeNs
    since_ns: TimeNs


@dataclass(frozen=True, slots=True)
class CellsGiven:
    """Cells, newest first."""

    CODE: ClassVar[int] = 11
    rows: Annotated[tuple[CellRow, ...], Size(limits.PAGE_MAX)]


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session in a list; `holder` is empty when nobody holds it."""

    name: Name
    holder: Name
    since_ns: TimeNs
    unfinished: Count


@dataclass(frozen=True, slots=True)
class SessionsGiven:
    """All sessions, by name."""

    CODE: ClassVar[int] = 12
    rows: Annotated[tuple[SessionRow, ...], Size(limits.ITEMS_MAX)]


@dataclass(frozen=True, slots=True)
class InfoGiven:
    """What this supervisor is."""

    CODE: ClassVar[int] = 13
    version: Name
    pid: Pid
    epoch: Count
    journal: Count
    isolation: Name
    durability: Name
    started_ns: TimeNs
    unfinished: Count
    workers: Count
    dropped: Count


@dataclass(frozen=True, slots=True)
class StoredGiven:
    """A stored value; content None: there is none."""

    CODE: ClassVar[int] = 14
    content: Value | None


@dataclass(frozen=True, slots=True)
class KeysGiven:
    """Keys, sorted."""

    CODE: ClassVar[int] = 15
    keys: Annotated[tuple[StoredKey, ...], Size(limits.ITEMS_MAX)]


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call that somebody has to decide about; `unknown`: it may have taken effect."""

    call: CallRef
    tool: Name
    arguments: Value
    unknown: bool


@dataclass(frozen=True, slots=True)
class CallsGiven:
    """Calls, by cell and number."""

    CODE: ClassVar[int] = 16
    calls: Annotated[tuple[OpenCall, ...], Size(limits.ITEMS_MAX)]


@dataclass(frozen=True, slots=True)
class Hibernated:
    """The cell has no worker; or, with `why`, it keeps the one that it has."""

    CODE: ClassVar[int] = 17
    why: Line


Answer: TypeAlias = (
    Attached
    | Done
    | CellMade
    | EventGiven
    | ResumedGiven
    | AlreadyGiven
    | StatusGiven
    | HistoryGiven
    | EventsGiven
    | FrontierGiven
    | CellsGiven
    | SessionsGiven
    | InfoGiven
    | StoredGiven
    | KeysGiven
    | CallsGiven
    | Hibernated
)


@dataclass(frozen=True, slots=True)
class Answered:
    """Part `part` of `parts` (from 1) of the packed answer to request `number`.

    `journal` is the journal's highest record number: the host remembers it, so that a journal that
    has gone back is noticed.
    """

    CODE: ClassVar[int] = 1
    number: Count
    journal: Count
    part: Count
    parts: Count
    content: Blob


@dataclass(frozen=True, slots=True)
class Refused:
    """The request changed nothing; `code` is one of `errors.ERRORS`, `attributes` a packed map.

    With number 0 it refuses a message that named no request.
    """

    CODE: ClassVar[int] = 2
    number: Count
    journal: Count
    code: Name
    message: Prose
    attributes: Value


@dataclass(frozen=True, slots=True)
class Unattached:
    """This connection has no attachment here: attach (again), then repeat what is unanswered."""

    CODE: ClassVar[int] = 3
    number: Count
    epoch: Count


@dataclass(frozen=True, slots=True)
class CallOffered:
    """Run this call; `attempt` is 1, or more after `RunAgain` or a retry."""

    CODE: ClassVar[int] = 4
    call: CallRef
    session: Name
    tool: Name
    arguments: Value
    attempt: Count


@dataclass(frozen=True, slots=True)
class CallWithdrawn:
    """Nobody waits for this call any more: cancel it, then finish it with `cancelled`."""

    CODE: ClassVar[int] = 5
    call: CallRef


@dataclass(frozen=True, slots=True)
class NoticeOffered:
    """A notification; its number is the same each time it is offered."""

    CODE: ClassVar[int] = 6
    cell: Name
    number: Count
    text: Notice


@dataclass(frozen=True, slots=True)
class SessionLost:
    """Another host has taken the session over, or it was closed."""

    CODE: ClassVar[int] = 7
    session: Name
    by: Name


ToHost: TypeAlias = (
    Answered | Refused | Unattached | CallOffered | CallWithdrawn | NoticeOffered | SessionLost
)
