"""All cells, sessions and hosts of one supervisor: the only mutable object of the core.

It takes one event at a time and collects, for the beat, the entries to be committed and the
effects that may be spoken once they are. What a step decides is visible to the next step of the
same beat at once, and to the world only after the commit; if that fails, `undo()` puts everything
back.
"""

from __future__ import annotations

from typing import Any

from ...protocol.classes import dataclass
from ...protocol.host_requests import Attach
from ...protocol.ids import Incarnation, RequestRef, cell_id, spare_token, worker_token
from ...protocol.packed import ToolSpec
from . import records as r
from .alarms import Alarms
from .announce import announce
from .apply import apply
from .changes import replace
from .deadlines import deadline_of
from .effects import Effect, Read
from .facts import Cell, Phase
from .hosts import Attachment, Session
from .idleness import rested
from .law import CellState, Outcome
from .past import Past
from .shelf import Shelf
from .spare import Kind, Spare
from .stream_steps import Packers
from .watching import Place, Watch, recount_patience, take_watches

FORKS_MAX = 8  # more at once only makes each of them slower
REPLAYS_MAX = 3  # cells that are run again at once: the others have the machine too
REPLAY_PLACE_NS = 2_000_000_000  # then the place is another's: one that hangs must not hold it
DEAF_NS = 50_000_000  # before a worker that could not be sent something is asked
_EVENTS = (r.FrontierReached, r.YieldMade, r.CellCompleted, r.CellTerminated)


@dataclass(frozen=True, slots=True)
class World:
    """What this life of the supervisor is given: numbers that fence the past, and ways to pack.

    Attributes:
        secret: 32 bytes of the journal from which tokens and seeds are derived.
        isolation: the level of sessions that ask for none; empty: the best that can be had.
        private: the supervisor ends with its host.
        spares: how many workers are kept ready that no cell has.
        hibernate_ns: how long a cell is idle before it gives up its worker; 0: for ever.
        finished_max: how many finished cells stay in memory; the journal has the others.
    """

    epoch: int
    journal_id: int
    secret: bytes
    isolation: str
    durability: str
    version: str
    pid: int
    started_ns: int
    packers: Packers
    private: bool = False
    spares: int = 0
    hibernate_ns: int = 0
    finished_max: int = 1_000


@dataclass(frozen=True, slots=True)
class Remembered:
    """The effect of a request, kept until its host has the answer."""

    kind: str
    cell: str = ""


