"""What the loop needs of the world: four small ports, each with a real thing and a fake.

`tests/contracts` runs one suite on both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from ...protocol.classes import dataclass
from ...protocol.host_answers import ToHost
from ...protocol.ids import Incarnation
from ...protocol.limits import Limits
from ...protocol.packed import ToolSpec
from ...protocol.worker_messages import ToWorker
from ..core.events import FleetEvent
from ..core.facts import EventMark
from ..core.records import CellCreated, Entry, Record


class JournalFull(Exception):
    """The disk is full: nothing of the batch was written, and the journal is as it was."""


class JournalBroken(Exception):
    """A write or sync failed: what is on the disk is not known. Open the journal again."""


class Fenced(Exception):
    """A newer epoch has taken the journal; this life is over."""


@dataclass(frozen=True, slots=True)
class CellSummary:
    """What the journal knows of a cell without reading its records. `state` is "" unfinished."""

    cell: str
    session: str
    name: str
    kind: str
    state: str
    generation: int
    created_us: int
    since_ns: int


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it stands in the journal."""

    number: int
    at_ns: int
    record: Record


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it stands in the journal; `record` is its record's number."""

    cell: str
    record: int
    event: EventMark


class Store(Protocol):
    """The journal: ordered records, contents beside them, and read-only questions."""

    @property
    def epoch(self) -> int:
        """This life's number, higher than that of every earlier one."""

    @property
    def last_number(self) -> int:
        """The highest record number that is committed."""

    def commit(self, entries: Sequence[Entry], at_ns: int) -> int:
        """Write all entries or none, durably. Returns the last record's number.

        Raises:
            JournalFull, JournalBroken, Fenced.
        """

    def session_records(self) -> Iterator[StoredRecord]:
        """Records of sessions and hosts, oldest first."""

    def unfinished_cells(self) -> Iterator[str]:
        """The cells that are not over, in the order of creation.

        That is every unfinished one, and finished ones with notifications that no holder has.
        """

    def cell_records(self, cell: str, after: int = 0, limit: int = -1) -> list[StoredRecord]:
        """Records of one cell after a number, oldest first; all of them by default.

        Raises:
            Unreadable: they are damaged.
        """

    def created(self, cell: str) -> CellCreated:
        """A cell's first record."""

    def tools(self, attachment: int) -> tuple[ToolSpec, ...]:
        """The tool list of an attachment."""

    def contents(self, cell: str, kind: str, first: int, stop: int) -> list[bytes]:
        """Contents numbered `first` up to (without) `stop`, in order."""

    def key_owner(self, session: str, key: str) -> tuple[str, bytes] | None:
        """The cell that an idempotency key has made, and the digest of its request."""

    def cell_events(self, cell: str, after: int, limit: int) -> list[StoredEvent]:
        """A cell's events after an event number, oldest first."""

    def session_events(self, session: str, after: int, limit: int) -> list[StoredEvent]:
        """Frontiers and ends of a session's cells after a record number, oldest first."""

    def cells(self, session: str, state: str, limit: int, before: str) -> list[CellSummary]:
        """Cells, newest first. State "unfinished", "completed", "terminated" or "" for any."""

    def stored(self, session: str, key: str, version: int) -> bytes | None:
        """A stored value as of a version."""

    def stored_keys(self, session: str, version: int) -> list[str]:
        """The keys as of a version, sorted."""

    def retire(self, now_ns: int) -> list[str]:
        """Remove some finished cells that need not be kept any more; says which.

        Those whose final event was acknowledged, oldest first, beyond 10 000 or after 7 days, and
        unread ones after 30 days; their idempotency keys stay for 30 days more. Empty: no more.
        """

    def close(self) -> None:
        """Let go of the files. Nothing that was committed is lost."""


class Wires(Protocol):
    """The sockets of hosts and of workers."""

    def drain(self, most: int) -> list[FleetEvent]:
        """What has arrived, at most so many messages; never blocks."""

    def drain_hosts(self, most: int) -> list[FleetEvent]:
        """The same of hosts alone: what workers say waits in their sockets."""

    def tell_host(self, connection: bytes, message: ToHost) -> bool:
        """Say something to a host's connection: it leaves with `flush` at the latest.

        False: it is gone, or does not read what it was sent.
        """

    def flush(self) -> None:
        """Send what hosts were told."""

    def tell_worker(self, token: bytes, message: ToWorker) -> bool:
        """Send to a worker. False: it could not be sent (not connected, or it does not read)."""


class Processes(Protocol):
    """The zygote, its workers, and the hosts' processes."""

    def drain(self) -> list[FleetEvent]:
        """What has happened to processes; never blocks."""

    def examine(self, level: str) -> None:
        """Find out whether a level of isolation can be had; `LevelExamined` follows."""

    def fork(
        self, token: bytes, cell: str, incarnation: Incarnation, limits: Limits, level: str
    ) -> None:
        """Ask for a worker of this level; `WorkerForked` or `WorkerNotForked` follows.

        Without a name of a cell it is a spare one.
        """

    def lodge(self, token: bytes, cell: str) -> None:
        """Give a spare worker the work directory of its cell, without which it does not begin."""

    def kill(self, token: bytes) -> None:
        """SIGKILL; `WorkerEnded` follows."""

    def forget(self, token: bytes) -> None:
        """The end of this worker has been noted."""

    def watch_host(self, attachment: int, pid: int, started_ns: int) -> None:
        """`HostGone` follows when this process ends (at once if it is not there)."""

    def usage(self, pid: int) -> tuple[int | None, int | None]:
        """Memory in bytes and CPU time in ns of a worker, None where it is not known."""


class Clock(Protocol):
    """Time that never goes back."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970."""

    def monotonic_ns(self) -> int:
        """The machine's CLOCK_MONOTONIC, read together with `now_ns`."""


@dataclass(slots=True)
class Ports:
    """The world, as the loop sees it."""

    store: Store
    wires: Wires
    processes: Processes
    clock: Clock
