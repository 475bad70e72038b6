"""A simulated host: the production core of the client, driven by scripts from the seed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ..client._attachment import Identity
from ..client._core import HostCore
from ..client._happenings import (
    AttachRefused,
    CallToCancel,
    CallToRun,
    Happening,
    NoticeCame,
    Opened,
    ResultUnwritten,
    SessionGone,
    Settled,
)
from ..client._held import Outcome
from ..protocol import values
from ..protocol.errors import TidemarkError
from ..protocol.host_answers import Answer, CallOffered, ToHost
from ..protocol.host_requests import Ask, CallRef, Observe, SessionAsk, WaitToPending
from ..protocol.ids import NO_REQUEST, RequestRef
from ..protocol.packed import InputKind
from .sim_wires import Line

if TYPE_CHECKING:
    from .world import World

MS = 1_000_000
SECOND = 1_000 * MS
OBSERVING = (Observe, WaitToPending)
Reply: TypeAlias = Answer | TidemarkError | None
Script: TypeAlias = Generator["Want", Reply, None]


@dataclass(frozen=True)
class Want:
    """What a script waits for: the answer to `ask` (None: only time passes).

    After `patience_ns` it gives up: for good, or, with `again`, by suspending the request and
    repeating it under its own number.
    """

    ask: Ask | None
    patience_ns: int | None = None
    again: bool = False


class SimHost:
    """One host process.

    Attributes:
        settled: the request that a script has just been given the answer to.
    """

    def __init__(self, world: World, name: str, session: SessionAsk | None) -> None:
        self.world, self.name = world, name
        self.pid = 10_000 + len(world.hosts)
        token = world.rng.randbytes(16)
        self.core = HostCore(Identity(token, self.pid, name, 0), session)
        self.is_alive = True
        self.settled = NO_REQUEST
        self.on_opened: Callable[[], None] | None = None
        self._was_up = False
        self._repeating = False
        self._repeat_ns = 2 * SECOND
        self._waiting: dict[int, tuple[Script, Want]] = {}
        self._running: dict[CallRef, int] = {}
        world.zygote.hosts[self.pid] = True
        self.line = Line(world.net, name.encode(), self._hear, self._on_up, queues=True)
        self.line.connect_soon()
        self.core.attach()
        self._turn()

    def drive(self, script: Script) -> None:
        """Let a script go on by itself."""
        self._go_on(script, None)

    def vanish(self) -> None:
        """SIGKILL."""
        if not self.is_alive:
            return
        self.is_alive = False
        self.line.close()
        self.world.time.later(200_000, lambda: self.world.zygote.host_ended(self.pid))

    def unanswered(self) -> str:
        """What scripts still wait for."""
        return ", ".join(str(want.ask) for _, want in self._waiting.values())

    def observers(self) -> set[int]:
        """The requests by which scripts wait for a cell."""
        waiting = self._waiting.items()
        return {number for number, (_, want) in waiting if isinstance(want.ask, OBSERVING)}

    # -- scripts ----------------------------------------------------------------------------------

    def _go_on(self, script: Script, reply: Reply) -> None:
        if not self.is_alive:
            return
        try:
            want = script.send(reply)
            while want.ask is not None and (number := self._begin(want)) is None:
                want = script.send(self.core.lost)
        except StopIteration:
            return
        if want.ask is None:
            self.world.time.later(want.patience_ns or 0, lambda: self._go_on(script, None))
            return
        assert number is not None
        self._waiting[number] = (script, want)
        if want.patience_ns is not None:
            self.world.time.later(want.patience_ns, lambda: self._give_up(number))
        self._turn()

    def _begin(self, want: Want) -> int | None:
        assert want.ask is not None
        try:
            return self.core.ask(want.ask)
        except TidemarkError:
            return None

    def _give_up(self, number: int) -> None:
        if not self.is_alive or number not in self._waiting:
            return
        script, want = self._waiting[number]
        if want.again:
            self.core.suspend(number)
            self.world.time.later(50 * MS, lambda: self._again(number))
        else:
            del self._waiting[number]
            self.core.cancel(number)
            self._go_on(script, None)
        self._turn()

    def _again(self, number: int) -> None:
        if self.is_alive:
            self.core.repeat(number)
            self._turn()

    # -- the connection ---------------------------------------------------------------------------

    def _on_up(self) -> None:
        if self._was_up:
            self.core.attach()
            self._turn()
        self._was_up = True

    def _hear(self, message: ToHost) -> None:
        if self.is_alive:
            self.world.note(self.name, "hears", message)
            self._repeat_ns = 2 * SECOND
            self.core.receive(message)
            self._turn()

    def _turn(self) -> None:
        turn = self.core.drain()
        while turn.sends or turn.happened:
            for request in turn.sends:
                self.world.note(self.name, "asks", request)
                self.line.send(request)
            for happening in turn.happened:
                self._do(happening)
            turn = self.core.drain()
        if self.core.waits and not self._repeating:
            self._repeating = True
            self.world.time.later(self._repeat_ns, self._repeat)

    def _repeat(self) -> None:
        self._repeating = False
        if self.is_alive and self.core.waits:
            self._repeat_ns = min(self._repeat_ns * 2, 16 * SECOND)
            self.core.repeat_oldest()
            self._turn()

    def _do(self, happening: Happening) -> None:
        match happening:
            case Settled(number, answer, error):
                script, _ = self._waiting.pop(number, (None, None))
                attached = self.core.attached
                self.settled = RequestRef(attached.attachment if attached else 0, number)
                if script is not None:
                    self._go_on(script, answer if error is None else error)
            case CallToRun(offered):
                self._run(offered)
            case CallToCancel(call):
                self._cancelled(call)
            case ResultUnwritten(call):
                self.world.time.later(SECOND, lambda: self._result_again(call))
            case NoticeCame(notice):
                self.world.promises.noticed(self.name, notice)
                self._soon(lambda: self.core.notice_received(notice.cell, notice.number))
            case Opened():
                if self.on_opened is not None:
                    opened, self.on_opened = self.on_opened, None
                    opened()
            case AttachRefused():
                # The program could not open its session, says so, and exits.
                self.world.time.later(self.world.rng.randrange(10, 200) * MS, self.vanish)
            case SessionGone():
                pass  # its scripts are told by what they ask next

    # -- tools ------------------------------------------------------------------------------------

    def _soon(self, act: Callable[[], None]) -> None:
        def later() -> None:
            if self.is_alive:
                act()
                self._turn()

        self.world.time.later(self.world.rng.randrange(50_000, 3 * MS), later)

    def _run(self, offered: CallOffered) -> None:
        self.world.promises.executes(self.name, offered)
        self._running[offered.call] = offered.attempt
        slow = offered.tool == "slow"
        delay_ns = self.world.rng.choice((0, 1, 4, 30, 400 if slow else 8)) * MS
        self.world.time.later(delay_ns, lambda: self._ran(offered))

    def _ran(self, offered: CallOffered) -> None:
        call, attempt = offered.call, offered.attempt
        if not self.is_alive or self._running.get(call) != attempt:
            return
        if self.world.rng.random() < 0.1:
            outcome = Outcome(InputKind.ERROR, message=f"{offered.tool} failed")
        else:
            content = values.encode(f"{call.cell}/{call.number} attempt {attempt} by {self.name}")
            outcome = Outcome(InputKind.RESULT, content)
            results = self.world.promises.results
            results.setdefault((call.cell, call.number), []).append(content)
        self.core.finish(call, attempt, outcome)
        self._turn()

    def _cancelled(self, call: CallRef) -> None:
        attempt = self._running.pop(call, None)
        if attempt is None or self.world.rng.random() < 0.1:
            return  # it does not cooperate
        outcome = Outcome(InputKind.ERROR, message="cancelled")
        self._soon(lambda: self.core.finish(call, attempt, outcome))

    def _result_again(self, call: CallRef) -> None:
        if self.is_alive:
            self.core.repeat_result(call)
            self._turn()

    def __str__(self) -> str:
        return self.name
