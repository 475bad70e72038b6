"""What the supervisor and the zygote say to each other, over a SEQPACKET socket.

No ZeroMQ here: a zygote must stay single-threaded to fork, and pidfds travel beside the message
(SCM_RIGHTS). One supervisor at a time: a newer epoch takes the place of an older one.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from .classes import dataclass
from .ids import Incarnation
from .limits import Limits
from .shape import Count, Line, Name, Pid, Signed, Size, TimeNs, Token


@dataclass(frozen=True, slots=True)
class Command:
    """A supervisor takes command.

    Answered with `Report`, then `Ended` for each unnoted end, then `Living`.
    """

    CODE: ClassVar[int] = 1
    epoch: Count
    pid: Pid


@dataclass(frozen=True, slots=True)
class Fork:
    """Make a worker; the answer is `Forked` (with its pidfd) or `ForkFailed`.

    Without a cell (its name is empty and its incarnation 0.0) it is a spare one: it says Hello, and
    waits for whatever cell `Start` brings.
    """

    CODE: ClassVar[int] = 2
    token: Token
    cell: Name
    incarnation: Incarnation
    endpoint: Line
    limits: Limits


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL a worker and all it has started; `Ended` follows. Unknown tokens are ignored."""

    CODE: ClassVar[int] = 3
    token: Token


@dataclass(frozen=True, slots=True)
class Forget:
    """The supervisor has noted the end of this worker."""

    CODE: ClassVar[int] = 4
    token: Token


@dataclass(frozen=True, slots=True)
class Quit:
    """Kill every worker, then end."""

    CODE: ClassVar[int] = 5


@dataclass(frozen=True, slots=True)
class Lodge:
    """This spare worker is the cell's: its work directory gets the name that the cell's always has.

    It begins only then. Not answered; a repeat, and an unknown token, change nothing.
    """

    CODE: ClassVar[int] = 6
    token: Token
    cell: Name


ToZygote: TypeAlias = Command | Fork | Kill | Forget | Quit | Lodge


@dataclass(frozen=True, slots=True)
class Living:
    """Every worker that lives now, at most 200 a message.

    The pidfds come with the message, in this order; `last`: no further Living follows.
    """

    CODE: ClassVar[int] = 1
    workers: Annotated[tuple[tuple[Token, Pid], ...], Size(200)]
    last: bool


@dataclass(frozen=True, slots=True)
class Forked:
    """The worker lives; its pidfd comes with this message."""

    CODE: ClassVar[int] = 2
    token: Token
    pid: Pid


@dataclass(frozen=True, slots=True)
class ForkFailed:
    """The machine could not give a worker."""

    CODE: ClassVar[int] = 3
    token: Token
    reason: Line


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker has ended: with an exit status, or by a signal (then `status` is minus its number).

    `killed`: by Kill or Quit, so not by its own doing. `reason`: what its status means, and of a
    worker that could not be confined what was refused; empty: nothing to add. `limit`: the name of
    the field of Limits for which the kernel ended it, empty: none; `used`: how much it had.
    """

    CODE: ClassVar[int] = 4
    token: Token
    status: Signed
    cpu_ns: TimeNs
    memory_bytes: Count
    killed: bool
    reason: Line = ""
    limit: Name = ""
    used: Count = 0


@dataclass(frozen=True, slots=True)
class Property:
    """One thing that a level promises, as it was found on this machine.

    `needed`: the level is refused without it. `tried`: how it was tested. `reason`: what the kernel
    said, where it does not hold; `remedy`: what would help then.
    """

    name: Name
    held: bool
    needed: bool
    mechanism: Line
    tried: Line
    reason: Line
    remedy: Line


@dataclass(frozen=True, slots=True)
class Report:
    """How this zygote confines its workers; it serves only when all that is needed holds."""

    CODE: ClassVar[int] = 5
    level: Name
    properties: Annotated[tuple[Property, ...], Size(64)]


FromZygote: TypeAlias = Living | Forked | ForkFailed | Ended | Report
