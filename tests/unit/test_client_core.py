"""One attachment's requests: each acts once, whatever is lost, repeated or out of order."""

from __future__ import annotations

import pytest
from tidemark.client._attachment import Identity
from tidemark.client._core import ASKED_MAX, HostCore
from tidemark.client._happenings import (
    AttachRefused,
    CallToCancel,
    CallToRun,
    NoticeCame,
    Opened,
    ResultUnwritten,
    SessionGone,
    Settled,
)
from tidemark.client._held import Outcome
from tidemark.protocol import codec, values
from tidemark.protocol.errors import (
    LimitExceededError,
    SessionHeldError,
    SessionTakenError,
    SupervisorUnavailableError,
)
from tidemark.protocol.host_answers import (
    Answer,
    Answered,
    Attached,
    CallOffered,
    CallWithdrawn,
    CellMade,
    Done,
    KeysGiven,
    NoticeOffered,
    Refused,
    SessionLost,
    Unattached,
)
from tidemark.protocol.host_requests import (
    Ask,
    AskInfo,
    AskStatus,
    Attach,
    CallRef,
    Cancel,
    Detach,
    EventRef,
    FinishCall,
    ListSessions,
    NoticeReceived,
    Request,
    Resume,
    SessionAsk,
    StoredKeys,
)
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import CellKind, InputKind

ME = Identity(b"t" * 16, 7, "here", 99)
SESSION = SessionAsk("", (), None, None, None, Limits(), True)
CALL = CallRef("c1", 1)
RESULT = Outcome(InputKind.RESULT, values.encode(5))


def greeting(attachment: int = 3, name: str = "s") -> Attached:
    return Attached(attachment, 1, name, False, "process", "crash", "0", 1, 1)


def answer(number: int, content: Answer, journal: int = 1) -> Answered:
    return Answered(number, journal, 1, 1, codec.pack_body(content))


def refuse(number: int, code: str, **attributes: object) -> Refused:
    return Refused(number, 1, code, "no", values.encode(attributes))


def asks(core: HostCore) -> list[tuple[int, type[Ask]]]:
    return [(request.number, type(request.ask)) for request in core.drain().sends]


def attaching() -> tuple[HostCore, Request]:
    core = HostCore(ME, SESSION)
    core.attach()
    (request,) = core.drain().sends
    return core, request


def attached() -> HostCore:
    core, request = attaching()
    core.receive(answer(request.number, greeting()))
    assert core.drain().happened == (Opened(greeting()),)
    return core


def offer(attempt: int = 1) -> CallOffered:
    return CallOffered(CALL, "s", "add", values.encode({}), attempt)


# -- requests -------------------------------------------------------------------------------------


def test_the_first_request_is_attach_and_others_follow_it() -> None:
    core, request = attaching()
    number = core.ask(AskInfo())
    assert core.drain().sends == ()
    assert isinstance(request.ask, Attach)
    assert (request.attachment, request.ask.attachment, request.ask.token) == (0, 0, b"t" * 16)
    core.receive(answer(request.number, greeting()))
    (follows,) = core.drain().sends
    assert (follows.number, follows.attachment) == (number, 3)
    assert number > request.number


def test_numbers_rise_and_answered_is_below_the_oldest_unanswered() -> None:
    core = attached()
    first, second, third = core.ask(AskInfo()), core.ask(ListSessions()), core.ask(AskInfo())
    sent = core.drain().sends
    assert [request.number for request in sent] == [first, first + 1, first + 2]
    assert [request.answered for request in sent] == [first] * 3
    core.receive(answer(second, Done()))
    core.receive(answer(first, Done()))
    core.ask(AskInfo())
    assert core.drain().sends[0].answered == third


def test_an_answer_settles_its_request_once() -> None:
    core = attached()
    number = core.ask(StoredKeys())
    core.drain()
    for _ in range(2):
        core.receive(answer(number, KeysGiven(("a",))))
    assert core.drain().happened == (Settled(number, KeysGiven(("a",)), None),)
    assert not core.waits


def test_an_answer_in_parts_is_joined_in_any_order_and_with_repeats() -> None:
    core = attached()
    number = core.ask(StoredKeys())
    core.drain()
    body = codec.pack_body(KeysGiven(tuple("abcdef")))
    pieces = [body[:5], body[5:9], body[9:]]
    for part in (3, 1, 1, 3):
        core.receive(Answered(number, 1, part, 3, pieces[part - 1]))
        assert core.drain().happened == ()
    core.receive(Answered(number, 1, 2, 3, pieces[1]))
    assert core.drain().happened == (Settled(number, KeysGiven(tuple("abcdef")), None),)


