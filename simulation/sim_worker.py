"""A simulated worker: the production stream, gate and answers around a drawn program."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..protocol import values
from ..protocol.ids import Incarnation
from ..protocol.limits import Limits
from ..protocol.packed import PackedInput, Reason
from ..protocol.worker_messages import (
    Bye,
    Fetch,
    Finished,
    FromWorker,
    Item,
    Start,
    ToWorker,
)
from ..protocol.zygote_messages import Fork
from ..worker.answers import Unbelievable, answer
from ..worker.clock import CellClock
from ..worker.isolation.quarters import Sockets
from ..worker.speaker import Asked, Speaker
from ..worker.steps import Steps
from .cell_run import CellRun
from .promise import Promise
from .sim_processes import Zygote
from .sim_wires import Line

if TYPE_CHECKING:
    from .world import World

FLUSH_NS = 50_000_000


class SimSpeaker(Speaker):
    """The production speaker on a simulated line."""

    def __init__(self, fork: Fork) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.begin(fork, lambda: Sockets.KEPT)
        self.line: Line

    def send(self, message: FromWorker) -> None:
        if not self.line.send(message):
            self._must_greet = True

    def greet_if_due(self, steps: Steps | None) -> None:
        if self._must_greet and self.line.is_connected:
            self._must_greet = False
            self.greet(0, steps)


class _Changed:
    """Stands for the link's condition: whoever waits looks again."""

    def __init__(self, look: Callable[[], None]) -> None:
        self.notify_all = look


