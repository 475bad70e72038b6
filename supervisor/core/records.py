"""Facts as the journal keeps them: numbered, ordered, chained by digest.

A record belongs to a scope: a cell's id, or "session:NAME", or "" for hosts without a session. What
users put in (output, arguments, results, written values) travels beside the record as `Content`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from ...protocol import limits
from ...protocol.classes import dataclass
from ...protocol.ids import Incarnation, RequestRef
from ...protocol.limits import Limits
from ...protocol.packed import CellKind, InputKind, Stepping, ToolSpecs
from ...protocol.shape import (
    Blob,
    Count,
    Digest,
    Line,
    Name,
    Pid,
    Size,
    Source,
    StoredKey,
    TimeNs,
    Token,
    Value,
)
from .facts import Divergence, EventMark
from .stream_records import CallDropped as CallDropped
from .stream_records import CallMade as CallMade
from .stream_records import NoticeMade as NoticeMade
from .stream_records import OwnWorkBegun as OwnWorkBegun
from .stream_records import Put as Put
from .stream_records import StreamStep as StreamStep
from .stream_records import ValueWritten as ValueWritten
from .stream_records import WaitBegun as WaitBegun
from .stream_records import YieldWished as YieldWished

OUTPUT = "o"
ARGUMENTS = "a"
INPUT = "i"
WRITE = "w"


class Unreadable(Exception):
    """What the journal has of a cell is damaged; the text says how."""


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes of a user: `kind` OUTPUT, ARGUMENTS, INPUT or WRITE; `number` within cell and kind."""

    cell: str
    kind: str
    number: int
    body: bytes


# -- records of a cell ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CellCreated:
    """`tools_of`: the attachment whose tool list the cell keeps."""

    CODE: ClassVar[int] = 1
    cell: Name
    session: Name
    kind: CellKind
    stepping: Stepping
    name: Name
    limits: Limits
    created_us: Count
    request: RequestRef
    key: Name
    ask_digest: Digest
    stored_version: Count
    tools_of: Count
    source: Source
    inputs: Value


@dataclass(frozen=True, slots=True)
class WorkerIssued:
    """A new incarnation may now be forked, or is the spare worker of this number and epoch.

    `spare`: 0 for a worker that is made for the cell.
    """

    CODE: ClassVar[int] = 2
    incarnation: Incarnation
    spare: Count = 0


@dataclass(frozen=True, slots=True)
class WorkerSaid:
    """The worker's stream up to `seq`."""

    CODE: ClassVar[int] = 3
    incarnation: Incarnation
    seq: Count
    ticks: Annotated[tuple[tuple[Count, TimeNs], ...], Size(limits.ITEMS_MAX)]
    steps: Annotated[tuple[StreamStep, ...], Size(limits.ITEMS_MAX)]
    readings: Count = 0


@dataclass(frozen=True, slots=True)
class FrontierReached:
    """A new generation, as it will be shown for ever."""

    CODE: ClassVar[int] = 4
    event: EventMark


@dataclass(frozen=True, slots=True)
class GenerationConsumed:
    """The worker has confirmed Continue; the step may take inputs up to `upto`."""

    CODE: ClassVar[int] = 5
    generation: Count
    upto: Count
    request: RequestRef
    acknowledged: Count


@dataclass(frozen=True, slots=True)
class YieldMade:
    """Output handed over while the cell goes on."""

    CODE: ClassVar[int] = 6
    event: EventMark


@dataclass(frozen=True, slots=True)
class EventAcknowledged:
    """A host has this event. Needs no commit of its own."""

    CODE: ClassVar[int] = 7
    number: Count


@dataclass(frozen=True, slots=True)
class FirstObserved:
    """Somebody has observed the cell. Needs no commit of its own."""

    CODE: ClassVar[int] = 8


@dataclass(frozen=True, slots=True)
class CallsDispatched:
    """These calls may reach this attachment from now on."""

    CODE: ClassVar[int] = 9
    attachment: Count
    calls: Annotated[tuple[Count, ...], Size(limits.CALLS_OPEN_MAX)]


@dataclass(frozen=True, slots=True)
class CallFinished:
    """A call's result or error; it is input `input`, or with 0 none (nobody waits for it)."""

    CODE: ClassVar[int] = 10
    call: Count
    kind: InputKind
    input: Count
    digest: Digest


@dataclass(frozen=True, slots=True)
class CallsUnknown:
    """The attachment that had these calls has ended without a result."""

    CODE: ClassVar[int] = 11
    calls: Annotated[tuple[Count, ...], Size(limits.CALLS_OPEN_MAX)]


