"""Drain, decide, commit, speak: the only thing in the supervisor that touches the world.

`beat()` does one round and returns; who turns the crank (a server, a test, the simulator) is not
its concern.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable

from ...protocol.classes import dataclass, field
from ...protocol.host_answers import Refused
from ...protocol.ids import RequestRef
from ...protocol.worker_messages import Confirmed, Said
from ..core import turn
from ..core.effects import Effect, TellConnection
from ..core.events import (
    FleetEvent,
    HostAsked,
    HostGarbled,
    HostGone,
    TimePassed,
    WorkerSpoke,
)
from ..core.fleet import Fleet, World
from ..core.forgetting import forget_cells, sweep
from ..core.records import LAZY, Entry, Unreadable
from .kept_contents import KeptContents
from .ports import JournalBroken, JournalFull, Ports, Store
from .speaker import Speaker

EVENTS_MAX = 256  # in one beat: group commit saturates well below
LAZY_NS_MAX = 1_000_000_000  # how long an acknowledgement may wait for somebody else's commit
RETIRE_NS = 60_000_000_000  # how often to look for finished cells that need not be kept
RETIRE_LATE_NS = 5_000_000_000  # how long it gives way to what there is to do
RETIRE_AGAIN_NS = 1_000_000_000  # and how long to leave it in peace between two batches
RETRY_NS = 200_000_000  # how long a full disk is left alone
_FROM_HOSTS = (HostAsked, HostGarbled, HostGone)
_NOT_KEPT = (*_FROM_HOSTS, TimePassed)  # time passes again by itself
_NO_ATTRIBUTES = b"\x80"  # a packed map


@dataclass(slots=True)
class Beat:
    """One beat's decisions, kept until its commit: which request appended what."""

    events: list[FleetEvent] = field(default_factory=list)
    asked: list[tuple[HostAsked, RequestRef | None, bool]] = field(default_factory=list)