def test_a_repeated_answer_that_is_cut_up_differently_begins_anew() -> None:
    core = attached()
    number = core.ask(StoredKeys())
    body = codec.pack_body(KeysGiven(("a",)))
    core.receive(Answered(number, 1, 1, 3, body[:1]))
    core.receive(Answered(number, 1, 1, 2, body[:4]))
    core.receive(Answered(number, 1, 2, 2, body[4:]))
    assert core.drain().happened == (Settled(number, KeysGiven(("a",)), None),)


@pytest.mark.parametrize(("part", "parts"), [(0, 1), (2, 1), (1, 10_000)])
def test_parts_that_cannot_be_are_refused(part: int, parts: int) -> None:
    core = attached()
    number = core.ask(StoredKeys())
    with pytest.raises(codec.BadFrame):
        core.receive(Answered(number, 1, part, parts, b""))


def test_a_refusal_becomes_its_exception() -> None:
    core = attached()
    number = core.ask(AskInfo())
    core.drain()
    core.receive(refuse(number, "session_held", pid=1, host="h", since=2.5))
    (settled,) = core.drain().happened
    assert isinstance(settled, Settled)
    assert isinstance(settled.error, SessionHeldError)
    assert (settled.error.pid, settled.error.host, settled.error.since) == (1, "h", 2.5)


def test_a_refusal_that_names_no_request_leaves_nobody_waiting() -> None:
    core = attached()
    numbers = {core.ask(AskInfo()), core.ask(AskInfo())}
    core.drain()
    core.receive(refuse(0, "protocol"))
    assert {settled.number for settled in core.drain().happened} == numbers  # type: ignore[union-attr]


def test_the_highest_record_number_is_remembered_for_the_next_attach() -> None:
    core = attached()
    for journal in (40, 12):
        core.receive(answer(core.ask(AskInfo()), Done(), journal))
    core.drain()
    core.attach()
    (request,) = core.drain().sends
    assert isinstance(request.ask, Attach)
    assert request.ask.journal == 40


def test_requests_in_flight_are_bounded_and_results_get_through() -> None:
    core = attached()
    core.receive(offer())
    for _ in range(ASKED_MAX):
        core.ask(AskInfo())
    with pytest.raises(LimitExceededError) as caught:
        core.ask(AskInfo())
    assert (caught.value.limit, caught.value.value) == ("requests_in_flight", ASKED_MAX)
    core.drain()
    core.finish(CALL, 1, RESULT)
    assert [kind for _, kind in asks(core)] == [FinishCall]


def test_acknowledged_events_travel_with_the_next_request_and_its_repeats() -> None:
    core = attached()
    core.acknowledge("c1", 4)
    number = core.ask(AskInfo())
    core.ask(AskInfo())
    first, second = core.drain().sends
    assert (first.acknowledged, second.acknowledged) == ((EventRef("c1", 4),), ())
    core.repeat(number)
    assert core.drain().sends[0].acknowledged == (EventRef("c1", 4),)


# -- giving up ------------------------------------------------------------------------------------


def test_a_cancelled_request_is_told_before_it_counts_as_answered() -> None:
    core = attached()
    number = core.ask(AskInfo())
    core.drain()
    core.cancel(number)
    (cancel,) = core.drain().sends
    assert cancel.ask == Cancel(number)
    assert cancel.answered == number
    core.receive(answer(number, Done()))
    assert core.drain().happened == ()
    core.ask(AskInfo())
    assert core.drain().sends[0].answered > number


def test_a_suspended_request_is_repeated_under_its_number() -> None:
    core = attached()
    number = core.ask(Resume("c1", 1, None))
    core.drain()
    core.suspend(number)
    assert asks(core)[0][1] is Cancel
    core.repeat(number)
    (again,) = core.drain().sends
    assert (again.number, again.ask) == (number, Resume("c1", 1, None))
    core.receive(answer(number, Done()))
    assert core.drain().happened == (Settled(number, Done(), None),)


def test_silence_repeats_the_oldest() -> None:
    core = attached()
    first = core.ask(AskInfo())
    core.ask(AskInfo())
    core.drain()
    core.repeat_oldest()
    assert asks(core) == [(first, AskInfo)]


