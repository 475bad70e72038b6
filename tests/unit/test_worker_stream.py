"""The worker's stream: numbers, windows, resending; a plain object."""

from __future__ import annotations

import pytest
from tidemark.protocol import limits
from tidemark.protocol.packed import OutputKind, Reason
from tidemark.protocol.worker_messages import Called, Emitted, Finished, Item, Said, YieldAsked
from tidemark.worker.stream import SAID_BYTES_MAX, Stream, StreamClosed


def text(content: str) -> Item:
    return Emitted(OutputKind.TEXT, content, None, b"0" * 16)


def said(stream: Stream, *contents: str) -> Said:
    for content in contents:
        stream.add(text(content))
    message = stream.take()
    assert message is not None
    return message


def test_items_of_one_message_keep_their_order() -> None:
    stream = Stream()
    stream.adopt(3, 0)
    assert said(stream, "a", "b") == Said(3, 1, (), (text("a"), text("b")))
    assert stream.take() is None
    assert said(stream, "c").seq == 2
    assert [each.seq for each in stream.unacknowledged] == [1, 2]


def test_ticks_travel_even_without_items() -> None:
    stream = Stream()
    assert stream.take(((4, 5),)) == Said(0, 1, ((4, 5),), ())


def test_an_acknowledgement_is_cumulative_and_never_goes_back() -> None:
    stream = Stream()
    for content in "abc":
        said(stream, content)
    stream.acknowledged(2)
    stream.acknowledged(1)
    assert [each.seq for each in stream.unacknowledged] == [3]
    assert stream.have == 2
    stream.acknowledged(3)
    assert stream.unacknowledged_bytes == 0


def test_more_than_was_said_cannot_be_acknowledged() -> None:
    stream = Stream()
    said(stream, "a")
    with pytest.raises(ValueError, match="only 1 were said"):
        stream.acknowledged(2)
    assert [each.seq for each in stream.unacknowledged] == [1]


def test_adopted_says_the_rest_again_with_the_same_numbers() -> None:
    stream = Stream()
    stream.adopt(1, 0)
    for content in "abc":
        said(stream, content)
    again = stream.adopt(2, 1)
    assert [(each.epoch, each.seq, each.items) for each in again] == [
        (2, 2, (text("b"),)),
        (2, 3, (text("c"),)),
    ]
    assert said(stream, "d").epoch == 2
    assert stream.adopt(2, 1) == stream.unacknowledged
    with pytest.raises(ValueError, match="after one that had 1"):
        stream.adopt(3, 0)


def test_other_epochs_are_counted_and_dropped() -> None:
    stream = Stream()
    stream.adopt(5, 0)
    assert stream.accepts(5)
    assert not stream.accepts(4)
    assert not stream.accepts(6)
    assert not stream.follows(4)
    assert stream.follows(6)
    assert stream.ignored == 3


def test_the_window_counts_bytes_pending_or_said() -> None:
    stream = Stream()
    stream.add(text("x" * (limits.UNACKNOWLEDGED_BYTES_MAX // 2)))
    assert stream.is_due
    assert not stream.is_full
    stream.take()
    stream.add(text("x" * (limits.UNACKNOWLEDGED_BYTES_MAX // 2)))
    assert stream.is_full
    stream.acknowledged(1)
    assert not stream.is_full


def test_the_window_counts_messages() -> None:
    stream = Stream()
    for _ in range(limits.UNACKNOWLEDGED_MESSAGES_MAX):
        assert not stream.is_full
        stream.add(YieldAsked())
        stream.take()
    assert stream.is_full


def test_what_does_not_fit_into_one_message_travels_in_several() -> None:
    stream = Stream()
    large = "x" * limits.OUTPUT_ITEM_BYTES_MAX
    for _ in range(3):
        stream.add(text(large))
    sizes = []
    while (message := stream.take()) is not None:
        sizes.append(len(message.items))
    assert sum(sizes) == 3
    assert len(sizes) > 1
    assert all(size * limits.OUTPUT_ITEM_BYTES_MAX <= SAID_BYTES_MAX for size in sizes)


def test_many_small_items_are_due_and_travel_in_several_messages() -> None:
    stream = Stream()
    for number in range(limits.FLUSH_ITEMS):
        assert not stream.is_due, number
        stream.add(YieldAsked())
    assert stream.is_due
    stream.add(Finished(Reason.ENDED, None, None, 0))
    messages = [stream.take(), stream.take(), stream.take()]
    assert [len(said.items) for said in messages if said] == [limits.FLUSH_ITEMS, 1]


def test_nothing_follows_the_end() -> None:
    stream = Stream()
    stream.add(Finished(Reason.ENDED, None, None, 0))
    with pytest.raises(StreamClosed):
        stream.add(YieldAsked())
    message = stream.take()
    assert message is not None
    assert len(message.items) == 1


def test_the_last_call_is_known_pending_said_and_acknowledged() -> None:
    stream = Stream()
    assert stream.last_call == 0
    stream.add(Called(1, "search", b"", b"0" * 16))
    stream.add(text("a"))
    assert stream.last_call == 1
    stream.take()
    stream.acknowledged(1)
    assert stream.last_call == 1