class Loop:
    """One life of the supervisor on its journal.

    Raises out of `beat()`: `Fenced` when a newer supervisor has the journal, and `JournalBroken`
    when what is on the disk is not known: then the loop is done, and a new one recovers from what
    is there. `linger` waits for a moment, and less if something arrives; None: nobody waits.
    """

    def __init__(
        self, ports: Ports, world: World, linger: Callable[[], None] | None = None
    ) -> None:
        self.ports, self.linger = ports, linger
        self.fleet = Fleet(world)
        self.kept = KeptContents(ports.store)
        self.speaker = Speaker(self.fleet, ports, self.kept)
        self.stalled: list[FleetEvent] = []
        self.stall_ends_ns, self.trouble = 0, ""
        self._lazy: list[Entry] = []
        self._lazy_since_ns = 0
        self._retire_at_ns = ports.clock.now_ns() + RETIRE_AGAIN_NS
        self._ready: deque[FleetEvent] = deque()
        _recover(self.fleet, ports)
        self._speak()

    # -- the four beats ---------------------------------------------------------------------------

    def beat(self) -> bool:
        """One round. True: something was done, so look again before waiting."""
        now_ns = self.ports.clock.now_ns()
        events = self._drain(now_ns)
        if events:
            self._decide_and_commit(events, now_ns)
        if self._lazy and now_ns - self._lazy_since_ns >= LAZY_NS_MAX:
            self.flush()
        elif now_ns >= self._retire_at_ns + (RETIRE_LATE_NS if events else 0) and not self.trouble:
            self._retire(now_ns)
        return bool(events)

    def _retire(self, now_ns: int) -> None:
        """Let the journal forget some finished cells: when there is nothing else to do, or late."""
        self.flush()  # no record of a cell may come after the cell has gone
        if self.trouble:
            return
        try:
            cells = self.ports.store.retire(now_ns)
        except JournalFull:
            cells = []
        forget_cells(self.fleet, cells)
        self._retire_at_ns = now_ns + (RETIRE_AGAIN_NS if cells else RETIRE_NS)

    def _drain(self, now_ns: int) -> list[FleetEvent]:
        if self._stalls(now_ns):
            # What workers say could not be written, so it is left where it is bounded; and with it
            # their ends, which come after their last words.
            return self.ports.wires.drain_hosts(EVENTS_MAX)
        events, self.stalled = self.stalled, []
        if len(self._ready) < EVENTS_MAX:
            # What a worker said before it ended is read before its end is.
            ended = self.ports.processes.drain()
            self._ready.extend(self.ports.wires.drain(EVENTS_MAX))
            self._ready.extend(ended)
        while self._ready and len(events) < EVENTS_MAX:
            events.append(self._ready.popleft())
        deadline_ns = self.fleet.next_deadline_ns()
        if deadline_ns is not None and deadline_ns <= now_ns:
            events.append(TimePassed())
        return events

    def _decide_and_commit(self, events: list[FleetEvent], now_ns: int) -> None:
        beat = Beat(events)
        self.fleet.mark()
        linger = self.linger if _is_half_said(self.fleet, events) else None
        for event in events:
            self._decide(beat, event, now_ns)
        if linger is not None:
            linger()  # now: with this one decided while its worker is on the way to the next
            events += self.ports.wires.drain(EVENTS_MAX)
            for event in events[1:]:
                self._decide(beat, event, now_ns)
        entries = self._lazy + self.fleet.entries
        if any(not isinstance(entry.record, LAZY) for entry in entries):
            try:
                self.ports.store.commit(entries, now_ns)
            except JournalFull as error:
                self._refuse_beat(beat, str(error), now_ns)
                return
            except JournalBroken as error:
                self._refuse_all(beat, str(error))
                raise
            self.trouble = ""
            self._lazy = []
            self.kept.put(entries)
            self.fleet.entries = []
        self._keep_lazy(now_ns)
        self._speak()

    def _decide(self, beat: Beat, event: FleetEvent, now_ns: int) -> None:
        try:
            self._learn_for(event, now_ns)
        except Unreadable as error:
            if not isinstance(event, HostAsked):
                raise JournalBroken(str(error)) from error
            self.fleet.speak(_unreadable(event, error, self.ports.store.last_number))
            return
        before = len(self.fleet.entries)
        ref = turn.take(self.fleet, event, self.ports.store.last_number, now_ns)
        if isinstance(event, HostAsked):
            new = self.fleet.entries[before:]
            wrote = any(not isinstance(entry.record, LAZY) for entry in new)
            beat.asked.append((event, ref, wrote))

    def _learn_for(self, event: FleetEvent, now_ns: int) -> None:
        """What the event is about; an idempotency key may in turn be about a cell."""
        learned: list[turn.Need] = []
        while needs := [need for need in turn.needs(self.fleet, event) if need not in learned]:
            for need in needs:
                _learn(self.fleet, self.ports.store, need, now_ns)
            learned += needs

    def _speak(self) -> None:
        effects: list[Effect] = self.fleet.effects
        self.fleet.effects = []
        self.speaker.speak(effects)
        sweep(self.fleet)

    def _keep_lazy(self, now_ns: int) -> None:
        """What was decided and is not committed yet may wait: memory has it, the journal will."""
        if self.fleet.entries and not self._lazy:
            self._lazy_since_ns = now_ns
        self._lazy += self.fleet.entries
        self.fleet.entries = []

    def flush(self) -> None:
        """Commit what could wait; for the end of a life, and for idle moments."""
        now_ns = self.ports.clock.now_ns()
        if self._lazy and not self._stalls(now_ns):
            try:
                self.ports.store.commit(self._lazy, now_ns)
            except JournalFull as error:
                self._stall(str(error), now_ns)
                return
            self.trouble = ""
            self._lazy = []

    # -- a journal that cannot be written ---------------------------------------------------------

    def _stall(self, why: str, now_ns: int) -> None:
        self.trouble = why
        self.stall_ends_ns = now_ns + RETRY_NS

    def _stalls(self, now_ns: int) -> bool:
        return bool(self.trouble) and now_ns < self.stall_ends_ns

    def _refuse_beat(self, beat: Beat, why: str, now_ns: int) -> None:
        """Everything is put back; writers are told, readers are answered, workers wait."""
        self.fleet.undo()
        self._stall(why, now_ns)
        self.stalled += [event for event in beat.events if not isinstance(event, _NOT_KEPT)]
        self.stalled += [event for event in beat.events if isinstance(event, HostGone)]
        for event, ref, wrote in beat.asked:
            self.fleet.mark()
            if not wrote:
                self._learn_for(event, now_ns)
                ref = turn.take(self.fleet, event, self.ports.store.last_number, now_ns)
                wrote = any(not isinstance(e.record, LAZY) for e in self.fleet.entries)
            if wrote:
                self.fleet.undo()
                if ref is not None:
                    self.fleet.speak(_journal_refusal(event, why, self.ports.store.last_number))
            self._keep_lazy(now_ns)
            self._speak()

    def _refuse_all(self, beat: Beat, why: str) -> None:
        """What is on the disk is not known: nobody is told anything but that."""
        self.fleet.undo()
        asked = [event for event, ref, _ in beat.asked if ref is not None]
        self.fleet.speak(
            *(_journal_refusal(event, why, self.ports.store.last_number) for event in asked)
        )
        self._speak()

    # -- waiting ----------------------------------------------------------------------------------

    @property
    def hears_only_hosts(self) -> bool:
        """Whether news of workers and processes is of no use to the next beat."""
        return bool(self.trouble) and self._stalls(self.ports.clock.now_ns())

    def wait_ns(self) -> int | None:
        """How long the crank may rest if nothing arrives; None: for ever."""
        now_ns = self.ports.clock.now_ns()
        if self._stalls(now_ns):
            return self.stall_ends_ns - now_ns
        if self._ready or self.stalled:
            return 0
        lazy_ns = self._lazy_since_ns + LAZY_NS_MAX if self._lazy else None
        moments = [self.fleet.next_deadline_ns(), lazy_ns]
        due = [moment for moment in moments if moment is not None]
        return max(0, min(due) - now_ns) if due else None