class SimWorker:
    """One worker's process: what `worker.link.Link` is to the real one, without threads."""

    def __init__(
        self, world: World, zygote: Zygote, token: bytes, cell: str, incarnation: Incarnation
    ) -> None:
        self.world, self.zygote, self.token = world, zygote, token
        self.cell, self.incarnation = cell, incarnation
        self.lodged_for = cell
        self.speaker = SimSpeaker(Fork(token, cell, incarnation, "sim://", Limits()))
        self.steps: Steps | None = None
        self.start: Start | None = None
        self.remembered: dict[int, int] = {}
        self.run: CellRun | None = None
        self.changed = _Changed(self._look_at_answers)
        self.line = Line(world.net, token, self._hear, self._on_up, queues=False)
        self.speaker.line = self.line
        self.is_dead = False
        self.is_lost = False
        self.is_frozen = False
        self._stalled: list[Callable[[], None]] = []
        self._sleeps = False
        self._questions = 0
        self.line.connect_soon()

    # -- the process ------------------------------------------------------------------------------

    def die(self) -> None:
        self.is_dead = True
        self.line.close()

    def lodge(self, cell: str) -> None:
        self._do(lambda: self._pass_door(cell))

    def _pass_door(self, cell: str) -> None:
        self.lodged_for = self.lodged_for or cell
        self._begin_if_due()

    def _exit(self, status: int) -> None:
        self.zygote.ended(self.token, status, killed=False)

    def freeze(self) -> None:
        """SIGSTOP."""
        self.is_frozen = self.line.is_stalled = True

    def thaw(self) -> None:
        """SIGCONT: what was held up happens now."""
        self.is_frozen = self.line.is_stalled = False
        stalled, self._stalled = self._stalled, []
        for act in stalled:
            self._do(act)

    def _do(self, act: Callable[[], None]) -> None:
        if self.is_dead:
            return
        if self.is_frozen:
            self._stalled.append(act)
        else:
            act()

    def _later(self, delay_ns: int, act: Callable[[], None]) -> None:
        self.world.time.later(delay_ns, lambda: self._do(act))

    # -- the link's thread ------------------------------------------------------------------------

    def _on_up(self) -> None:
        self._do(lambda: self.speaker.greet_if_due(self.steps))

    def _hear(self, message: ToWorker) -> None:
        self._do(lambda: self._answer(message))

    def _answer(self, message: ToWorker) -> None:
        self.world.note(self, "hears", message)
        try:
            if isinstance(message, Bye):
                if self.speaker.stream.accepts(message.epoch):
                    if not self.speaker.stream.closed:
                        raise Unbelievable("Bye to a cell that has not finished")
                    self._exit(0)
                return
            if isinstance(message, Start):
                self._check_that_it_is_for_us(message)
            _note_inputs(self, message)
            answer(self, message)  # type: ignore[arg-type]
        except Unbelievable as error:
            self.world.promises.broken(Promise.BELIEVABLE, str(error), self.cell)
        self.speaker.greet_if_due(self.steps)
        self._begin_if_due()

    def _begin_if_due(self) -> None:
        if self.start is None or self.run is not None or not self.lodged_for:
            return
        self._check_that_it_is_current()
        self.run = self._begun(self.start)
        self._later(self.world.rng.randrange(10_000, 500_000), self._think)

    def _begun(self, start: Start) -> CellRun:
        earlier = start.earlier
        readings = 0 if earlier is None else earlier.readings
        self.clock = CellClock(
            start.now_ns, start.monotonic_ns, start.began_ns, self.remembered, readings
        )
        self.speaker.clock = self.clock
        program = self.world.programs[start.source]
        return CellRun(self.cell, program, self.say, self.clock.reading)

    def _check_that_it_is_for_us(self, start: Start) -> None:
        life = (start.cell, start.incarnation)
        if life != (self.cell, self.incarnation):
            promise = Promise.LIVES if start.cell == self.cell else Promise.ONE_CELL
            self.world.promises.broken(promise, f"{self} is given {life}", start.cell)

    def _check_that_it_is_current(self) -> None:
        current = self.world.journal.cells[self.cell].incarnation
        if current != self.incarnation:
            self.world.promises.broken(Promise.LIVES, f"{self}, not {current}", self.cell)

    def opened_steps(self) -> Steps:
        if self.steps is None:
            raise Unbelievable("inputs for a cell that was not given yet")
        return self.steps

    def open_gate(self) -> None:
        if self._sleeps:
            self._sleeps = False
            self._later(5_000, self._think)

    # -- the cell's thread ------------------------------------------------------------------------

    def say(self, item: Item) -> None:
        """What `Link.say` does, without its windows."""
        if not self.speaker.stream.closed:
            self.speaker.stream.add(item)

    def _think(self) -> None:
        run = self.run
        if run is None or self.speaker.stream.closed:
            return
        while True:
            busy_ns = run.run()
            if busy_ns is not None:
                self._later(busy_ns, self._think)
                if busy_ns >= FLUSH_NS:
                    self._later(FLUSH_NS, self.speaker.send_pending)
                return
            if run.fetching is not None:
                self._questions += 1
                self.speaker.asked[self._questions] = Asked(run.fetching)
                question = Fetch(self.speaker.stream.epoch, self._questions, run.fetching)
                self.speaker.send(question)
                return
            if run.is_over:
                self._finish(run)
                return
            taken = self._next_turn(run)
            if taken is None:
                return
            self.world.note(self, "takes", taken)
            self.world.promises.takes(self.cell, taken, run.truth)
            self.clock.hand_over(max(taken.stamp_ns, taken.due_ns), lambda: False)
            run.hand_over(taken)

    def _next_turn(self, run: CellRun) -> PackedInput | None:
        steps = self.opened_steps()
        if (again := steps.relived_wait(run.next_timer_ns)) is not None:
            self.speaker.stream.add(again)
        taken = steps.next_input()
        if taken is None:
            self._sleeps = True
            wait = steps.idle(run.next_timer_ns, ())
            if wait is not None:
                self.speaker.stream.add(wait)
            self.speaker.send_pending()
        return taken

    def _finish(self, run: CellRun) -> None:
        program = self.world.programs[self.start.source] if self.start else None
        assert program is not None
        run.end()
        run.truth.ended = program.ending
        raised = program.ending == "raise"
        reason = Reason.RAISED if raised else Reason.ENDED
        value = values.encode(self.cell) if program.ending == "exit" else None
        error = "Traceback: raised" if raised else None
        self.speaker.stream.add(Finished(reason, error, value, self.opened_steps().taken))
        self.speaker.send_pending()

    def _look_at_answers(self) -> None:
        run = self.run
        if run is None or run.fetching is None:
            return
        asked = self.speaker.asked.get(self._questions)
        if asked is not None and asked.is_answered:
            del self.speaker.asked[self._questions]
            run.fetched(asked.content)
            self._later(2_000, self._think)

    def __str__(self) -> str:
        return f"worker {self.cell[-13:-9] or 'spare'}/{self.incarnation}"


def _note_inputs(worker: SimWorker, message: Any) -> None:
    """The same number is always the same input."""
    seen = worker.world.inputs_seen.setdefault(worker.cell, {})
    for packed in getattr(message, "inputs", ()) if not isinstance(message, Start) else ():
        known = seen.setdefault(packed.number, packed)
        if known != packed:
            worker.world.promises.broken(Promise.NUMBERED, f"{known} {packed}", worker.cell)
