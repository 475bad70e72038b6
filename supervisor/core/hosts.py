"""What is known of sessions and of the hosts that are attached."""

from __future__ import annotations

from ...protocol.classes import dataclass
from ...protocol.limits import Limits
from ...protocol.packed import ToolSpec
from . import records as r
from .changes import replace

DETACHED = "it detached"
CLOSED = "it closed its session"


@dataclass(frozen=True)
class Attachment:
    """One life of a host. `connection` and what follows it are not facts: they are this epoch's.

    Attributes:
        underway: calls and notifications that it has been offered and has not finished.
        answered: it has the answers to all its requests below this number.
        left: it has ended by its own will; it may come back to hear that once more.
    """

    number: int
    session: str
    token: bytes
    pid: int
    host: str
    process_started_ns: int
    opened_ns: int
    tools: tuple[ToolSpec, ...]
    limits: Limits
    ended: bool = False
    left: bool = False
    connection: bytes | None = None
    underway: int = 0
    answered: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    def tool(self, name: str) -> ToolSpec | None:
        """The tool that cells call by this name."""
        for spec in self.tools:
            if name in (spec.name, spec.exposed):
                return spec
        return None


@dataclass(frozen=True)
class Session:
    """A named group of cells. `holder` is the attachment that holds it, or 0."""

    name: str
    isolation: str
    replay: bool
    opened_ns: int
    holder: int = 0
    unfinished: int = 0
    stored_version: int = 0
    stored_bytes: int = 0
    stored_keys: int = 0
    stored_names: int = 0


def attached(record: r.AttachmentOpened) -> Attachment:
    """An attachment's first facts."""
    return Attachment(
        number=record.attachment,
        session=record.session,
        token=record.token,
        pid=record.pid,
        host=record.host,
        process_started_ns=record.process_started_ns,
        opened_ns=record.opened_ns,
        tools=record.tools,
        limits=record.limits,
    )


def ended(attachment: Attachment, why: str) -> Attachment:
    """The attachment when that life is over."""
    return replace(attachment, ended=True, left=why in (DETACHED, CLOSED))


def opened(record: r.SessionOpened, at_ns: int) -> Session:
    """A session's first facts."""
    return Session(record.session, record.isolation, record.replay, at_ns)


def held_by(session: Session, attachment: int) -> Session:
    """The session with this holder."""
    return replace(session, holder=attachment)
