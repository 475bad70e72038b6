"""A later life is compared with the journal: step by step, and only with what can be the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tidemark.protocol import values
from tidemark.protocol import worker_messages as w
from tidemark.protocol.ids import NO_REQUEST, Incarnation
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import CellKind, OutputKind, Stepping
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.facts import Cell, Phase
from tidemark.supervisor.core.past import (
    LINE_MAX,
    Past,
    compare,
    deliverable,
    differ,
    past_of,
)

from transcripts import saying

BORN = Incarnation(1, 1)
CELL = Cell(
    id="c",
    session="s",
    kind=CellKind.PAUSABLE,
    stepping=Stepping.DRAIN,
    name="",
    limits=Limits(),
    created_us=0,
    created_by=NO_REQUEST,
    stored_version=0,
    tools_of=1,
    incarnation=BORN,
    phase=Phase.RUNNING,
    generation=1,
    consumed=1,
    upto=9,
    inputs=9,
)
FREE = replace(CELL, kind=CellKind.CONTINUING, generation=0, consumed=0, upto=0)


def step(item: Any) -> r.StreamStep:
    """What the journal keeps of an item."""
    match item:
        case w.Emitted():
            return r.Put(item.kind, len(item.content.encode()), item.digest)
        case w.Called():
            return r.CallMade(item.number, item.tool, len(item.arguments), False, item.digest)
        case w.Abandoned():
            return r.CallDropped(item.number)
        case w.Notified():
            return r.NoticeMade(item.text, item.digest)
        case w.Wrote():
            size = None if item.content is None else len(item.key) + len(item.content)
            return r.ValueWritten(item.key, size, item.digest)
        case w.YieldAsked():
            return r.YieldWished()
        case w.Flagged():
            return r.OwnWorkBegun(item.why, item.line)
    assert isinstance(item, (w.Waited, w.Paused))
    return r.WaitBegun(item.taken, item.next_timer_ns, item.own_work)


def said(*items: w.Item, seq: int = 1, readings: int = 0) -> r.WorkerSaid:
    return r.WorkerSaid(BORN, seq, (), tuple(step(item) for item in items), readings)


def past(*items: w.Item) -> Past:
    return past_of([said(*items)])


#: Every kind of step, with items of the same kind that are another step.
KINDS: dict[str, tuple[w.Item, list[w.Item]]] = {
    "text": (saying.text("a"), [saying.text("b"), saying.image("a")]),
    "image": (saying.image("data:,a"), [saying.image("data:,b"), saying.text("data:,a")]),
    "call": (
        saying.called(1, "search", {"q": 1}),
        [
            saying.called(2, "search", {"q": 1}),
            saying.called(1, "look", {"q": 1}),
            saying.called(1, "search", {"q": 2}),
        ],
    ),
    "abandon": (saying.abandoned(1), [saying.abandoned(2)]),
    "notice": (saying.notified("a"), [saying.notified("b")]),
    "write": (saying.wrote("k", 1), [saying.wrote("l", 1), saying.wrote("k", 2)]),
    "delete": (saying.deleted("k"), [saying.deleted("l"), saying.wrote("k", 1)]),
    "yield": (saying.yielded(), []),
    "pause": (saying.paused(1, 3, 7), [saying.paused(1, 3, 8), saying.paused(1, 3)]),
    "wait": (saying.waited(3, 7), [saying.waited(3, 8), saying.waited(3)]),
}
FOREIGN: dict[str, w.Item] = {name: item for name, (item, _) in KINDS.items()} | {
    "flag": saying.flagged("a thread", 4),
    "end": saying.ended(None, 3),
    "confirmation": saying.confirmed(1),
}
every_kind = pytest.mark.parametrize("name", KINDS)


@every_kind
def test_the_same_step(name: str) -> None:
    item, _ = KINDS[name]
    found = compare(past(item), 0, (item,), CELL)
    assert (found.position, found.fresh, found.divergence) == (1, (), None)


@every_kind
def test_another_step_of_the_same_kind(name: str) -> None:
    item, others = KINDS[name]
    for other in others:
        found = compare(past(saying.text("first"), item), 1, (other,), CELL)
        assert found.divergence is not None, f"{other} is not {item}"
        assert (found.position, found.fresh, found.waits_at) == (1, None, None)


@every_kind
@pytest.mark.parametrize("other", FOREIGN)
def test_a_step_of_another_kind(name: str, other: str) -> None:
    item, actual = KINDS[name][0], FOREIGN[other]
    if type(actual) is type(item) or {name, other} <= {"pause", "wait"}:
        return  # both are waits, or the same kind with other contents: that is told above
    found = compare(past(item), 0, (actual,), CELL)
    if other == "wait":
        # It says where it waits also where it did not before.
        assert found.divergence is None
        assert (found.position, found.waits_at) == (0, 3)
        return
    assert found.divergence is not None
    assert found.divergence.expected != found.divergence.actual


@every_kind
def test_a_missing_step(name: str) -> None:
    """Another output comes where this one was expected."""
    item, _ = KINDS[name]
    later = saying.text("later")
    found = compare(past(item, later), 0, (later,), CELL)
    assert found.divergence is not None
    assert (found.position, found.divergence.actual) == (0, "text 'later'")


@every_kind
def test_an_extra_step(name: str) -> None:
    item, _ = KINDS[name]
    expected = saying.text("expected")
    found = compare(past(expected), 0, (item, expected), CELL)
    if name == "wait":
        assert (found.position, found.fresh) == (1, ())
        return
    assert found.divergence is not None
    assert found.divergence.expected == "text of 8 bytes"


def test_steps_in_another_order() -> None:
    one, two = saying.called(1, "search"), saying.called(1, "look")
    assert compare(past(one, two), 0, (one, two), CELL).fresh == ()
    found = compare(past(one, two), 0, (two, one), CELL).divergence
    assert found is not None
    assert (found.expected, found.actual) == (
        "tool-1 calls search with 1 bytes",
        "tool-1 calls look with 1 bytes",
    )
    written = past(saying.wrote("k", 1), saying.wrote("l", 1))
    assert compare(written, 0, (saying.wrote("l", 1),), CELL).divergence


def test_a_message_may_end_anywhere() -> None:
    """How steps were spread over messages is no part of what the cell did."""
    items = tuple(saying.text(str(number)) for number in range(5))
    whole = past_of([said(*items[:2]), said(*items[2:], seq=2)])
    assert len(whole.steps) == 5
    for cut in range(6):
        first = compare(whole, 0, items[:cut], CELL)
        assert first.position == cut
        assert first.fresh == (() if cut == 5 else None)
        second = compare(whole, cut, items[cut:], CELL)
        assert (second.position, second.fresh) == (5, ())


def test_what_follows_the_past_is_fresh() -> None:
    old, new = saying.text("a"), (saying.text("b"), saying.waited(0), saying.ended())
    assert compare(past(old), 0, (old, *new), CELL).fresh == new
    assert compare(past(old), 1, new, CELL).fresh == new, "the past had been said before"
    empty = past()
    assert compare(empty, 0, (old,), CELL).fresh == (old,)
    assert compare(empty, 0, (), CELL).fresh == ()


def test_nothing_has_been_said_yet() -> None:
    found = compare(past(saying.text("a")), 0, (), CELL)
    assert (found.position, found.fresh, found.waits_at) == (0, None, None)


# -- waits ----------------------------------------------------------------------------------------


def test_it_waits_where_it_did_not_wait_before() -> None:
    """A step took inputs 1 and 2 in one go; a later life says where it took each of them."""
    before = past(saying.paused(1), saying.text("a"), saying.text("b"), saying.paused(2, 2))
    now = (
        saying.waited(0),
        saying.waited(1),  # before "a"
        saying.text("a"),
        saying.text("b"),
        saying.paused(2, 2),
    )
    paused = replace(CELL, phase=Phase.PAUSED, generation=2, taken=2)
    assert compare(before, 0, now, paused).fresh == ()
    elsewhere = (saying.waited(0), saying.text("a"), saying.waited(1), saying.text("b"))
    assert compare(before, 0, elsewhere, paused).position == 3


def test_a_wait_that_was_passed() -> None:
    """The journal has a wait after input 1, and now input 2 is taken without one."""
    before = past(saying.waited(1), saying.text("a"))
    found = compare(before, 0, (saying.waited(2),), FREE)
    assert found.divergence is not None
    assert found.divergence.expected == "waits after input 1 for the next"
    assert found.divergence.actual == "waits after input 2 for the next"


def test_which_input_it_waits_at() -> None:
    before = past(saying.waited(0), saying.waited(5), saying.text("a"))
    assert compare(before, 0, (saying.waited(0),), FREE).waits_at == 0
    assert compare(before, 1, (saying.waited(3),), FREE).waits_at == 3
    assert compare(before, 1, (saying.waited(5),), FREE).waits_at == 5
    found = compare(before, 0, (saying.waited(0), saying.waited(5), saying.text("a")), FREE)
    assert (found.waits_at, found.fresh) == (None, ())


def test_one_that_stands_still_before_the_end_of_its_past() -> None:
    before = past(saying.waited(0), saying.text("a"))
    three = replace(FREE, inputs=3)
    assert compare(before, 1, (saying.waited(2),), three).divergence is None
    found = compare(before, 1, (saying.waited(3),), three).divergence
    assert found is not None
    assert (found.expected, found.actual) == (
        "text of 1 bytes",
        "waits after input 3 for the next",
    )
    assert found.output == 0
    # One input more, and it may still come to that output.
    assert compare(before, 1, (saying.waited(3),), replace(FREE, inputs=4)).waits_at == 3


def test_timers() -> None:
    before = past(saying.waited(0, 500), saying.waited(1))
    assert compare(before, 0, (saying.waited(0, 500),), FREE).position == 1
    for timer in (499, 501, None):
        found = compare(before, 0, (saying.waited(0, timer),), FREE).divergence
        assert found is not None
        assert found.expected == "waits after input 0 for the next and the timer at 500"
    assert compare(before, 1, (saying.waited(1, 500),), FREE).divergence is not None


def test_a_pause_of_another_generation() -> None:
    """Pauses of a step that is long over are waits now; only the current frontier is paused at."""
    before = past(saying.paused(1), saying.paused(2, 1))
    paused = replace(CELL, phase=Phase.PAUSED, generation=2, taken=1)
    assert compare(before, 0, (saying.waited(0), saying.paused(2, 1)), paused).fresh == ()
    for generation in (1, 3):
        found = compare(before, 1, (saying.paused(generation, 1),), paused)
        assert found.divergence is not None
    assert compare(before, 0, (saying.paused(2, 0),), paused).position == 1


def test_a_wait_is_one_wait_however_often_it_was_said() -> None:
    """After Continue it may wait again for the same input; a restored one may say it once more."""
    twice = past_of(
        [
            said(saying.text("a"), saying.paused(1)),
            r.GenerationConsumed(1, 1, NO_REQUEST, 0),
            said(saying.waited(0), seq=2),
            r.CellRestored(Incarnation(2, 2), 3, (), 0),
            said(saying.waited(0), saying.paused(2, 1), seq=3),
        ]
    )
    assert [type(each) for each in twice.steps] == [r.Put, r.WaitBegun, r.WaitBegun]
    assert [each.taken for each in twice.steps if isinstance(each, r.WaitBegun)] == [0, 1]
    apart = past(saying.waited(0), saying.text("a"), saying.waited(0))
    assert len(apart.steps) == 3, "something was said in between: a thread, or a yield"


# -- what the journal has -------------------------------------------------------------------------


def test_the_clock_of_all_lives() -> None:
    found = past_of(
        [
            r.WorkerSaid(BORN, 1, ((1, 10), (3, 30)), (), 4),
            r.CellRestored(Incarnation(1, 2), 2, ((5, 50),), 6),
            r.WorkerSaid(Incarnation(1, 2), 3, ((7, 70),), (), 8),
            r.WorkerIssued(Incarnation(1, 3)),
            r.CellRestored(Incarnation(1, 3), 1, (), 0),
        ]
    )
    assert found.ticks == ((1, 10), (3, 30), (5, 50), (7, 70))
    assert found.readings == 8
    assert past_of([]) == Past((), (), 0)


def test_how_far_a_worker_has_to_come() -> None:
    known = Past((), ((1, 10), (2, 20)), 9)
    running = replace(CELL, generation=4, taken=5, upto=7)
    assert known.earlier(running) == w.EarlierLife(2, 9, 5, 4, 4, 7)
    paused = replace(running, phase=Phase.PAUSED)
    assert known.earlier(paused) == w.EarlierLife(2, 9, 5, 3, 3, 5), "it pauses once more"
    assert known.earlier(replace(FREE, taken=2)) == w.EarlierLife(2, 9, 2, 0, 0, 0)


@pytest.mark.parametrize(
    ("phase", "free", "inputs", "upto", "taken", "last"),
    [
        (Phase.PAUSED, False, 5, 3, 3, 3),
        (Phase.PAUSED, False, 3, 9, 2, 2),
        (Phase.RUNNING, False, 5, 3, 2, 3),
        (Phase.RUNNING, False, 2, 3, 2, 2),
        (Phase.RUNNING, True, 5, 0, 2, 5),
    ],
)
def test_the_last_input_that_it_may_be_given(
    phase: Phase, *, free: bool, inputs: int, upto: int, taken: int, last: int
) -> None:
    cell = replace(FREE if free else CELL, phase=phase, inputs=inputs, upto=upto, taken=taken)
    assert deliverable(cell) == last


# -- what counts as the same ----------------------------------------------------------------------


def test_addresses_do_not_count() -> None:
    first, second = saying.text("<Task at 0x7f00aa10>"), saying.text("<Task at 0x55d0bb20>")
    assert compare(past(first), 0, (second,), CELL).fresh == ()
    assert compare(past(first), 0, (saying.text("<Lock at 0x7f00aa10>"),), CELL).divergence
    before = past(saying.notified("at 0x7f00aa10"), saying.called(1, "a", "at 0x7f00aa10"))
    now = (saying.notified("at 0x55d0bb20"), saying.called(1, "a", "at 0x55d0bb20"))
    assert compare(before, 0, now, CELL).fresh == ()
    # A number that somebody wrote in hexadecimal is none.
    assert compare(past(saying.text("0x10")), 0, (saying.text("0x20"),), CELL).divergence


def test_the_line_is_told_and_not_compared() -> None:
    item = saying.text("a")
    assert isinstance(item, w.Emitted)
    assert compare(past(item), 0, (replace(item, line=7),), CELL).fresh == ()
    other = saying.text("b")
    assert isinstance(other, w.Emitted)
    found = compare(past(item), 0, (replace(other, line=7),), CELL).divergence
    assert found is not None
    assert found.line == 7


def test_the_position_of_the_expected_output() -> None:
    before = past(saying.text("a"), saying.called(1), saying.text("b"), saying.yielded())
    assert [differ(before, at, saying.ended()).output for at in range(4)] == [0, -1, 1, -1]


@pytest.mark.parametrize("name", FOREIGN)
def test_every_divergence_can_be_read(name: str) -> None:
    found = differ(past(saying.text("a")), 0, FOREIGN[name])
    assert found.expected == "text of 1 bytes"
    assert found.actual
    if name in KINDS:
        assert differ(past(KINDS[name][0]), 0, saying.ended()).expected
    assert differ(past(saying.flagged("a thread")), 0, saying.ended()).expected == (
        "begins work of its own: a thread"
    )


def test_a_divergence_is_short() -> None:
    long = "k" * 100_000
    item = w.Emitted(OutputKind.TEXT, long, None, values.digest(long.encode()))
    found = differ(past(saying.notified(long)), 0, item)
    assert 100 < len(found.expected) <= LINE_MAX
    assert 100 < len(found.actual) <= LINE_MAX
