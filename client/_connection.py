"""The asyncio shell around one attachment: a socket, timers, futures and the tools that run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from ..protocol import codec
from ..protocol.errors import ProtocolError, TidemarkError
from ..protocol.host_answers import Answer, Attached
from ..protocol.host_requests import Ask, CallRef
from ._absence import Absence, Patience, Succession
from ._core import HostCore
from ._failures import left_behind, nobody_answers, unexpected
from ._happenings import (
    AttachRefused,
    CallToCancel,
    CallToRun,
    Happening,
    NoticeCame,
    Opened,
    ResultUnwritten,
    Settled,
)
from ._held import Outcome
from ._places import Succeeded
from ._running import NoticeDesk, OnNotify, ToolBench
from ._tools import OfferedTool
from ._waiters import Waiters
from ._wire import Wire

ATTACH_SECONDS_MAX: Final = 4.5
_REPEAT_SECONDS: Final = 2.0
_REPEAT_SECONDS_MAX: Final = 16.0
_RESULT_AGAIN_SECONDS: Final = 1.0

A = TypeVar("A")


class Connection:
    """One attachment on one loop. Every method is for the loop's thread.

    Args:
        endpoint: the supervisor's.
        core: what this shell drives; nobody else does.
        tools: what cells may call.
        on_notify: called with one notification after the other.
        place: where successors of the supervisor come from; None: others see to that.

    Attributes:
        is_over: it was ended for good from the other side, and nothing can be said any more.
    """

    def __init__(
        self,
        endpoint: str,
        core: HostCore,
        tools: dict[str, OfferedTool],
        on_notify: OnNotify | None,
        place: Succeeded | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.core = core
        self.is_over = False
        self._loop = asyncio.get_running_loop()
        self._bench = ToolBench(tools, self._call_ended)
        self._notices = NoticeDesk(on_notify, partial(self._and_turn, core.notice_received))
        self._waiters = Waiters()
        self._opened: asyncio.Future[Attached] = self._loop.create_future()
        self._repeating: asyncio.TimerHandle | None = None
        self._repeat_seconds = _REPEAT_SECONDS
        self._absence: Absence = Patience(self) if place is None else Succession(self, place)
        self._wire = self._wired()

    def _wired(self) -> Wire:
        return Wire(self.endpoint, self._on_frames, self._on_up, self._absence.begun)

    async def open(self) -> Attached:
        """Attach.

        Raises:
            SupervisorUnavailableError: nobody answered in 5 s.
            TidemarkError: the supervisor refuses.
        """
        self.core.attach()
        self._turn()
        done, _ = await asyncio.wait({self._opened}, timeout=ATTACH_SECONDS_MAX)
        if not done:
            raise self.core.passing_refusal or nobody_answers(self.endpoint, ATTACH_SECONDS_MAX)
        return self._opened.result()

    async def close(self) -> None:
        """Cancel the tools that run, and close the socket. Nothing is said to the supervisor."""
        self._absence.close()
        try:
            await self._bench.close()
        finally:
            if self._repeating is not None:
                self._repeating.cancel()
            self._notices.close()
            self._waiters.close(left_behind())
            self._opened.cancel()
            self._wire.close()

    def fail(self, error: TidemarkError) -> None:
        """The supervisor is gone for good: everything that waits or is asked later gets this."""
        self._hang_up()
        self.core.end(error)
        self.give_up(error)

    def _hang_up(self) -> None:
        """Nobody is asked any more, and nobody is missed when they go."""
        self.is_over = True
        self._absence.close()
        self._wire.close()

    # -- requests ---------------------------------------------------------------------------------

    async def ask(self, kind: type[A], ask: Ask, timeout: float | None = None) -> A:
        """Ask and wait for the answer; when that is given up the supervisor is told.

        Raises:
            TimeoutError: no answer after so many seconds.
            TidemarkError: the refusal.
        """
        number = self.begin(ask)
        try:
            answer = await self.outcome(number, timeout)
        except (TimeoutError, asyncio.CancelledError):
            self.abandon(number)
            raise
        return expect(kind, answer)

    def begin(self, ask: Ask) -> int:
        """Send a request; `outcome` of its number waits for the answer."""
        number = self.core.ask(ask)
        self._waiters.add(number)
        self._absence.somebody_waits()
        self._turn()
        return number

    async def outcome(self, number: int, timeout: float | None) -> Answer:
        """The answer to a request that was begun; after a timeout it can be waited for again."""
        return await self._waiters.outcome(number, timeout)

    def again(self, number: int) -> None:
        """Send a request that was begun again, under its own number."""
        self._and_turn(self.core.repeat, number)

    def suspend(self, number: int) -> None:
        """Give up waiting for now; `again` and `outcome` go on with the same request."""
        self._and_turn(self.core.suspend, number)

    def abandon(self, number: int) -> None:
        """Give up waiting for good."""
        self._waiters.drop(number)
        self.core.cancel(number)
        self._turn()

    def _on_frames(self, frames: list[bytes]) -> None:
        self._repeat_seconds = _REPEAT_SECONDS
        try:
            self.core.receive(codec.TO_HOST.decode(frames))
        except codec.OtherVersion as error:
            self.fail(ProtocolError(f"the supervisor at {self.endpoint} speaks {error}"))
        except codec.BadFrame as error:
            self.core.fail_unanswered(ProtocolError(f"an unreadable answer: {error}"))
        self._turn()

    def _on_up(self) -> None:
        if self._absence.ended():
            self.core.attach()
            self._turn()

    @property
    def is_down(self) -> bool:
        """Whether the supervisor was lost and nobody has come in its place yet."""
        return self._absence.is_down

    def move(self, endpoint: str) -> None:
        """Go on with the supervisor at this endpoint: attach there, and ask everything again."""
        self._wire.close()
        self.endpoint = endpoint
        self._wire = self._wired()

    def give_up(self, error: TidemarkError) -> None:
        """Give what waits this error; what is asked later may be answered again."""
        if not self._opened.done():
            self._opened.set_exception(error)
        self.core.fail_unanswered(error)
        self._turn()

    def _turn(self) -> None:
        """Send what the core has to say, and do what has happened, until nothing is left."""
        turn = self.core.drain()
        while turn.sends or turn.happened:
            for request in turn.sends:
                self._wire.send(codec.FROM_HOST.encode(request))
            for happening in turn.happened:
                self._do(happening)
            turn = self.core.drain()
        if self.core.waits and self._repeating is None:
            self._repeating = self._loop.call_later(self._repeat_seconds, self._repeat)

    def _do(self, happening: Happening) -> None:
        if isinstance(happening, Settled):
            self._waiters.settle(happening)
        elif isinstance(happening, CallToRun):
            self._bench.start(happening.offered)
        elif isinstance(happening, CallToCancel):
            self._bench.cancel(happening.call)
        elif isinstance(happening, ResultUnwritten):
            again = (self.core.repeat_result, happening.call)
            self._loop.call_later(_RESULT_AGAIN_SECONDS, self._and_turn, *again)
        elif isinstance(happening, NoticeCame):
            self._notices.put(happening.notice)
        elif isinstance(happening, Opened):
            self._absence.attached()
            if not self._opened.done():
                self._opened.set_result(happening.attached)
        elif isinstance(happening, AttachRefused):
            self._hang_up()  # another supervisor would not take this host either
            if not self._opened.done():  # else what was asked is told by its own error
                self._opened.set_exception(happening.error)

    def _repeat(self) -> None:
        self._repeating = None
        self._repeat_seconds = min(self._repeat_seconds * 2, _REPEAT_SECONDS_MAX)
        self.core.repeat_oldest()
        self._turn()

    def _call_ended(self, call: CallRef, attempt: int, outcome: Outcome) -> None:
        self.core.finish(call, attempt, outcome)
        self._absence.somebody_waits()
        self._turn()

    def _and_turn(self, step: Callable[..., None], *arguments: Any) -> None:
        step(*arguments)
        self._turn()


def expect(kind: type[A], answer: Answer) -> A:
    """The answer, of the kind that the request calls for.

    Raises:
        ProtocolError: it is of another.
    """
    if not isinstance(answer, kind):
        raise unexpected(answer, kind.__name__)
    return answer
