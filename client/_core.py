"""One attachment: correlation, repeats, and what was offered to it. Pure: no I/O, clock or threads.

Messages go in by `receive`, what the host wants by `ask`; `drain` gives what is to be sent and what
has happened. A request keeps its number for ever: whatever is lost on the way, it acts once.
"""

from __future__ import annotations

from copy import copy
from typing import Final

from ..protocol import codec, values
from ..protocol.errors import (
    LimitExceededError,
    ProtocolError,
    SessionTakenError,
    ShuttingDownError,
    SupervisorUnavailableError,
    TidemarkError,
    from_wire,
)
from ..protocol.host_answers import (
    Answer,
    Answered,
    Attached,
    CallOffered,
    CallWithdrawn,
    NoticeOffered,
    Refused,
    SessionLost,
    ToHost,
    Unattached,
)
from ..protocol.host_requests import (
    Ask,
    CallRef,
    Cancel,
    Detach,
    EventRef,
    FinishCall,
    NoticeReceived,
    Resume,
    RunAgain,
    SessionAsk,
    Step,
)
from ..protocol.limits import REQUESTS_IN_FLIGHT_MAX
from ..protocol.packed import InputKind
from ._attachment import Attachment, Identity
from ._happenings import (
    AttachRefused,
    CallToCancel,
    CallToRun,
    Happening,
    NoticeCame,
    Opened,
    ResultUnwritten,
    SessionGone,
    Settled,
    Turn,
)
from ._held import HeldCalls, Notices, Outcome
from ._requests import RequestBook, unpack_answer

# Results of tool calls must get through however many observations wait.
ASKED_MAX: Final = REQUESTS_IN_FLIGHT_MAX - 128
# Under another attachment these would act, or answer, as a second request.
_NOT_REPEATABLE: Final = (Resume, Step, RunAgain)


