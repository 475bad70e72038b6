"""The law of one cell: which events are legal in which phase.

A missing pair is illegal and changes nothing: from a host it is a refusal, from a worker a kill.
This table is the documentation (docs/STATES.md is generated from it) and the exhaustive test walks
it. Anything that decides whether an event may happen at all belongs here; what it then does, in the
step of that event.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from ...protocol.classes import dataclass
from ...protocol.ids import NO_REQUEST, RequestRef
from .changes import replace
from .effects import Effect
from .facts import Cell, Phase
from .past import deliverable
from .records import CellRecord, Content


class Told(Enum):
    """What a cell can be told, as rows of the law."""

    # by hosts
    OBSERVE = "observe"
    WAIT_TO_PENDING = "wait_to_pending"
    RESUME = "resume"
    STEP = "step"
    TERMINATE = "terminate"
    FINISH_CALL = "finish call"
    HIBERNATE = "hibernate"
    # by the worker
    HELLO = "Hello"
    FETCH = "Fetch"
    EMITTED = "Emitted"
    CALLED = "Called"
    ABANDONED = "Abandoned"
    NOTIFIED = "Notified"
    WROTE = "Wrote"
    YIELD_ASKED = "YieldAsked"
    CONFIRMED = "Confirmed"
    PAUSED = "Paused"
    WAITED = "Waited"
    FLAGGED = "Flagged"
    FINISHED = "Finished"
    # by the machine
    WORKER_ENDED = "worker ended"
    NOT_FORKED = "worker not forked"
    TIMER_DUE = "timer due"


_HOSTS: Final = frozenset(
    {
        Told.OBSERVE,
        Told.WAIT_TO_PENDING,
        Told.RESUME,
        Told.STEP,
        Told.TERMINATE,
        Told.FINISH_CALL,
        Told.HIBERNATE,
    }
)
#: What threads of the cell can cause at any time, also while its loop stands still.
_THREADS: Final = frozenset(
    {
        Told.FETCH,
        Told.EMITTED,
        Told.NOTIFIED,
        Told.WROTE,
        Told.YIELD_ASKED,
        Told.FLAGGED,
        Told.FINISHED,
    }
)
_MACHINE: Final = frozenset({Told.HELLO, Told.WORKER_ENDED, Told.NOT_FORKED})

LEGAL: Final[dict[Phase, frozenset[Told]]] = {
    Phase.STARTING: _HOSTS | _MACHINE,
    Phase.RUNNING: _HOSTS
    | _MACHINE
    | _THREADS
    | {
        Told.CALLED,
        Told.ABANDONED,
        Told.CONFIRMED,
        Told.PAUSED,
        Told.WAITED,
        Told.TIMER_DUE,
    },
    Phase.PAUSED: _HOSTS | _MACHINE | _THREADS | {Told.CONFIRMED, Told.TIMER_DUE},
    Phase.CONTINUING: _HOSTS | _MACHINE | _THREADS | {Told.CONFIRMED, Told.TIMER_DUE},
    # The past is not punished: what a worker says after the end, or before the handshake of its
    # connection, is dropped before it comes here.
    Phase.FINISHED: _HOSTS | {Told.WORKER_ENDED, Told.NOT_FORKED},
}


@dataclass(frozen=True)
class Observer:
    """The one observation that waits. `deadline_ns` None: until something happens."""

    ref: RequestRef
    since_ns: int
    by: str
    yield_after_ns: int | None
    deadline_ns: int | None


@dataclass(frozen=True)
class Resuming:
    """A Continue under way, and who waits for its outcome.

    `brought`: the last input that came with it, however often it was sent.
    """

    ref: RequestRef
    generation: int
    upto: int
    brought: int
    acknowledged: int
    then_observe: Observer | None
    followers: tuple[tuple[RequestRef, int, Observer | None], ...]
    repeat_ns: int
    repeat_at_ns: int


@dataclass(frozen=True)
class Ending:
    """A decided end that is not told yet: calls are being cancelled, a worker is being killed."""

    calls_until_ns: int
    worker_until_ns: int
    worker_lives: bool


@dataclass(frozen=True)
class Replaying:
    """How far a worker has come in saying again what the journal has.

    Attributes:
        heard: the last seq that was compared.
        position: how many steps of the past it has said.
        ticks: of the clock, beyond the journal's; they count if the past is reached.
    """

    heard: int = 0
    position: int = 0
    ticks: tuple[tuple[int, int], ...] = ()
    readings: int = 0


@dataclass(frozen=True)
class Waits:
    """What is under way and not a fact: it is lost with the supervisor, and asked for again.

    Attributes:
        greeted_ns: when this supervisor gave the worker its source, or adopted it; 0 before.
        adopting_at_ns: when to ask an adopted worker again; 0 when there is nothing to ask.
        kill_at_ns: when to kill a worker that does not end by itself after Bye; 0: never.
        forked: the zygote has been asked for this worker, and has not told its end.
        dormant: the cell has no worker, and gets one when there is something to do.
        replay: what the worker says is compared with the journal, not recorded; None otherwise.
        greet_by_ns: when a worker that has not said Hello is given up; 0 when it has.
        retry_at_ns: when to try again to start a worker; 0 without a reason.
        trouble: why no worker could be started.
        final_for: requests that wait for the final event to be told.
        delivered: the last input that was sent to this worker.
        sleep_at_ns: when an idle cell gives up its worker; 0: it needs it.
        acked: the last seq that the worker was told we have; `unacked` bytes since.
    """

    observer: Observer | None = None
    resuming: Resuming | None = None
    ending: Ending | None = None
    final_for: tuple[RequestRef, ...] = ()
    greeted_ns: int = 0
    adopting_at_ns: int = 0
    adopting_since_ns: int = 0
    kill_at_ns: int = 0
    forked: bool = False
    dormant: bool = False
    replay: Replaying | None = None
    greet_by_ns: int = 0
    retry_at_ns: int = 0
    trouble: str = ""
    pid: int = 0
    delivered: int = 0
    sleep_at_ns: int = 0
    acked: int = 0
    unacked: int = 0

    def without_worker(self) -> Waits:
        """What is left when the worker is gone: who waits still waits."""
        return Waits(self.observer, self.resuming, self.ending, self.final_for, dormant=True)


@dataclass(frozen=True)
class CellState:
    """A cell as the supervisor sees it: facts, and what is under way."""

    cell: Cell
    waits: Waits = Waits()
    token: bytes = b""

    @property
    def phase(self) -> Phase:
        """The phase, with CONTINUING while a Continue is unconfirmed."""
        phase = self.cell.phase
        if phase is Phase.PAUSED and self.waits.resuming is not None:
            return Phase.CONTINUING
        if phase is Phase.STARTING and self.waits.greeted_ns:
            return Phase.RUNNING
        return phase

    @property
    def hears(self) -> bool:
        """Whether there is a worker that can be given inputs and Continue."""
        return self.waits.greeted_ns > 0 and self.waits.replay is None

    @property
    def have(self) -> int:
        """The last seq that this worker need not say again."""
        replay = self.waits.replay
        return self.cell.have if replay is None else replay.heard

    @property
    def wants_worker(self) -> bool:
        """Whether there is something to do for a worker, if the cell had one."""
        cell, waits = self.cell, self.waits
        if cell.phase is Phase.FINISHED or waits.retry_at_ns:
            return False
        if waits.observer is not None or waits.resuming is not None:
            return True
        if cell.diverged is not None or cell.phase is Phase.PAUSED:
            return False
        return not cell.waiting or deliverable(cell) > cell.taken

    def waiting(self, **changes: object) -> CellState:
        """This state with some of its waits changed."""
        return replace(self, waits=replace(self.waits, **changes))  # type: ignore[arg-type]


def legal(state: CellState, told: Told) -> bool:
    """Whether the law has this pair."""
    return told in LEGAL[state.phase]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step decided: either records (to be said in answer to their commit), or effects.

    Attributes:
        state: with new waits; facts change by `records` alone.
        answers: the request that the records answer, so that a failed commit can refuse it.
    """

    state: CellState
    records: tuple[CellRecord, ...] = ()
    contents: tuple[Content, ...] = ()
    effects: tuple[Effect, ...] = ()
    answers: RequestRef = NO_REQUEST

    def __post_init__(self) -> None:
        if self.records and self.effects:
            raise AssertionError("a step either appends or speaks, never both")


class Hostile(Exception):
    """A message that no honest worker could have sent: it ends that worker and changes nothing."""