class Fleet:
    """See the module's text. Functions of the other modules of the core take it as their first."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.touched: list[Shelf[Any, Any]] = []
        self.cells: Shelf[str, CellState] = Shelf(self.touched)
        self.tokens: Shelf[bytes, str] = Shelf(self.touched)
        self.sessions: Shelf[str, Session] = Shelf(self.touched)
        self.stored: Shelf[tuple[str, str], int] = Shelf(self.touched)
        self.attachments: Shelf[int, Attachment] = Shelf(self.touched)
        self.connections: Shelf[bytes, int] = Shelf(self.touched)
        self.answers: Shelf[RequestRef, Remembered] = Shelf(self.touched)
        self.keys: Shelf[tuple[str, str], tuple[str, bytes]] = Shelf(self.touched)
        self.backlogs: dict[str, Shelf[tuple[str, int], None]] = {}
        self.notices: Shelf[str, tuple[int, ...]] = Shelf(self.touched)
        self.fork_queue: Shelf[str, None] = Shelf(self.touched)
        self.forking: Shelf[bytes, None] = Shelf(self.touched)
        self.wake_queue: Shelf[str, None] = Shelf(self.touched)
        self.restoring: Shelf[str, int] = Shelf(self.touched)
        self.pasts: Shelf[str, Past] = Shelf(self.touched)
        self.spares: Shelf[bytes, Spare] = Shelf(self.touched)
        self.kinds: Shelf[Kind, int] = Shelf(self.touched)
        self.watches: Shelf[RequestRef, Watch] = Shelf(self.touched)
        self.watched: Shelf[Place, tuple[RequestRef, ...]] = Shelf(self.touched)
        self.numbers: Shelf[str, int] = Shelf(self.touched)
        self.by_host_token: Shelf[bytes, int] = Shelf(self.touched)
        self.closing: Shelf[RequestRef, str] = Shelf(self.touched)
        self.levels: Shelf[str, tuple[str, ...]] = Shelf(self.touched)
        self.parked: Shelf[tuple[bytes, int], Attach] = Shelf(self.touched)
        self.visitors: list[int] = []
        self.places: Shelf[RequestRef, str] = Shelf(self.touched)
        self.entries: list[r.Entry] = []
        self.effects: list[Effect] = []
        self.draining = False
        self.journal = 0
        self.listed: set[str] = set()
        self.spares_at_ns: int | None = None
        self.dropped = 0
        self.alarms: Alarms[str] = Alarms()
        self.patience: Alarms[RequestRef] = Alarms()
        self.finished: dict[str, None] = {}

    # -- the beat ---------------------------------------------------------------------------------

    def mark(self) -> None:
        """A beat begins: nothing is pending but records that may wait."""
        for shelf in self.touched:
            shelf.mark()
        self.touched.clear()

    def undo(self) -> None:
        """The beat's commit failed: everything as it was, and nothing is spoken."""
        for shelf in self.touched:
            shelf.undo()
        self.touched.clear()
        self.entries.clear()
        self.effects.clear()
        self.alarms.clear()  # also of cells that are not there any more
        for name in self.cells:
            self.alarms.set(name, deadline_of(self.cells[name]))
        recount_patience(self)

    def backlog(self, session: str) -> Shelf[tuple[str, int], None]:
        """The session's calls that wait to be dispatched, by cell and number, oldest first."""
        if session not in self.backlogs:
            self.backlogs[session] = Shelf(self.touched)
        return self.backlogs[session]

    def append(self, scope: str, record: r.Record, contents: tuple[r.Content, ...] = ()) -> None:
        """One record for this beat's commit."""
        self.entries.append(r.Entry(scope, record, contents))

    def speak(self, *effects: Effect) -> None:
        """Effects to be carried out once the beat is committed."""
        self.effects.extend(effects)

    # -- cells ------------------------------------------------------------------------------------

    def settle(self, outcome: Outcome, now_ns: int) -> CellState:
        """Carry out what one step decided: facts change, effects and entries are collected."""
        state = outcome.state
        contents = outcome.contents
        for record in outcome.records:
            before = state
            state = replace(state, cell=apply(state.cell, record, now_ns))
            self.append(state.cell.id, record, contents)
            contents = ()
            state, effects = announce(before, record, state, now_ns)
            self.speak(*effects)
            _note(self, state.cell, record)
        self.speak(*outcome.effects)
        self.put(state, now_ns)
        return state

    def forget_request(self, ref: RequestRef) -> None:
        """The host has the answer, or will never ask for it."""
        self.answers.pop(ref)
        self.places.pop(ref)

    def put(self, state: CellState, now_ns: int) -> None:
        """Keep this state, and count the session's unfinished cells."""
        old = self.cells.get(state.cell.id)
        if self.world.hibernate_ns:
            session, rest_ns = self.sessions[state.cell.session], self.world.hibernate_ns
            state = rested(old, state, session, now_ns, rest_ns)
        self.cells[state.cell.id] = state
        was = old is not None and old.cell.phase is not Phase.FINISHED
        lives = state.cell.phase is not Phase.FINISHED
        if was != lives:
            session = self.sessions[state.cell.session]
            count = session.unfinished + lives - was
            self.sessions[session.name] = replace(session, unfinished=count)
        if not lives:
            self.finished.setdefault(state.cell.id)
            self.leave_past(state.cell.id)
        elif state.waits.dormant and state.wants_worker:
            self.wake_queue[state.cell.id] = None
        self.alarms.set_by(state.cell.id, deadline_of, state)

    def leave_past(self, cell: str) -> None:
        """No worker of this cell says its past again, or not any more."""
        self.pasts.pop(cell)
        self.restoring.pop(cell)
        self.wake_queue.pop(cell)

    def adopt_facts(self, cell: Cell) -> CellState:
        """A cell read back from the journal."""
        state = CellState(cell, token=(token := _token_of(self.world.secret, cell)))
        if cell.phase is not Phase.FINISHED and token:
            self.tokens[token] = cell.id
        return state

    def by_token(self, token: bytes) -> CellState | None:
        """The cell whose current worker has this token."""
        name = self.tokens.get(token)
        state = None if name is None else self.cells.get(name)
        return state if state is not None and state.token == token else None

    def deaf(self, token: bytes, now_ns: int) -> None:
        """This worker could not be sent something: ask it what it has, and begin from there."""
        state = self.by_token(token)
        if state is None or state.cell.phase is Phase.FINISHED or state.waits.adopting_at_ns:
            return
        if state.waits.dormant:
            return
        asking = state.waiting(adopting_since_ns=now_ns, adopting_at_ns=now_ns + DEAF_NS)
        self.put(asking, now_ns)

    def unbind(self, connection: bytes) -> None:
        """This connection has lost something that was said to it: it has to attach again."""
        number = self.connections.pop(connection)
        attachment = None if number is None else self.attachments.get(number)
        if attachment is not None:
            self.attachments[attachment.number] = replace(attachment, connection=None)

    def replays(self, cell: Cell) -> bool:
        """Whether this cell is run again when its worker is lost."""
        return not cell.flagged and self.sessions[cell.session].replay

    def tools_of(self, attachment: int) -> tuple[ToolSpec, ...]:
        """The tool list of an attachment that is in memory; empty otherwise."""
        found = self.attachments.get(attachment)
        return () if found is None else found.tools

    # -- numbers ----------------------------------------------------------------------------------

    def next_number(self, name: str) -> int:
        """1, 2, 3, ... by name, within this journal or this epoch."""
        number = (self.numbers.get(name) or 0) + 1
        self.numbers[name] = number
        return number

    def next_incarnation(self) -> Incarnation:
        """A worker life that nobody has had before; it contains our epoch."""
        return Incarnation(self.world.epoch, self.next_number("incarnation"))

    def next_cell_id(self, now_ns: int) -> tuple[str, int]:
        """An id that sorts after every earlier one, whatever the clock does."""
        us = max(now_ns // 1_000, (self.numbers.get("cell_us") or 0) + 1)
        self.numbers["cell_us"] = us
        return cell_id(us, self.world.journal_id), us

    # -- time -------------------------------------------------------------------------------------

    def next_deadline_ns(self) -> int | None:
        """When `TimePassed` is due next; None: never."""
        moments: tuple[int | None, ...] = (self.patience.first_ns(), self.spares_at_ns)
        if len(self.wake_queue):
            moments += tuple(self.restoring.values())
        first_ns = self.alarms.first_ns()
        for moment in moments:  # by hand: this is asked twice in each beat
            if moment is not None and (first_ns is None or moment < first_ns):
                first_ns = moment
        return first_ns


def _token_of(secret: bytes, cell: Cell) -> bytes:
    """The token of the cell's worker; empty: it never had one."""
    life = cell.incarnation
    if life is None:
        return b""
    if cell.spare:
        return spare_token(secret, life.epoch, cell.spare)
    return worker_token(secret, cell.id, life)


def _note(fleet: Fleet, cell: Cell, record: r.CellRecord) -> None:
    if isinstance(record, r.GenerationConsumed):
        # The request is what the worker repeats of it: it replaces nobody else's answer.
        if record.request not in fleet.answers:
            kind = f"consumed {record.generation}"
            fleet.answers[record.request] = Remembered(kind, cell.id)
    elif isinstance(record, _EVENTS):
        is_yield = isinstance(record, r.YieldMade)
        for watch in take_watches(fleet, cell.session, cell.id, is_yield=is_yield):
            fleet.speak(Read(watch.ref, watch.ask, watch.session))