class HostCore:
    """One attachment: what was asked, what is unanswered, which calls are held.

    `journal` is the highest record number that this host was ever told, `lost` why the session is
    not its any more, `passing_refusal` why an Attach was refused that is asked again.
    """

    def __init__(self, identity: Identity, session: SessionAsk | None) -> None:
        self.journal = 0
        self.passing_refusal: TidemarkError | None = None
        self.lost: TidemarkError | None = None
        self._book = RequestBook()
        self._attachment = Attachment(identity, session, self._book)
        self._results: dict[int, FinishCall] = {}
        self._calls = HeldCalls()
        self._notices = Notices()
        self._happened: list[Happening] = []

    def drain(self) -> Turn:
        """What has come up since the last call."""
        turn = Turn(tuple(self._attachment.sends), tuple(self._happened))
        self._attachment.sends.clear()
        self._happened.clear()
        return turn

    def attach(self) -> None:
        """Attach, or attach again on a new connection; everything unanswered follows it."""
        self._attachment.begin(self.journal, self.holding)

    def ask(self, ask: Ask) -> int:
        """The number of a new request; it is sent when this host is attached.

        Raises:
            LimitExceededError: too many requests wait for their answers.
            TidemarkError: the session is not this host's any more.
        """
        if self.lost is not None and not isinstance(ask, Detach):
            raise copy(self.lost)  # each raise adds to an exception's traceback
        if len(self._book) >= ASKED_MAX:
            raise _too_many(len(self._book) + 1)
        return self._attachment.ask(ask)

    def cancel(self, number: int) -> None:
        """Give up waiting for the answer; it is ignored when it comes all the same."""
        if number in self._book:
            self._attachment.cancel(number)  # first: it must not count as answered before
            self._book.drop(number)

    def suspend(self, number: int) -> None:
        """Have the supervisor stop waiting for this request, but keep its number for `repeat`."""
        if number in self._book:
            self._attachment.say(Cancel(number))

    def repeat(self, number: int) -> None:
        """Send an unanswered request again, under its own number."""
        if number in self._book:
            self._attachment.send(number)

    def repeat_oldest(self) -> None:
        """Send the oldest unanswered message again: the shell's remedy against silence."""
        if self._attachment.attaching is not None:
            self.attach()
        elif self._book.oldest is not None:
            self._attachment.send(self._book.oldest)

    @property
    def attached(self) -> Attached | None:
        """The last answer to Attach; None before the first."""
        return self._attachment.attached

    @property
    def waits(self) -> bool:
        """Whether anything is unanswered."""
        return self._attachment.attaching is not None or len(self._book) > 0

    def fail_unanswered(self, error: TidemarkError) -> None:
        """Give every waiting request this error; results of tool calls stay to be repeated."""
        for number in self._book:
            if number not in self._results:
                self._settle(number, None, copy(error))

    def end(self, error: TidemarkError) -> None:
        """Nothing will be answered any more, now or later, and this is why."""
        self.lost = error
        self.fail_unanswered(error)

    def acknowledge(self, cell: str, number: int) -> None:
        """A handle has a final event: the next request tells, for no observation may follow."""
        self._book.acknowledge(EventRef(cell, number))

    def finish(self, call: CallRef, attempt: int, outcome: Outcome) -> None:
        """A call's run has ended. The result is kept until the journal has it."""
        if self._calls.finish(call, attempt, outcome):
            self.repeat_result(call)

    def repeat_result(self, call: CallRef) -> None:
        """Tell a held call's result, as a new request."""
        finished = self._calls.result(call)
        if finished is not None:
            self._results[self._attachment.ask(finished)] = finished

    def notice_received(self, cell: str, number: int) -> None:
        """The notification has been handled and need not come again."""
        self._notices.handled(cell, number)
        self._attachment.say(NoticeReceived(cell, number))

    @property
    def holding(self) -> tuple[CallRef, ...]:
        """Calls received whose results the journal does not have yet."""
        return self._calls.refs()

    # -- what the supervisor says -----------------------------------------------------------------

    def receive(self, message: ToHost) -> None:
        """One message; what it does not concern (any more) changes nothing.

        Raises:
            BadFrame: an answer that is not one.
        """
        if isinstance(message, Answered):
            self._on_answered(message)
        elif isinstance(message, Refused):
            self._on_refused(message)
        elif isinstance(message, CallWithdrawn):
            self._on_withdrawn(message.call)
        elif isinstance(message, NoticeOffered):
            self._on_notice(message)
        elif isinstance(message, SessionLost):
            self._on_session_lost(message)
        elif isinstance(message, CallOffered) and self._calls.offer(message):
            self._happened.append(CallToRun(message))
        elif isinstance(message, Unattached) and self._attachment.attaching is None:
            self.attach()

    def _on_answered(self, message: Answered) -> None:
        self.journal = max(self.journal, message.journal)
        if message.number == self._attachment.attaching:
            self._on_attached(attached_in(message))
            return
        answer = self._book.joined(message)
        if answer is not None:
            self._settle(message.number, answer, None)

    def _on_attached(self, attached: Attached) -> None:
        as_before = self._attachment.complete(attached)
        self._happened.append(Opened(attached))
        for number in () if as_before else self._book:
            if isinstance(self._book.ask_of(number), _NOT_REPEATABLE):
                self._settle(number, None, _attachment_changed())
        self._attachment.catch_up()

    def _on_refused(self, message: Refused) -> None:
        self.journal = max(self.journal, message.journal)
        error = error_of(message)
        if message.number == self._attachment.attaching:
            self._on_attach_refused(error, message.journal)
        elif message.number == 0:
            # Which message it refuses is not known, so nobody may be left waiting for it.
            self.fail_unanswered(error)
        elif message.number in self._book:
            self._settle(message.number, None, error)

    def _on_attach_refused(self, error: TidemarkError, journal: int) -> None:
        drains = isinstance(error, ShuttingDownError) and self.attached is not None
        has_all = journal >= self.journal  # else it has gone back, and stays so
        if drains or (has_all and not error.outcome_known):  # it may have been written all the same
            self.passing_refusal = error
            return  # a successor comes, or the disk gets room: `repeat_oldest` asks again
        self._attachment.attaching = None
        self._happened.append(AttachRefused(error))
        self.end(error)

    def _on_withdrawn(self, call: CallRef) -> None:
        if self._calls.withdraw(call):
            self._happened.append(CallToCancel(call))
        elif call not in self._calls.refs():
            # The offer never arrived, or its result is in the journal: nothing runs here.
            self._attachment.ask(FinishCall(call, InputKind.ERROR, b"", "", cancelled=True))

    def _on_notice(self, message: NoticeOffered) -> None:
        if self._notices.is_new(message):
            self._happened.append(NoticeCame(message))
        elif self._notices.was_handled(message):
            self._attachment.say(NoticeReceived(message.cell, message.number))

    def _on_session_lost(self, message: SessionLost) -> None:
        if self._attachment.session is None or self.lost is not None:
            return
        self.lost = _taken(message)
        self._happened.append(SessionGone(self.lost))

    def _settle(self, number: int, answer: Answer | None, error: TidemarkError | None) -> None:
        self._book.drop(number)
        finished = self._results.pop(number, None)
        if finished is None:
            self._happened.append(Settled(number, answer, error))
        elif error is not None and not error.outcome_known:
            self._happened.append(ResultUnwritten(finished.call))
        else:
            self._calls.settled(finished)


def _too_many(used: int) -> LimitExceededError:
    return LimitExceededError(
        f"{used:,} requests of this host would wait for their answers, at most {ASKED_MAX:,} may; "
        "let some end first, or open a second session",
        limit="requests_in_flight",
        value=ASKED_MAX,
        used=used,
    )


def _taken(message: SessionLost) -> SessionTakenError:
    by = f"taken over by {message.by}" if message.by else "closed"
    return SessionTakenError(
        f"session {message.session!r} was {by}; open it again (take_over=True) to go on"
    )


def _attachment_changed() -> SupervisorUnavailableError:
    return SupervisorUnavailableError(
        "the supervisor gave this host a new attachment; whether the request took effect is not "
        "known: ask again"
    )


def attached_in(message: Answered) -> Attached:
    """The answer to Attach, which always is of one part.

    Raises:
        BadFrame: it is another answer.
    """
    answer = unpack_answer(message.content)
    if not isinstance(answer, Attached):
        raise codec.BadFrame(f"Attach was answered by {type(answer).__name__}")
    return answer


def error_of(message: Refused) -> TidemarkError:
    """The exception that a refusal stands for."""
    try:
        attributes = values.decode(message.attributes) if message.attributes else {}
    except values.NotPlainData:
        attributes = None
    if not isinstance(attributes, dict):
        return ProtocolError(f"a refusal with unreadable attributes: {message.message}")
    return from_wire(message.code, message.message, attributes)
