"""What the core can ask the world to do, once what it depends on is in the journal."""

from __future__ import annotations

from typing import Any, TypeAlias

from ...protocol.classes import dataclass, field
from ...protocol.host_answers import Answer, ToHost
from ...protocol.host_requests import Ask
from ...protocol.ids import Incarnation, RequestRef
from ...protocol.limits import Limits
from ...protocol.worker_messages import EarlierLife
from .facts import Divergence, EventMark
from .past import Past


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer a request."""

    to: RequestRef
    answer: Answer


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse a request: nothing was changed. `attributes` are those of the error."""

    to: RequestRef
    code: str
    message: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefuseDiverged:
    """Refuse a request because the cell could not be restored; the journal tells what it was."""

    to: RequestRef
    cell: str
    divergence: Divergence


@dataclass(frozen=True, slots=True)
class GiveEvent:
    """Answer a request with an event, its contents read from the journal."""

    to: RequestRef
    cell: str
    event: EventMark


@dataclass(frozen=True, slots=True)
class Read:
    """Answer a request that only reads the journal."""

    to: RequestRef
    ask: Ask
    session: str


@dataclass(frozen=True, slots=True)
class TellConnection:
    """Say something on a connection that has no attachment (yet)."""

    connection: bytes
    message: ToHost


@dataclass(frozen=True, slots=True)
class TellHost:
    """Say something to an attachment, unasked."""

    attachment: int
    message: ToHost


@dataclass(frozen=True, slots=True)
class OfferCall:
    """Offer a call to an attachment, its arguments read from the journal."""

    attachment: int
    session: str
    cell: str
    number: int
    tool: str
    attempt: int


@dataclass(frozen=True, slots=True)
class WatchHost:
    """Tell the core when this process ends."""

    attachment: int
    pid: int
    process_started_ns: int


@dataclass(frozen=True, slots=True)
class ForkWorker:
    """Have the zygote of this level make a worker; one without a cell is a spare one."""

    token: bytes
    cell: str
    incarnation: Incarnation
    limits: Limits
    level: str


@dataclass(frozen=True, slots=True)
class LodgeWorker:
    """Have the zygote give a spare worker the work directory of its cell."""

    token: bytes
    cell: str


@dataclass(frozen=True, slots=True)
class ExamineLevel:
    """Find out whether this level of isolation can be had; `LevelExamined` follows."""

    level: str


@dataclass(frozen=True, slots=True)
class KillWorker:
    """SIGKILL a worker and all that it has started."""

    token: bytes


@dataclass(frozen=True, slots=True)
class ForgetWorker:
    """The end of this worker has been noted."""

    token: bytes


@dataclass(frozen=True, slots=True)
class GiveStart:
    """Give a worker its cell: source, inputs and tools are read from the journal.

    `past`: how far earlier lives have come, and what their clock showed; None in the first life.
    """

    token: bytes
    cell: str
    incarnation: Incarnation
    tools_of: int
    began_ns: int
    earlier: EarlierLife | None = None
    past: Past | None = None


@dataclass(frozen=True, slots=True)
class GiveInputs:
    """Deliver inputs `first` to `last`, read from the journal."""

    token: bytes
    cell: str
    have: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class GiveContinue:
    """Send Continue with inputs `first` to `last`, as many of them as the journal has."""

    token: bytes
    cell: str
    have: int
    generation: int
    upto: int
    request: RequestRef
    acknowledged: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class GiveStored:
    """Answer a worker's Fetch from the stored values of its version."""

    token: bytes
    number: int
    session: str
    version: int
    key: str | None


@dataclass(frozen=True, slots=True)
class GiveAdopt:
    """Ask a worker for all that it said after `have`, in this epoch."""

    token: bytes
    have: int


@dataclass(frozen=True, slots=True)
class GiveAcknowledge:
    """Tell a worker that the journal has its stream up to `have`."""

    token: bytes
    have: int


@dataclass(frozen=True, slots=True)
class GiveBye:
    """Tell a worker that its completion is in the journal."""

    token: bytes


Effect: TypeAlias = (
    Reply
    | Refuse
    | RefuseDiverged
    | GiveEvent
    | Read
    | TellConnection
    | TellHost
    | OfferCall
    | WatchHost
    | ForkWorker
    | LodgeWorker
    | ExamineLevel
    | KillWorker
    | ForgetWorker
    | GiveStart
    | GiveInputs
    | GiveContinue
    | GiveStored
    | GiveAdopt
    | GiveAcknowledge
    | GiveBye
)