@dataclass(frozen=True, slots=True)
class CallsReturned:
    """These calls wait to be dispatched again, by somebody's decision."""

    CODE: ClassVar[int] = 12
    calls: Annotated[tuple[Count, ...], Size(limits.CALLS_OPEN_MAX)]


@dataclass(frozen=True, slots=True)
class TimerDue:
    """Every timer due by `due_ns` may fire: input `input`."""

    CODE: ClassVar[int] = 13
    input: Count
    due_ns: TimeNs


@dataclass(frozen=True, slots=True)
class NoticesDelivered:
    """The holder has the notifications up to this number. Needs no commit of its own."""

    CODE: ClassVar[int] = 14
    upto: Count


@dataclass(frozen=True, slots=True)
class CallsCancelled:
    """The host has let go of these withdrawn calls. Needs no commit of its own."""

    CODE: ClassVar[int] = 18
    calls: Annotated[tuple[Count, ...], Size(limits.CALLS_OPEN_MAX)]


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The worker ended without a completion. `counts`: by the cell's own doing."""

    CODE: ClassVar[int] = 15
    incarnation: Incarnation
    why: Line
    counts: bool


@dataclass(frozen=True, slots=True)
class WorkerGreeted:
    """The worker has been given the cell. Needs no commit of its own: what it says has one."""

    CODE: ClassVar[int] = 19
    incarnation: Incarnation
    python: Name


@dataclass(frozen=True, slots=True)
class CellRestored:
    """The worker has said again, up to `seq`, all that the journal has; what follows is new."""

    CODE: ClassVar[int] = 20
    incarnation: Incarnation
    seq: Count
    ticks: Annotated[tuple[tuple[Count, TimeNs], ...], Size(limits.ITEMS_MAX)]
    readings: Count


@dataclass(frozen=True, slots=True)
class ReplayDiverged:
    """The worker has said something else than the journal has, and was ended."""

    CODE: ClassVar[int] = 21
    incarnation: Incarnation
    divergence: Divergence


@dataclass(frozen=True, slots=True)
class CellCompleted:
    """The cell's end, decided; `published`: its writes are version `published` of the session."""

    CODE: ClassVar[int] = 16
    event: EventMark
    published: Count


@dataclass(frozen=True, slots=True)
class CellTerminated:
    """A host ended the cell before it completed."""

    CODE: ClassVar[int] = 17
    event: EventMark
    request: RequestRef


CellRecord: TypeAlias = (
    CellCreated
    | WorkerIssued
    | WorkerSaid
    | FrontierReached
    | GenerationConsumed
    | YieldMade
    | EventAcknowledged
    | FirstObserved
    | CallsDispatched
    | CallFinished
    | CallsUnknown
    | CallsReturned
    | TimerDue
    | NoticesDelivered
    | CallsCancelled
    | WorkerLost
    | WorkerGreeted
    | CellRestored
    | ReplayDiverged
    | CellCompleted
    | CellTerminated
)

# -- records of sessions and hosts ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """A session's first record."""

    CODE: ClassVar[int] = 40
    session: Name
    isolation: Name
    replay: bool


@dataclass(frozen=True, slots=True)
class AttachmentOpened:
    """One life of a host begins; with a session, as its holder."""

    CODE: ClassVar[int] = 41
    attachment: Count
    session: Name
    token: Token
    pid: Pid
    host: Name
    process_started_ns: TimeNs
    opened_ns: TimeNs
    tools: ToolSpecs
    limits: Limits


@dataclass(frozen=True, slots=True)
class AttachmentEnded:
    """That life is over."""

    CODE: ClassVar[int] = 42
    attachment: Count
    why: Line


@dataclass(frozen=True, slots=True)
class StoredChanged:
    """A new version of the stored values: by a host (`request`), or by a cell's completion.

    `sizes` has the keys that changed, with the size of the value or None where it was deleted.
    """

    CODE: ClassVar[int] = 43
    session: Name
    version: Count
    sizes: Annotated[tuple[tuple[StoredKey, Count | None], ...], Size(limits.ITEMS_MAX)]
    cell: Name
    request: RequestRef
    content: Blob


SessionRecord: TypeAlias = SessionOpened | AttachmentOpened | AttachmentEnded | StoredChanged
Record: TypeAlias = CellRecord | SessionRecord

#: Records that may wait for the next commit: losing one repeats an event or a notice, no more.
LAZY: tuple[type, ...] = (
    EventAcknowledged,
    FirstObserved,
    NoticesDelivered,
    CallsCancelled,
    WorkerGreeted,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record with its scope, on its way into the journal or out of it."""

    scope: str
    record: Record
    contents: tuple[Content, ...] = ()


def session_scope(session: str) -> str:
    """The scope of a session's records; of hosts without one for ""."""
    return f"session:{session}" if session else ""
