"""What a host asks of the supervisor; who may say what when is in PROTOCOL.md.

Every request carries its attachment and a number. One that changes something acts once, however
often it is repeated: the journal keeps its number with the effect until the host says, by
`answered`, that it has the answers to all requests below.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from . import limits
from .classes import dataclass
from .ids import RequestRef
from .limits import Limits
from .packed import CellKind, InputKind, Stepping, ToolSpecs
from .shape import (
    Blob,
    Count,
    Name,
    Pid,
    Prose,
    Range,
    Signed,
    Size,
    StoredKey,
    TimeNs,
    Token,
    Value,
)

# -- parts ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallRef:
    """A tool call by cell and number."""

    cell: Name
    number: Count


@dataclass(frozen=True, slots=True)
class EventRef:
    """An event that a handle has received: naming it acknowledges it."""

    cell: Name
    number: Count


@dataclass(frozen=True, slots=True)
class SessionAsk:
    """Which session to open, as its holder. An empty name makes a new one."""

    name: Name
    tools: ToolSpecs
    isolation: Name | None
    replay: bool | None
    durability: Name | None
    limits: Limits
    take_over: bool

    def held_as(self, name: str) -> SessionAsk:
        """The same from the holder of the session, which has this name."""
        kept = self.tools, self.isolation, self.replay, self.durability, self.limits
        return SessionAsk(name, *kept, take_over=False)


# -- requests -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attach:
    """The first request of a connection.

    Attributes:
        token: drawn once per attachment by the host; a repeat with it is the same attachment.
        attachment: 0, or the number that an earlier Attach gave (a reconnect).
        process_started_ns: start of the host's process in ns since the machine's boot (field 22 of
            /proc/PID/stat), against reused pids; 0 where it is not known.
        journal: the highest record number that the host was ever told.
        holding: calls that the host has received and still holds, with or without a result.
    """

    CODE: ClassVar[int] = 1
    token: Token
    attachment: Count
    pid: Pid
    host: Name
    process_started_ns: TimeNs
    journal: Count
    session: SessionAsk | None
    holding: Annotated[tuple[CallRef, ...], Size(limits.ITEMS_MAX)]


@dataclass(frozen=True, slots=True)
class Detach:
    """The host leaves; its session's cells go on."""

    CODE: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class CloseSession:
    """Terminate every unfinished cell of the session, then leave it."""

    CODE: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class CreateCell:
    """Make a cell. `source` is bytes of UTF-8 whose size the core checks, to name the limit."""

    CODE: ClassVar[int] = 4
    kind: CellKind
    source: Blob
    inputs: Value
    name: Name
    key: Name
    limits: Limits
    stepping: Stepping


@dataclass(frozen=True, slots=True)
class Observe:
    """The event after number `after` of a continuing cell; None: after what is acknowledged."""

    CODE: ClassVar[int] = 5
    cell: Name
    after: Count | None
    yield_after_ns: TimeNs
    take_over: bool


@dataclass(frozen=True, slots=True)
class WaitToPending:
    """The current event of a pausable cell, waiting while it runs."""

    CODE: ClassVar[int] = 6
    cell: Name
    take_over: bool


@dataclass(frozen=True, slots=True)
class Resume:
    """Leave the frontier of this generation; `after` acknowledges an event."""

    CODE: ClassVar[int] = 7
    cell: Name
    generation: Signed
    after: Count | None


@dataclass(frozen=True, slots=True)
class Step:
    """Resume, then the next event, in one request."""

    CODE: ClassVar[int] = 8
    cell: Name
    generation: Signed
    after: Count | None


@dataclass(frozen=True, slots=True)
class Terminate:
    """End the cell; answered with its final event."""

    CODE: ClassVar[int] = 9
    cell: Name
    after: Count | None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give up waiting for the answer to this request; what it does stays done. Not answered."""

    CODE: ClassVar[int] = 10
    request: Count


@dataclass(frozen=True, slots=True)
class AskStatus:
    """What the cell is doing, from the journal and the zygote."""

    CODE: ClassVar[int] = 11
    cell: Name


@dataclass(frozen=True, slots=True)
class AskHistory:
    """The cell's records after number `after`, oldest first."""

    CODE: ClassVar[int] = 12
    cell: Name
    after: Count
    limit: Annotated[int, Range(1, limits.PAGE_MAX)]