def test_silence_repeats_attach_under_its_number() -> None:
    core, request = attaching()
    core.repeat_oldest()
    (again,) = core.drain().sends
    assert again == request


# -- connections come and go ----------------------------------------------------------------------


def test_a_forgotten_connection_attaches_again_and_repeats_what_is_unanswered() -> None:
    core = attached()
    first, second = core.ask(AskInfo()), core.ask(AskStatus("c1"))
    core.receive(offer())
    core.drain()
    core.receive(Unattached(first, 2))
    core.receive(Unattached(second, 2))
    (request,) = core.drain().sends
    assert isinstance(request.ask, Attach)
    assert (request.ask.attachment, request.ask.token) == (3, b"t" * 16)
    assert request.ask.holding == (CALL,)
    assert request.ask.session is not None
    assert (request.ask.session.name, request.ask.session.take_over) == ("s", False)
    third = core.ask(AskInfo())
    assert core.drain().sends == ()
    core.receive(answer(request.number, greeting()))
    assert asks(core) == [(first, AskInfo), (second, AskStatus), (third, AskInfo)]


def test_observations_that_were_given_up_are_told_again_on_a_new_connection() -> None:
    core = attached()
    number = core.ask(AskInfo())
    core.drain()
    core.attach()
    (request,) = core.drain().sends
    core.cancel(number)
    assert core.drain().sends == ()
    core.receive(answer(request.number, greeting()))
    assert [sent.ask for sent in core.drain().sends] == [Cancel(number)]


def test_a_refused_attach_ends_everything() -> None:
    core, request = attaching()
    number = core.ask(AskInfo())
    core.receive(refuse(request.number, "session_held", pid=1, host="h", since=1.0))
    refused, settled = core.drain().happened
    assert isinstance(refused, AttachRefused)
    assert isinstance(settled, Settled)
    assert settled.number == number
    with pytest.raises(SessionHeldError):
        core.ask(AskInfo())


@pytest.mark.parametrize("code", ["shutting_down", "journal", "supervisor_unavailable"])
def test_a_passing_refusal_of_a_later_attach_is_asked_again(code: str) -> None:
    core = attached()
    number = core.ask(AskInfo())
    core.attach()
    request = core.drain().sends[-1]
    core.receive(refuse(request.number, code))
    assert core.drain().happened == ()
    core.repeat_oldest()
    assert core.drain().sends[0].number == request.number
    core.receive(answer(request.number, greeting()))
    assert asks(core) == [(number, AskInfo)]


def test_a_journal_that_has_gone_back_is_not_asked_again() -> None:
    core = attached()
    core.receive(answer(0, Done(), 40))
    core.attach()
    core.receive(Refused(core.drain().sends[-1].number, 39, "journal", "39 < 40", b""))
    assert isinstance(core.drain().happened[0], AttachRefused)
    assert str(core.lost) == "39 < 40"


def test_under_a_new_attachment_what_would_act_twice_is_not_repeated() -> None:
    core = attached()
    resume, info = core.ask(Resume("c1", 1, None)), core.ask(AskInfo())
    core.attach()
    request = core.drain().sends[-1]
    core.receive(answer(request.number, greeting(attachment=4)))
    turn = core.drain()
    assert [(sent.number, sent.attachment) for sent in turn.sends] == [(info, 4)]
    (settled,) = [each for each in turn.happened if isinstance(each, Settled)]
    assert settled.number == resume
    assert isinstance(settled.error, SupervisorUnavailableError)
    assert not settled.error.outcome_known


def test_a_lost_session_refuses_everything_but_results_and_leaving() -> None:
    core = attached()
    core.receive(offer())
    core.drain()
    core.receive(SessionLost("s", "another host"))
    (gone,) = core.drain().happened
    assert isinstance(gone, SessionGone)
    with pytest.raises(SessionTakenError, match="taken over by another host"):
        core.ask(AskInfo())
    core.finish(CALL, 1, RESULT)
    core.ask(Detach())
    assert [kind for _, kind in asks(core)] == [FinishCall, Detach]


def test_after_the_end_every_ask_fails_with_its_reason() -> None:
    core = attached()
    number = core.ask(AskInfo())
    core.drain()
    core.end(SupervisorUnavailableError("gone"))
    (settled,) = core.drain().happened
    assert isinstance(settled, Settled)
    assert settled.number == number
    with pytest.raises(SupervisorUnavailableError, match="gone"):
        core.ask(AskInfo())


# -- calls and notifications ----------------------------------------------------------------------


