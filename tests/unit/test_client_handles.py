"""What a handle hands out: no output twice, and one frontier is one value."""

from __future__ import annotations

from tidemark.client._handles import HandleState, is_final
from tidemark.client._unpack import event_of, frontier_of, status_of
from tidemark.protocol import values
from tidemark.protocol.frontier import (
    Completed,
    Frontier,
    Image,
    Pending,
    Terminated,
    Text,
    ToolCall,
    Yielded,
)
from tidemark.protocol.host_answers import StatusGiven
from tidemark.protocol.packed import (
    CellKind,
    EventKind,
    OutputKind,
    PackedCall,
    PackedEvent,
    PackedOutput,
    Reason,
)


def out(*indexes: int) -> tuple[PackedOutput, ...]:
    return tuple(PackedOutput(index, OutputKind.TEXT, f"t{index}", None) for index in indexes)


def texts(*indexes: int) -> tuple[Text, ...]:
    return tuple(Text(f"t{index}", index) for index in indexes)


def yielded(number: int, *indexes: int) -> PackedEvent:
    return PackedEvent(EventKind.YIELDED, number, out(*indexes))


def pending(number: int, generation: int, *indexes: int) -> PackedEvent:
    call = PackedCall(2, "find", values.encode({"q": ["x"]}), True)
    return PackedEvent(
        EventKind.PENDING,
        number,
        out(*indexes),
        generation=generation,
        calls=(call,),
        next_timer_ns=1_500_000_000,
        own_work=("a thread",),
    )


def test_events_are_unpacked_as_hosts_see_them() -> None:
    call = ToolCall("tool-2", "find", {"q": ["x"]}, True)
    assert event_of(pending(3, 2, 0)) == Pending(3, texts(0), 2, (call,), 1.5, ("a thread",))
    assert frontier_of(pending(3, 2, 0)) == Frontier(2, texts(0), (call,), 1.5, ("a thread",))
    done = PackedEvent(
        EventKind.COMPLETED, 4, (), reason=Reason.RAISED, error="boom", value=values.encode(7)
    )
    assert event_of(done) == Completed(4, (), "boom", "raised", 7)
    image = PackedOutput(0, OutputKind.IMAGE, "data:image/png;base64,AA==", "low")
    ended = PackedEvent(EventKind.TERMINATED, 5, (image,))
    assert event_of(ended) == Terminated(5, (Image("data:image/png;base64,AA==", "low", 0),))


def test_a_handle_asks_for_what_follows_the_last_event() -> None:
    state = HandleState("c1")
    assert state.last is None
    state.received(yielded(1, 0, 1))
    assert state.last == 1
    state.received(yielded(2, 2))
    assert state.last == 2


def test_output_that_comes_again_under_another_number_is_not_handed_out_twice() -> None:
    state = HandleState("c1")
    assert state.received(yielded(1, 0, 1)) == Yielded(1, texts(0, 1))
    assert state.received(yielded(2, 0, 1, 2)) == Yielded(2, texts(2))


def test_the_same_frontier_is_the_same_value() -> None:
    state = HandleState("c1")
    state.received(pending(1, 1, 0))
    second = state.received(pending(3, 2, 0, 1))
    assert second.output == texts(1)
    assert state.received(pending(3, 2, 0, 1)) == second


def test_a_yield_without_output_has_the_number_of_the_last_and_is_empty() -> None:
    state = HandleState("c1")
    state.received(yielded(1, 0))
    assert state.received(yielded(1)) == Yielded(1, ())
    assert HandleState("c2").received(yielded(0)) == Yielded(0, ())


def test_before_any_event_nothing_is_acknowledged() -> None:
    state = HandleState("c1")
    state.received(yielded(0))
    assert state.last is None


def test_a_handle_made_after_an_event_goes_on_behind_it() -> None:
    state = HandleState("c1", after=5)
    assert state.last == 5
    assert state.received(yielded(6, 7, 8)) == Yielded(6, texts(7, 8))


def test_the_final_event_is_the_same_however_often_it_is_given() -> None:
    state = HandleState("c1")
    done = PackedEvent(EventKind.COMPLETED, 2, out(0), reason=Reason.ENDED)
    first = state.received(done)
    assert is_final(first)
    assert state.received(done) == first


def test_a_status_says_none_where_there_is_nothing() -> None:
    given = StatusGiven(
        "c1", "s", "", CellKind.PAUSABLE, "starting", 0, 0, "", 0, (), None, False, True, "", None,
        None, 0, 2_000_000_000, "sealed",
    )  # fmt: skip
    status = status_of(given)
    assert (status.pid, status.incarnation, status.reason, status.next_timer) == (None,) * 4
    assert (status.since, status.kind) == (2.0, "pausable")
