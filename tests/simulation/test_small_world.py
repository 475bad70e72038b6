"""A small world has no state in which a promise is broken, and planted bugs are found in it.

`python tests/simulation/small_world.py` explores larger ones.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from .mutants import mutant
from .promises import PromiseBroken
from .small_scene import Size
from .small_world import LIVENESS, Explorer, StoryOf, explore

RACE = Size(hosts=2, generations=2, crashes=0, asks=1)
CRASH = Size(hosts=1, generations=2, crashes=1, asks=0)
SHORT_RACE = replace(RACE, generations=1)
SHORT_CRASH = replace(CRASH, generations=1)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("size", [RACE, CRASH, replace(CRASH, replay=False)])
def test_every_promise_holds_in_every_state(size: Size) -> None:
    explored = explore(size)
    print(f"{size}: {explored}")
    assert explored.settled > 100
    assert explored.states > 5_000


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("reply before commit", SHORT_RACE),
        ("consumed before the confirmation", SHORT_RACE),
        ("resumed is answered to both racers", SHORT_RACE),
        ("completion after terminate is accepted", SHORT_RACE),
        ("a skipped event takes its output along", SHORT_RACE),
        ("writes are visible at terminate", SHORT_RACE),
        ("no generation check", RACE),
        ("incarnation restarts after a crash", SHORT_CRASH),
        ("a reconnect dispatches calls again", SHORT_CRASH),
    ],
)
def test_a_planted_bug_is_found(name: str, size: Size) -> None:
    with mutant(name), pytest.raises(StoryOf) as found:
        explore(size)
    assert isinstance(found.value.__cause__, PromiseBroken), found.value


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("terminate kills nobody", SHORT_RACE),
        ("an adopted worker gets no inputs", SHORT_CRASH),
        ("inputs are numbered twice", replace(CRASH, crashes=0)),
    ],
)
def test_whoever_waits_for_ever_is_found(name: str, size: Size) -> None:
    with mutant(name), pytest.raises(StoryOf, match=LIVENESS):
        explore(size)


def _outcomes(size: Size) -> set[Any]:
    """What the cell and its observers have come to, wherever nothing is under way."""
    explorer = Explorer(size)
    explorer.explore()
    outcomes = set()
    for scene in explorer.settled_scenes():
        assert scene.mind is not None
        for _, facts in scene.mind.cells:
            cell = facts.seen.cell
            calls = tuple((call.number, call.state) for call in cell.calls.values())
            ends = (cell.phase, cell.final, cell.frontier, cell.output.start, cell.taken, calls)
            outcomes.add((ends, cell.consumed, cell.inputs, scene.received, scene.crashes))
    return outcomes


@pytest.mark.timeout(240)
@pytest.mark.parametrize("size", [replace(CRASH, crashes=0), SHORT_CRASH])
def test_orders_that_are_left_out_make_no_difference(size: Size) -> None:
    outcomes = _outcomes(size)
    assert outcomes == _outcomes(replace(size, eager=False))
    assert len(outcomes) > 3
