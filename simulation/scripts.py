"""What hosts do with cells: scripts that yield what they want and are sent the answers."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from ..client._handles import HandleState
from ..protocol import host_answers as a
from ..protocol import host_requests as h
from ..protocol import values
from ..protocol.errors import TidemarkError
from ..protocol.limits import Limits
from ..protocol.packed import CellKind, EventKind, InputKind, PackedEvent
from .programs import Program
from .promise import Promise
from .sim_host import MS, SECOND, Reply, Script, SimHost, Want

if TYPE_CHECKING:
    from .world import World

#: What an honest host may be refused with; nothing else may ever come.
EXPECTED = {
    "busy_observer",
    "cell_closed",
    "invalid_generation",
    "journal",
    "session_held",
    "session_taken",
    "supervisor_unavailable",
}
FINAL = (EventKind.COMPLETED, EventKind.TERMINATED)
REST_NS = 30 * MS


class Handle:
    """One handle of a cell, with what the checkers want to know of it."""

    def __init__(self, host: SimHost, cell: str) -> None:
        self.host, self.cell = host, cell
        self.state = HandleState(cell)
        self.stop = 0
        self.acked_stop = 0
        self.ended = False

    @property
    def last(self) -> int | None:
        return self.state.last

    def saw(self, event: PackedEvent) -> None:
        """This event has been received."""
        promises = self.host.world.promises
        promises.saw(self.host.name, self.cell, event, self.last or 0, self.acked_stop)
        self.state.received(event)
        if event.output:
            self.stop = max(self.stop, event.output[-1].index + 1)
        if event.kind in FINAL:
            self.ended = True
            self.host.core.acknowledge(self.cell, event.number)

    def acknowledged(self) -> None:
        """The last event was acknowledged by a request that has been answered."""
        self.acked_stop = self.stop


def check(host: SimHost, reply: Reply, cell: str = "") -> str:
    """The code of a refusal, "" for an answer or none."""
    if not isinstance(reply, TidemarkError):
        return ""
    lost = reply.code == "worker_lost" and not host.world.replays
    if reply.code not in EXPECTED and not lost:
        host.world.promises.broken(
            Promise.REFUSED,
            f"{host.name}: {reply.code}: {reply}",
            cell,
        )
    return reply.code


def create(world: World, host: SimHost, program: Program, key: str, delay_ns: int) -> Script:
    """Make a cell, then do with it what the seed says."""
    yield Want(None, delay_ns)
    ask = h.CreateCell(
        program.kind,
        program.source,
        values.encode({}),
        program.name,
        key,
        Limits(),
        program.stepping,
    )
    patience_ns = 100 * MS if key and world.rng.random() < 0.2 else None
    while True:
        reply = yield Want(ask, patience_ns)
        code = check(host, reply)
        if code in ("journal", "supervisor_unavailable") or reply is None:
            patience_ns = None
            yield Want(None, REST_NS)
            continue
        if code:
            return
        break
    assert isinstance(reply, a.CellMade)
    if reply.cell not in world.disk.cells:
        world.promises.broken(Promise.CREATED, "it is not there", reply.cell)
    world.cell_made(host, reply.cell, program)


def follow(world: World, host: SimHost, cell: str, kind: CellKind, *, calm: bool) -> Script:
    """Bring a cell to its end, or whatever happens first."""
    handle = Handle(host, cell)
    if kind is CellKind.PAUSABLE:
        return _follow_pausable(world, handle, calm=calm)
    return _follow_continuing(world, handle, calm=calm)


def _is_over(handle: Handle) -> bool:
    """Asked anew: what was seen meanwhile may have been the end."""
    return handle.ended


def _refused(handle: Handle, reply: Reply) -> bool:
    """Whether a refusal means that this script is over."""
    code = check(handle.host, reply, handle.cell)
    return code in ("session_taken", "cell_closed")


def _follow_continuing(world: World, handle: Handle, *, calm: bool) -> Script:
    rng = world.rng
    while not handle.ended:
        wait_ns = rng.choice((0, MS, 20 * MS, 10 * SECOND)) if not calm else 10 * SECOND
        take_over = calm or rng.random() < 0.1
        patience_ns = rng.randrange(1, 60) * MS if not calm and rng.random() < 0.2 else None
        reply = yield Want(h.Observe(handle.cell, handle.last, wait_ns, take_over), patience_ns)
        if isinstance(reply, a.EventGiven):
            handle.acknowledged()
            handle.saw(reply.event)
        elif _refused(handle, reply):
            return
        if wait_ns <= MS or reply is None or isinstance(reply, TidemarkError):
            yield Want(None, rng.randrange(5, 100) * MS)


def _follow_pausable(world: World, handle: Handle, *, calm: bool) -> Script:
    rng, cell, host = world.rng, handle.cell, handle.host
    while not handle.ended:
        acked = world.promises.acked.get(cell, 0)
        patience_ns = rng.randrange(1, 60) * MS if not calm and rng.random() < 0.1 else None
        take_over = calm or rng.random() < 0.1
        reply = yield Want(h.WaitToPending(cell, take_over), patience_ns)
        if not isinstance(reply, a.EventGiven):
            if _refused(handle, reply):
                return
            yield Want(None, REST_NS)
            continue
        handle.saw(reply.event)
        if _is_over(handle):
            return
        world.promises.current(host.name, cell, reply.event.generation, acked)
        if not calm and rng.random() < 0.3:
            yield Want(None, rng.randrange(1, 150) * MS)
        if not calm and rng.random() < 0.1:
            yield from _ask_wrongly(world, handle, reply.event.generation)
        if (yield from _leave(world, handle, reply.event.generation, calm=calm)):
            return


def _leave(
    world: World, handle: Handle, generation: int, *, calm: bool
) -> Generator[Want, Reply, bool]:
    """Resume or step; True: this script is over."""
    rng, cell = world.rng, handle.cell
    verb = h.Step if rng.random() < 0.3 else h.Resume
    after = handle.last if rng.random() < 0.8 else None
    patience_ns = None if calm or rng.random() < 0.8 else rng.randrange(1, 40) * MS
    again = rng.random() < 0.7
    number = f"{handle.host.name} {generation} {rng.random()}"
    reply = yield Want(verb(cell, generation, after), patience_ns, again)
    if isinstance(reply, (a.ResumedGiven, a.EventGiven)):
        if after is not None:
            handle.acknowledged()
        _left_what_was_asked(world, cell, generation, reply)
        world.promises.was_resumed(handle.host.name, cell, generation, number)
        if isinstance(reply, a.EventGiven):
            handle.saw(reply.event)
            if not handle.ended:
                world.promises.current(handle.host.name, cell, reply.event.generation, generation)
    elif isinstance(reply, a.AlreadyGiven):
        if world.journal.requests.get(handle.host.settled) == f"consume {generation} of {cell}":
            world.promises.broken(Promise.SAME_ANSWER, str(reply), cell)
        if world.journal.cells[cell].consumed < generation < reply.latest:
            world.promises.broken(Promise.TRUE_STATE, str(reply), cell)
        yield Want(None, MS)
    elif _refused(handle, reply):
        return world.journal.cells[cell].final is None
    elif reply is None or isinstance(reply, TidemarkError):
        yield Want(None, REST_NS)
    return False


def _left_what_was_asked(world: World, cell: str, generation: int, reply: Reply) -> None:
    if isinstance(reply, a.ResumedGiven) and reply.generation != generation:
        world.promises.broken(Promise.NAMED, f"{generation}: {reply}", cell)


def _ask_wrongly(world: World, handle: Handle, generation: int) -> Generator[Want, Reply, None]:
    wrong = world.rng.choice((-1, 0, generation - 1, generation + 1, generation + 7))
    reply = yield Want(h.Resume(handle.cell, wrong, None))
    _left_what_was_asked(world, handle.cell, wrong, reply)
    check(handle.host, reply, handle.cell)


def terminate(world: World, host: SimHost, cell: str, delay_ns: int) -> Script:
    """End a cell some time from now; twice, to see the same."""
    yield Want(None, delay_ns)
    handle = Handle(host, cell)
    for _ in range(2):
        reply = yield Want(h.Terminate(cell, None))
        while check(host, reply, cell) in ("journal", "supervisor_unavailable"):
            yield Want(None, REST_NS)
            reply = yield Want(h.Terminate(cell, None))
        if not isinstance(reply, a.EventGiven):
            return
        if reply.event.kind not in FINAL:
            world.promises.broken(Promise.END_TOLD, str(reply.event), cell)
        handle.saw(reply.event)


def close(world: World, host: SimHost, delay_ns: int) -> Script:
    """Close the session some time from now, and go as soon as that is answered.

    By then whoever waits for a cell, asked before on the same connection, has been told its end.
    """
    yield Want(None, delay_ns)
    reply: Reply = None
    while not isinstance(reply, a.Done):
        waiting, connection = host.observers(), host.line.connection
        reply = yield Want(h.CloseSession())
        if check(host, reply) not in ("", "journal", "supervisor_unavailable"):
            return
        if not isinstance(reply, a.Done):
            yield Want(None, REST_NS)
    if not world.all_ended:
        world.promises.broken(Promise.END_TOLD, f"{host.name} has closed the session")
    left = waiting & host.observers()
    if left and host.line.connection == connection:
        world.promises.broken(Promise.END_TOLD, f"{host.name} waits: {host.unanswered()}")
    host.vanish()


def put_to_sleep(world: World, host: SimHost, cell: str) -> Script:
    """Ask now and then that the cell gives up its worker; it may refuse, and nobody notices."""
    for _ in range(4):
        yield Want(None, world.rng.randrange(1, 120) * MS)
        reply = yield Want(h.Hibernate(cell))
        if check(host, reply, cell) == "cell_closed":
            return


def look_around(world: World, host: SimHost, cell: str) -> Script:
    """Read-only questions, whose answers must never go back."""
    consumed, generation = 0, 0
    for _ in range(4):
        yield Want(None, world.rng.randrange(1, 300) * MS)
        acked = world.promises.acked.get(cell, 0)
        reply = yield Want(h.AskStatus(cell))
        if isinstance(reply, a.StatusGiven):
            if reply.consumed_generation < max(consumed, acked) or reply.generation < generation:
                world.promises.broken(Promise.KEPT, str(reply), cell)
            consumed, generation = reply.consumed_generation, reply.generation
        elif check(host, reply, cell):
            return
        reply = yield Want(h.AskEvents(cell, "", 0, 100, 0))
        if isinstance(reply, a.EventsGiven):
            numbers = [row.event.number for row in reply.rows]
            if numbers != sorted(set(numbers)):
                world.promises.broken(Promise.RISING, str(numbers), cell)


def write_values(world: World, host: SimHost, count: int) -> Script:
    """Set one value again and again; what is read was written, and not before the last write."""
    for number in range(1, count + 1):
        content = values.encode(number)
        reply = yield Want(h.StoredSet("host", content))
        code = check(host, reply)
        while code in ("journal", "supervisor_unavailable"):
            yield Want(None, REST_NS)
            reply = yield Want(h.StoredSet("host", content))
            code = check(host, reply)
        if code:
            return
        reply = yield Want(h.StoredGet("host"))
        if isinstance(reply, a.StoredGiven) and reply.content != content:
            world.promises.broken(Promise.VALUE_KEPT, f"{reply.content!r} {content!r}")
        yield Want(None, world.rng.randrange(1, 200) * MS)


def decide_calls(world: World, host: SimHost) -> Script:
    """Decide what becomes of calls of unknown outcome, as long as there are unfinished cells."""
    while not world.all_ended:
        reply = yield Want(h.ListCalls())
        calls = reply.calls if isinstance(reply, a.CallsGiven) else ()
        if check(host, reply) == "session_taken":
            return
        for each in calls:
            ask: h.Ask = h.RunAgain(each.call)
            if world.rng.random() < 0.5:
                message = "nobody knows"
                ask = h.FinishCall(each.call, InputKind.ERROR, b"", message, False)
            yield Want(ask)  # somebody else may have decided: then it is refused
        yield Want(None, 100 * MS)


def bring_to_end(world: World, host: SimHost) -> Script:
    """The last host: it follows every cell until none is left."""
    host.drive(decide_calls(world, host))
    followed: set[str] = set()
    while not world.all_ended:
        reply = yield Want(h.ListCells("", "unfinished", 100, ""))
        for row in reply.rows if isinstance(reply, a.CellsGiven) else ():
            if row.cell not in followed:
                followed.add(row.cell)
                host.drive(follow(world, host, row.cell, row.kind, calm=True))
        check(host, reply)
        yield Want(None, 100 * MS)
