"""When a cell may take which input: the worker's half of the law of frontiers."""

from __future__ import annotations

import pytest
from tidemark.protocol.ids import RequestRef
from tidemark.protocol.packed import CellKind, InputKind, PackedInput
from tidemark.protocol.worker_messages import Confirmed, Continue, Paused, Waited
from tidemark.worker.steps import Steps


def given(number: int) -> PackedInput:
    return PackedInput(number, InputKind.RESULT, number, b"", "", False, 0, 0)


def resume(generation: int, upto: int, *numbers: int, request: int = 1) -> Continue:
    inputs = tuple(given(number) for number in numbers)
    return Continue(1, 0, generation, upto, RequestRef(1, request), 0, inputs)


def taken(steps: Steps) -> list[int]:
    numbers = []
    while (item := steps.next_input()) is not None:
        numbers.append(item.number)
    return numbers


def paused() -> Steps:
    """A pausable cell at its first frontier."""
    steps = Steps(CellKind.PAUSABLE)
    assert steps.idle(None, ()) == Paused(1, 0, None, ())
    return steps


def test_a_continuing_cell_takes_inputs_as_they_come() -> None:
    steps = Steps(CellKind.CONTINUING)
    assert steps.idle(7, ("x",)) == Waited(0, 7, ("x",))
    steps.deliver([given(1), given(2)])
    assert taken(steps) == [1, 2]
    assert steps.idle(None, ()) == Waited(2, None, ())


def test_a_wait_is_said_once() -> None:
    steps = Steps(CellKind.CONTINUING)
    assert steps.idle(None, ()) is not None
    assert steps.idle(None, ()) is None
    steps.own_work_taken()
    assert steps.idle(None, ()) is not None


def test_the_first_step_of_a_pausable_cell_takes_nothing() -> None:
    steps = Steps(CellKind.PAUSABLE)
    steps.deliver([given(1)])
    assert steps.next_input() is None
    assert not steps.takes_own_work
    assert steps.idle(None, ()) == Paused(1, 0, None, ())
    assert steps.next_input() is None
    assert steps.idle(None, ()) is None


def test_one_step_takes_what_continue_names_and_no_more() -> None:
    steps = paused()
    assert steps.continue_(resume(1, 2, 1, 2)) == Confirmed(1, 2, RequestRef(1, 1), 0)
    steps.deliver([given(3)])
    assert taken(steps) == [1, 2]
    assert steps.idle(None, ()) == Paused(2, 2, None, ())
    assert taken(steps) == []


def test_a_step_waits_for_the_input_that_it_names() -> None:
    steps = paused()
    steps.continue_(resume(1, 1))
    assert steps.idle(5, ()) == Waited(0, 5, ())
    assert steps.idle(5, ()) is None
    steps.deliver([given(1)])
    assert taken(steps) == [1]
    assert steps.idle(None, ()) == Paused(2, 1, None, ())


def test_a_repeated_continue_is_confirmed_without_moving() -> None:
    steps = paused()
    first = steps.continue_(resume(1, 1, 1))
    assert steps.continue_(resume(1, 1, 1, request=9)) == first
    assert taken(steps) == [1]
    assert steps.idle(None, ()) == Paused(2, 1, None, ())
    assert steps.continue_(resume(1, 1, 1)) == first
    assert steps.is_paused
    steps.continue_(resume(2, 2))
    assert steps.continue_(resume(1, 1)).generation == 1
    assert not steps.is_paused


@pytest.mark.parametrize(
    ("generation", "upto"),
    [
        pytest.param(0, 1, id="below-the-first"),
        pytest.param(2, 1, id="never-reached"),
        pytest.param(1, 0, id="a-step-without-an-input"),
    ],
)
def test_an_impossible_continue_changes_nothing(generation: int, upto: int) -> None:
    steps = paused()
    with pytest.raises(ValueError, match=r"Continue"):
        steps.continue_(resume(generation, upto, 1))
    assert steps.is_paused
    assert steps.received == 0


def test_a_continuing_cell_has_no_frontier_to_leave() -> None:
    steps = Steps(CellKind.CONTINUING)
    with pytest.raises(ValueError, match=r"Continue"):
        steps.continue_(resume(1, 1))


def test_repeats_are_dropped_and_a_gap_is_never_taken() -> None:
    steps = Steps(CellKind.CONTINUING)
    steps.deliver([given(2), given(3)])
    assert steps.received == 0
    assert taken(steps) == []
    steps.deliver([given(1), given(2)])
    assert steps.received == 3
    assert taken(steps) == [1, 2, 3]
    steps.deliver([given(1), given(3)])
    assert taken(steps) == []


def test_own_work_ends_a_step_that_has_no_other_input() -> None:
    steps = paused()
    assert not steps.takes_own_work
    steps.continue_(resume(1, 1))
    assert steps.takes_own_work
    steps.own_work_taken()
    assert not steps.takes_own_work
    assert steps.idle(None, ("x",)) == Paused(2, 0, None, ("x",))
    steps.continue_(resume(2, 1, 1))
    assert taken(steps) == [1]
    assert steps.idle(None, ()) == Paused(3, 1, None, ())


def test_own_work_and_inputs_take_turns() -> None:
    steps = paused()
    steps.continue_(resume(1, 2, 1, 2))
    assert steps.takes_own_work
    steps.own_work_taken()
    assert not steps.takes_own_work
    assert steps.next_input() == given(1)
    assert steps.takes_own_work
    assert steps.next_input() == given(2)
    assert not steps.takes_own_work
    assert steps.idle(None, ()) == Paused(2, 2, None, ())


def test_own_work_never_holds_up_a_continuing_cell() -> None:
    steps = Steps(CellKind.CONTINUING)
    for _ in range(3):
        assert steps.takes_own_work
        steps.own_work_taken()
        assert steps.idle(None, ()) == Waited(0, None, ())
