"""What hosts see, checked against what they saw before, the journal, and what cells really did."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from ..protocol.host_answers import CallOffered, NoticeOffered
from ..protocol.packed import EventKind, InputKind, PackedEvent, PackedInput, Reason
from ..supervisor.core.facts import EventMark
from ..supervisor.core.losses import LOSSES_MAX
from .cell_run import Truth
from .promise import Promise, PromiseBroken

if TYPE_CHECKING:
    from .world import World


class HostPromises:
    """Told of everything that hosts and workers receive."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.resumed: dict[tuple[str, int], str] = {}
        self.acked: dict[str, int] = {}
        self.events: dict[tuple[str, int], PackedEvent] = {}
        self.frontiers: dict[tuple[str, int], PackedEvent] = {}
        self.received: dict[str, set[int]] = {}
        self.executions: dict[tuple[str, int, int], str] = {}
        self.runs: dict[tuple[str, int], int] = {}
        self.results: dict[tuple[str, int], list[bytes]] = {}
        self.notices: dict[str, set[int]] = {}
        self.notice_order: dict[tuple[str, str], int] = {}

    def broken(self, promise: Promise, detail: str, cell: str = "") -> NoReturn:
        """Say so, and stop."""
        raise PromiseBroken(promise, detail, cell)

    def _truth(self, cell: str) -> Truth:
        """What the last life of a cell did."""
        log = self.world.journal.cells.get(cell)
        worker = self.world.worker_of(cell, log.incarnation) if log is not None else None
        return worker.run.truth if worker is not None and worker.run is not None else Truth()

    def _truths(self, cell: str) -> list[Truth]:
        """What each life of a cell did; the last may still be on its way to where others were."""
        return [life.run.truth for life in self.world.lives_of(cell) if life.run is not None]

    def _furthest(self, cell: str) -> Truth:
        truths = self._truths(cell)
        return max(truths, key=lambda truth: len(truth.texts)) if truths else Truth()

    # -- events -----------------------------------------------------------------------------------

    def saw(self, host: str, cell: str, event: PackedEvent, last: int, acked_stop: int) -> None:
        """A host has received an event; its handle had `last`, and had acknowledged output."""
        if event.kind is EventKind.YIELDED and not event.output:
            return
        who = f"{host} saw {event.kind.value} {event.number}"
        stored = {each.event.number: each for each in self.world.disk.events.get(cell, ())}
        if event.number not in stored:
            self.broken(Promise.TOLD, who, cell)
        before = self.events.setdefault((cell, event.number), event)
        if before != event:
            self.broken(Promise.SAME, f"{who}: {before} became {event}", cell)
        if event.kind is EventKind.PENDING:
            known = self.frontiers.setdefault((cell, event.generation), event)
            if known != event:
                self.broken(Promise.SAME, f"{who}: {known} became {event}", cell)
        if event.number < last:
            self.broken(Promise.BACK, f"{who} after {last}", cell)
        self._output(cell, event, who, last, acked_stop)

    def _output(self, cell: str, event: PackedEvent, who: str, last: int, acked_stop: int) -> None:
        texts = self._furthest(cell).texts
        received = self.received.setdefault(cell, set())
        for place, item in enumerate(event.output):
            if item.index != event.output[0].index + place:
                self.broken(Promise.OUTPUT, f"{who} with a gap", cell)
            if item.index >= len(texts) or item.content != texts[item.index]:
                self.broken(Promise.OUTPUT, f"{who} with {item.content!r} at {item.index}", cell)
            if item.index < acked_stop and event.number > last:
                self.broken(Promise.OUTPUT, f"{who} with {item.index} again", cell)
            received.add(item.index)
        if event.kind in (EventKind.COMPLETED, EventKind.TERMINATED):
            self._final(cell, event, who)

    def _final(self, cell: str, event: PackedEvent, who: str) -> None:
        texts = self._truth(cell).texts
        mark = self.world.journal.cells[cell].final
        assert mark is not None
        missing = set(range(mark.stop)) - self.received[cell]
        if missing:
            self.broken(Promise.OUTPUT, f"{who} and nobody ever got {sorted(missing)}", cell)
        whole = event.reason in (Reason.ENDED, Reason.RAISED)
        if whole and (mark.stop != len(texts) or not self._truth(cell).ended):
            self.broken(Promise.OUTPUT, f"{who}: {mark.stop} of {len(texts)} items", cell)

    # -- frontiers --------------------------------------------------------------------------------

    def current(self, host: str, cell: str, generation: int, acked_when_asked: int) -> None:
        """A host was shown this as the current frontier."""
        if generation <= acked_when_asked:
            self.broken(Promise.KEPT, f"{host} sees {generation} after {acked_when_asked}", cell)

    def was_resumed(self, host: str, cell: str, generation: int, request: str) -> None:
        """A host was told that its request left this generation."""
        by = self.resumed.setdefault((cell, generation), request)
        if by != request:
            self.broken(Promise.ONE_RESUMED, f"{generation}: {by} and {request}", cell)
        if self.world.journal.cells[cell].consumed < generation:
            self.broken(Promise.TOLD, f"{host} was told that {generation} was resumed", cell)
        self.acked[cell] = max(self.acked.get(cell, 0), generation)

    # -- calls and notices ------------------------------------------------------------------------

    def executes(self, host: str, offered: CallOffered) -> None:
        """A host begins to run a call."""
        cell, number = offered.call.cell, offered.call.number
        key = (cell, number, offered.attempt)
        before = self.executions.setdefault(key, host)
        runs = self.runs[key[:2]] = self.runs.get(key[:2], 0) + 1
        allowed = 1 + self.world.journal.cells[cell].returned.get(number, 0)
        if before != host or runs > allowed:
            self.broken(
                Promise.CALLS, f"call {number} attempt {offered.attempt}: {runs} runs", cell
            )

    def takes(self, cell: str, taken: PackedInput, truth: Truth) -> None:
        """A worker hands an input to its cell."""
        if taken.number != len(truth.taken) + 1:
            self.broken(Promise.IN_ORDER, f"{taken} {len(truth.taken)}", cell)
        if not taken.call:
            return
        if any(each.call == taken.call for each in truth.taken):
            self.broken(Promise.CALLS, f"call {taken.call} is answered twice", cell)
        results = self.results.get((cell, taken.call), [])
        if taken.kind is InputKind.RESULT and taken.content not in results:
            self.broken(Promise.CALLS, f"call {taken.call} gave what no host gave", cell)

    def noticed(self, host: str, notice: NoticeOffered) -> None:
        """A holder has received a notification."""
        lives = [truth.notices for truth in self._truths(notice.cell)]
        texts = max(lives, key=len, default=[])
        who = f"{host} got {notice.number} {notice.text!r}"
        if notice.number > len(texts) or texts[notice.number - 1] != notice.text:
            self.broken(Promise.NOTICES, who, notice.cell)
        seen = self.notices.setdefault(notice.cell, set())
        last = self.notice_order.get((host, notice.cell))
        if last is not None and notice.number != last + 1:
            self.broken(Promise.NOTICES, f"{who} after {last}", notice.cell)
        self.notice_order[(host, notice.cell)] = notice.number
        seen.add(notice.number)

    # -- the end ----------------------------------------------------------------------------------

    def _at_its_end(self, cell: str, final: EventMark) -> None:
        """With replay no cell ends for what happened to its workers, but by three losses."""
        if not self.world.replays or final.reason in (None, Reason.ENDED, Reason.RAISED):
            return
        losses = sum(life.is_lost for life in self.world.lives_of(cell))
        if final.reason is not Reason.POISON or losses < LOSSES_MAX:
            self.broken(Promise.UNHARMED, f"{final} after {losses} losses", cell)

    def at_the_end(self) -> None:
        """Faults have stopped and everybody has had time."""
        for cell, log in self.world.journal.cells.items():
            if log.final is None:
                self.broken(Promise.LIVENESS, "it has not ended", cell)
            self._at_its_end(cell, log.final)
            loads = {load for truth in self._truths(cell) for load in truth.loads}
            if len({content for _, content in loads}) > 1:
                self.broken(Promise.WHOLE, f"it loaded {sorted(loads)}", cell)
            missing = set(range(1, log.notices + 1)) - self.notices.get(cell, set())
            if missing:
                self.broken(Promise.NOTICES, f"nobody ever got {sorted(missing)}", cell)
        for host in self.world.hosts:
            if host.is_alive and host.core.waits:
                self.broken(Promise.LIVENESS, f"{host.name} waits for {host.unanswered()}")
        if self.world.zygote.tokens_of_cells():
            left = [str(worker) for worker, _ in self.world.zygote.living.values()]
            self.broken(Promise.NONE_LEFT, str(left))