def test_a_call_offered_twice_is_run_once() -> None:
    core = attached()
    for _ in range(2):
        core.receive(offer())
    assert core.drain().happened == (CallToRun(offer()),)
    core.finish(CALL, 1, RESULT)
    number, _ = asks(core)[0]
    core.receive(offer())
    assert core.drain().happened == ()
    core.receive(answer(number, Done()))
    core.receive(offer())
    assert core.drain().happened == ()
    assert core.holding == ()


def test_a_new_attempt_is_run_and_the_old_ones_result_does_not_count() -> None:
    core = attached()
    core.receive(offer(1))
    core.receive(offer(2))
    assert core.drain().happened == (CallToRun(offer(1)), CallToRun(offer(2)))
    core.finish(CALL, 1, Outcome(InputKind.ERROR, message="cancelled"))
    assert core.drain().sends == ()
    core.finish(CALL, 2, RESULT)
    (sent,) = core.drain().sends
    assert sent.ask == FinishCall(CALL, InputKind.RESULT, values.encode(5), "", False)


def test_the_answer_to_an_old_result_does_not_let_go_of_a_new_attempt() -> None:
    core = attached()
    core.receive(offer(1))
    core.finish(CALL, 1, RESULT)
    number = core.drain().sends[0].number
    core.receive(offer(2))
    core.receive(answer(number, Done()))
    assert core.holding == (CALL,)


def test_a_result_is_kept_and_repeated_until_the_journal_has_it() -> None:
    core = attached()
    core.receive(offer())
    core.finish(CALL, 1, RESULT)
    first = core.drain().sends[0]
    core.receive(refuse(first.number, "journal"))
    assert core.drain().happened == (ResultUnwritten(CALL),)
    assert core.holding == (CALL,)
    core.repeat_result(CALL)
    (again,) = core.drain().sends
    assert again.ask == first.ask
    assert again.number > first.number
    core.receive(answer(again.number, Done()))
    assert core.holding == ()


def test_results_outlive_a_lost_connection() -> None:
    core = attached()
    core.receive(offer())
    core.finish(CALL, 1, RESULT)
    core.drain()
    core.fail_unanswered(SupervisorUnavailableError("down"))
    core.attach()
    request = core.drain().sends[-1]
    core.receive(answer(request.number, greeting()))
    assert [kind for _, kind in asks(core)] == [FinishCall]


def test_a_withdrawn_call_is_cancelled_once_and_finished_as_cancelled() -> None:
    core = attached()
    core.receive(offer())
    core.drain()
    for _ in range(2):
        core.receive(CallWithdrawn(CALL))
    assert core.drain().happened == (CallToCancel(CALL),)
    core.finish(CALL, 1, RESULT)
    (sent,) = core.drain().sends
    assert isinstance(sent.ask, FinishCall)
    assert sent.ask.cancelled


def test_a_withdrawn_call_that_never_arrived_is_answered_at_once() -> None:
    core = attached()
    core.receive(CallWithdrawn(CALL))
    (sent,) = core.drain().sends
    assert sent.ask == FinishCall(CALL, InputKind.ERROR, b"", "", True)


def test_a_notification_comes_once_and_is_acknowledged_when_handled() -> None:
    core = attached()
    notice = NoticeOffered("c1", 1, "hello")
    for _ in range(2):
        core.receive(notice)
    turn = core.drain()
    assert (turn.happened, turn.sends) == ((NoticeCame(notice),), ())
    core.notice_received("c1", 1)
    assert [sent.ask for sent in core.drain().sends] == [NoticeReceived("c1", 1)]
    core.receive(notice)
    turn = core.drain()
    assert turn.happened == ()
    assert [sent.ask for sent in turn.sends] == [NoticeReceived("c1", 1)]


def test_messages_that_are_not_answered_do_not_count_as_unanswered() -> None:
    core = attached()
    core.notice_received("c1", 1)
    assert not core.waits
    number = core.ask(AskInfo())
    assert core.drain().sends[-1].answered == number


def test_another_answer_than_attached_to_attach_is_refused() -> None:
    core, request = attaching()
    made = CellMade("c1", CellKind.PAUSABLE, "")
    with pytest.raises(codec.BadFrame):
        core.receive(answer(request.number, made))


def test_an_answer_with_bytes_that_are_none_is_refused() -> None:
    core = attached()
    number = core.ask(AskInfo())
    with pytest.raises(codec.BadFrame):
        core.receive(Answered(number, 1, 1, 1, b"\xc1"))