def _learn(fleet: Fleet, store: Store, need: turn.Need, now_ns: int) -> None:
    """Bring what the journal knows into memory; this changes no fact."""
    if isinstance(need, turn.NeedKey):
        turn.learn_key(fleet, need, store.key_owner(need.session, need.key))
        return
    records = store.cell_records(need.cell)
    if isinstance(need, turn.NeedPast):
        turn.learn_past(fleet, need.cell, [stored.record for stored in records])
    elif records:
        turn.recover_cell(fleet, [(stored.record, stored.at_ns) for stored in records], now_ns)


def _is_half_said(fleet: Fleet, events: list[FleetEvent]) -> bool:
    """Whether all there is to do is to note that a worker has gone on, with an input to take.

    Most of them are at their next frontier a moment later; then both share a commit.
    """
    if len(events) != 1 or not isinstance(event := events[0], WorkerSpoke):
        return False
    said = event.message
    if not isinstance(said, Said) or len(said.items) != 1:
        return False
    state = fleet.by_token(event.token)
    resuming = None if state is None else state.waits.resuming
    return (
        isinstance(said.items[0], Confirmed)
        and state is not None
        and resuming is not None
        and resuming.brought > state.cell.taken
    )


def _journal_refusal(event: HostAsked, why: str, journal: int) -> TellConnection:
    # To the connection: an Attach that was undone has no attachment to answer to.
    text = (
        f"the journal could not be written ({why}); nothing was acknowledged: "
        "free space on its disk, or mend it, and ask again"
    )
    number = event.request.number
    refusal = Refused(number, journal, "journal", text[:4_000], _NO_ATTRIBUTES)
    return TellConnection(event.connection, refusal)


def _unreadable(event: HostAsked, error: Unreadable, journal: int) -> TellConnection:
    text = f"{error}; see `tidemark check --state DIR`; other cells are not concerned"
    refusal = Refused(event.request.number, journal, "journal", text[:4_000], _NO_ATTRIBUTES)
    return TellConnection(event.connection, refusal)


def _recover(fleet: Fleet, ports: Ports) -> None:
    """Bring the fleet to what the journal knows."""
    now_ns = ports.clock.now_ns()
    for stored in ports.store.session_records():
        turn.recover_session(fleet, stored.record, stored.at_ns)
    for name in ports.store.unfinished_cells():
        try:
            records = ports.store.cell_records(name)
            turn.recover_cell(fleet, [(each.record, each.at_ns) for each in records], now_ns)
        except Unreadable as error:
            # The others go on; whoever asks for this one is told.
            print(f"tidemark supervisor: cell {name} is left as it is: {error}", file=sys.stderr)
    newest = ports.store.cells("", "", 1, "")
    turn.recover_newest(fleet, [cell.created_us for cell in newest])
    fleet.mark()
    turn.rewatch(fleet)