@dataclass(frozen=True, slots=True)
class AskEvents:
    """Events that are kept, oldest first: of one cell by event number, or of a session.

    With `cell` empty: frontiers and ends of all cells of `session`, by record number. Waits until
    there is at least one when `wait_ns` is above 0; an empty answer means the time has passed.
    """

    CODE: ClassVar[int] = 13
    cell: Name
    session: Name
    after: Count
    limit: Annotated[int, Range(1, limits.PAGE_MAX)]
    wait_ns: TimeNs


@dataclass(frozen=True, slots=True)
class AskFrontier:
    """The cell's last frontier, also when it has been consumed or the cell has ended."""

    CODE: ClassVar[int] = 14
    cell: Name


@dataclass(frozen=True, slots=True)
class ListCells:
    """Cells, newest first. Empty session: of all; empty state: in any; `before`: older than."""

    CODE: ClassVar[int] = 15
    session: Name
    state: Name
    limit: Annotated[int, Range(1, limits.PAGE_MAX)]
    before: Name


@dataclass(frozen=True, slots=True)
class ListSessions:
    """All sessions."""

    CODE: ClassVar[int] = 16


@dataclass(frozen=True, slots=True)
class AskInfo:
    """What this supervisor is."""

    CODE: ClassVar[int] = 17


@dataclass(frozen=True, slots=True)
class StoredGet:
    """One stored value of the session."""

    CODE: ClassVar[int] = 18
    key: StoredKey


@dataclass(frozen=True, slots=True)
class StoredSet:
    """Write one stored value; content None deletes it."""

    CODE: ClassVar[int] = 19
    key: StoredKey
    content: Value | None


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """The keys of the session's stored values, sorted."""

    CODE: ClassVar[int] = 20


@dataclass(frozen=True, slots=True)
class ListCalls:
    """Calls of the session whose outcome is unknown, and external ones that nobody has finished."""

    CODE: ClassVar[int] = 21


@dataclass(frozen=True, slots=True)
class FinishCall:
    """A tool call has ended: kind RESULT with `content`, or ERROR with `message`.

    `cancelled`: the host's answer to `CallWithdrawn`; result and error are ignored.
    """

    CODE: ClassVar[int] = 22
    call: CallRef
    kind: InputKind
    content: Value
    message: Prose
    cancelled: bool


@dataclass(frozen=True, slots=True)
class RunAgain:
    """Offer a call whose outcome is unknown to the holder once more."""

    CODE: ClassVar[int] = 23
    call: CallRef


@dataclass(frozen=True, slots=True)
class NoticeReceived:
    """The holder has all notifications of this cell up to `upto`. Not answered."""

    CODE: ClassVar[int] = 24
    cell: Name
    upto: Count


@dataclass(frozen=True, slots=True)
class Hibernate:
    """Let an idle cell give up its worker; it is run again when something moves it."""

    CODE: ClassVar[int] = 25
    cell: Name


Ask: TypeAlias = (
    Attach
    | Detach
    | CloseSession
    | CreateCell
    | Observe
    | WaitToPending
    | Resume
    | Step
    | Terminate
    | Cancel
    | AskStatus
    | AskHistory
    | AskEvents
    | AskFrontier
    | ListCells
    | ListSessions
    | AskInfo
    | StoredGet
    | StoredSet
    | StoredKeys
    | ListCalls
    | FinishCall
    | RunAgain
    | NoticeReceived
    | Hibernate
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a host.

    Attributes:
        attachment: what Attach gave; 0 only in Attach.
        number: rises by one with every request of the attachment; a repeat has the same.
        answered: the host has the answers to all requests below this number.
        acknowledged: events that handles of this host have received since the last request.
    """

    CODE: ClassVar[int] = 1
    attachment: Count
    number: Count
    answered: Count
    acknowledged: Annotated[tuple[EventRef, ...], Size(limits.PAGE_MAX)]
    ask: Ask


FromHost: TypeAlias = Request


def ref(request: Request) -> RequestRef:
    """The request's name for ever."""
    return RequestRef(request.attachment, request.number)
