"""Thousands of seeds: each a small world in which much goes wrong and no promise breaks."""

from __future__ import annotations

import pytest
from tidemark.simulation.runs import run_seed
from tidemark.simulation.world import World

SEEDS = 2_400
PORTION = 200


@pytest.mark.parametrize("first", range(1, SEEDS + 1, PORTION))
def test_every_promise_holds(first: int) -> None:
    for seed in range(first, first + PORTION):
        run_seed(seed)


def test_a_seed_is_always_the_same_story() -> None:
    for seed in (3, 16, 77):
        stories = []
        for _ in range(2):
            world = World(seed)
            world.run()
            stories.append(world.told())
        assert stories[0] == stories[1]


def test_the_seeds_reach_what_they_are_for() -> None:
    """Worlds without trouble would prove nothing: crashes at every kind of port call, and ends."""
    moments: dict[str, int] = {}
    reasons: dict[str, int] = {}
    for seed in range(1, 601):
        world = run_seed(seed)
        for moment in world.supervisor.crashes:
            moments[moment] = moments.get(moment, 0) + 1
        for log in world.journal.cells.values():
            assert log.final is not None
            reason = log.final.reason.value if log.final.reason else "terminated"
            reasons[reason] = reasons.get(reason, 0) + 1
    calls = ("open", "commit", "tell_host", "tell_worker", "fork", "watch_host", "session_records")
    wanted = {f"{moment} {call}" for moment in ("before", "after") for call in calls}
    assert wanted <= moments.keys(), wanted - moments.keys()
    assert {"ended", "raised", "lost", "terminated"} <= reasons.keys(), reasons
