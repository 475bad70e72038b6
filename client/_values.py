"""The values that questions about cells, sessions and supervisors are answered with.

All are frozen, comparable and picklable. Times are seconds since 1970, durations seconds.
"""

from __future__ import annotations

from ..protocol.classes import dataclass
from ..protocol.frontier import Event


@dataclass(frozen=True, slots=True)
class Status:
    """What a cell is doing, from the journal and the zygote; its worker was not asked.

    Attributes:
        state: "starting", "running", "paused", "continuing", "recovering", "idle", "completed" or
            "terminated".
        generation: of the last frontier; 0 before the first.
        consumed_generation: of the last frontier that was left; 0 before the first resume.
        incarnation: the worker's life, or None before the first worker.
        pid: of the worker; None when the cell has none just now.
        waiting_on: what the cell waits for, in words: ids of tool calls, the timer, own work.
        next_timer: when the next timer is due; None without one.
        stuck: nothing can ever wake the cell.
        reason: why the cell is not getting on or has ended; None when there is nothing to say.
        restarts: workers that were started for this cell after the first.
        since: when it came into this state.
        isolation: the level of its session.
    """

    state: str
    generation: int
    consumed_generation: int
    incarnation: str | None
    pid: int | None
    waiting_on: tuple[str, ...]
    next_timer: float | None
    stuck: bool
    replayable: bool
    reason: str | None
    memory_bytes: int | None
    cpu_seconds: float | None
    restarts: int
    session: str
    name: str
    kind: str
    since: float
    isolation: str


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One record of a cell: its number in the journal, when, what, and details for a person."""

    number: int
    at: float
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class CellInfo:
    """One cell in a list.

    Attributes:
        generation: of the last frontier; 0 before the first.
        calls: tool calls that the cell waits for.
        since: when it came into its state.
    """

    id: str
    session: str
    name: str
    kind: str
    state: str
    generation: int
    calls: int
    created: float
    since: float


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One session in a list; `holder` is None when no host holds it.

    Attributes:
        since: when the holder opened it; when it was left, without one.
        unfinished: how many of its cells have not ended.
    """

    name: str
    holder: str | None
    since: float
    unfinished: int


@dataclass(frozen=True, slots=True)
class SupervisorInfo:
    """What a supervisor is.

    Attributes:
        journal: the highest record number.
        unfinished: cells that have not ended.
        workers: processes that run cells now.
        dropped: messages of the past that were counted and dropped.
    """

    version: str
    pid: int
    epoch: int
    journal: int
    isolation: str
    durability: str
    started: float
    unfinished: int
    workers: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Notification:
    """What a cell gave to `notify`; a repeat of it has the same number."""

    cell_id: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class CellEvent:
    """A frontier or an end of one of a session's cells.

    Attributes:
        position: give it to `session.events(after=...)` to go on behind this one.
    """

    cell_id: str
    event: Event
    position: int


@dataclass(frozen=True, slots=True)
class CurrentCall:
    """The call that a tool is running for.

    Attributes:
        key: unique among all calls; the same when the call is run again.
        attempt: 1, or more when the call is run again because its outcome was unknown.
    """

    key: str
    cell_id: str
    session: str
    attempt: int
