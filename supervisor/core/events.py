"""What the core can be told. Time is not in them: it is an argument of every step."""

from __future__ import annotations

from typing import TypeAlias

from ...protocol.classes import dataclass
from ...protocol.host_requests import Request
from ...protocol.worker_messages import FromWorker

# -- what the fleet is told -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HostAsked:
    """A request of a host, on the connection that it came by."""

    connection: bytes
    request: Request


@dataclass(frozen=True, slots=True)
class HostGarbled:
    """Bytes from a host that are not a message."""

    connection: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class HostGone:
    """The host's process has ended."""

    attachment: int


@dataclass(frozen=True, slots=True)
class WorkerSpoke:
    """A message of a worker; the token is that of its connection."""

    token: bytes
    message: FromWorker


@dataclass(frozen=True, slots=True)
class WorkerGarbled:
    """Bytes that no honest worker of this version could have sent.

    `other_version`: one that an earlier supervisor has started may have.
    """

    token: bytes
    reason: str
    other_version: bool = False


@dataclass(frozen=True, slots=True)
class WorkerForked:
    """The zygote has made the worker."""

    token: bytes
    pid: int


@dataclass(frozen=True, slots=True)
class WorkerNotForked:
    """The machine could not give a worker."""

    token: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """The worker's process has ended; `status` is its exit status, or minus a signal's number.

    `reason`: what the zygote knows of it, in words. `limit`: the limit for which the kernel ended
    it, of which it had `used`.
    """

    token: bytes
    status: int
    killed: bool
    reason: str = ""
    limit: str = ""
    used: int = 0


@dataclass(frozen=True, slots=True)
class WorkersListed:
    """All workers that live, from a zygote that has just come under our command.

    The ends that its last commander did not note have been told before. `fresh`: it was started by
    us and knows of no earlier worker. Each level of isolation has a zygote of its own.
    """

    living: tuple[tuple[bytes, int], ...]
    fresh: bool = False
    level: str = "process"


@dataclass(frozen=True, slots=True)
class ZygoteLost:
    """The zygote of this level has ended, and the kernel has killed its workers."""

    level: str = "process"


@dataclass(frozen=True, slots=True)
class LevelExamined:
    """What of this level of isolation the machine cannot give; nothing: it can be had."""

    level: str
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TimePassed:
    """A deadline may have passed."""


@dataclass(frozen=True, slots=True)
class MemoryShort:
    """The machine, or what of it we may use, has little memory left; said again while it is so."""


@dataclass(frozen=True, slots=True)
class DrainAsked:
    """Nothing new is to be created any more."""


FleetEvent: TypeAlias = (
    HostAsked
    | HostGarbled
    | HostGone
    | WorkerSpoke
    | WorkerGarbled
    | WorkerForked
    | WorkerNotForked
    | WorkerEnded
    | WorkersListed
    | ZygoteLost
    | LevelExamined
    | TimePassed
    | MemoryShort
    | DrainAsked
)
