"""A small world has no state in which a promise is broken, and planted bugs are found in it.

`python tests/simulation/small_world.py` explores larger ones.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tidemark.simulation.plants import planted_bug
from tidemark.simulation.promise import Promise, PromiseBroken

from fakes.small.explorer import Explorer, StoryOf, explore
from fakes.small.scene import Size

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
    ("name", "size", "promise"),
    [
        ("reply before commit", SHORT_RACE, Promise.TOLD),
        ("consumed before the confirmation", SHORT_RACE, Promise.CONFIRMED),
        ("resumed is answered to both racers", SHORT_RACE, Promise.TOLD),
        ("completion after terminate is accepted", SHORT_RACE, Promise.ENDED),
        ("a skipped event takes its output along", SHORT_RACE, Promise.CARRIED),
        ("writes are visible at terminate", SHORT_RACE, Promise.WRITES),
        ("terminate kills nobody", SHORT_RACE, Promise.LIVENESS),
        ("no generation check", RACE, Promise.NAMED),
        ("inputs are numbered twice", replace(CRASH, crashes=0), Promise.LIVENESS),
        ("incarnation restarts after a crash", SHORT_CRASH, Promise.LIVES),
        ("a reconnect dispatches calls again", SHORT_CRASH, Promise.CALLS),
        ("an adopted worker gets no inputs", SHORT_CRASH, Promise.LIVENESS),
        ("after a replay continue is not sent", SHORT_CRASH, Promise.LIVENESS),
        ("frontiers are counted anew", CRASH, Promise.SAME_AGAIN),
    ],
)
def test_a_planted_bug_is_found(name: str, size: Size, promise: Promise) -> None:
    with planted_bug(name), pytest.raises(StoryOf) as found:
        explore(size)
    broken = found.value.__cause__
    assert isinstance(broken, PromiseBroken), found.value
    assert broken.promise is promise, found.value


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
