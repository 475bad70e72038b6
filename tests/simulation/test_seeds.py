"""Thousands of seeds: each a small world in which much goes wrong and no promise breaks."""

from __future__ import annotations

from collections import Counter

import pytest
from tidemark.simulation.runs import run, run_seed
from tidemark.simulation.world import World

SEEDS = 1_400
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


def _counted(seeds: range) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """The points of all crashes, how cells ended, and the records of the journals."""
    moments: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    written: Counter[str] = Counter()
    for seed in seeds:
        world = World(seed)
        world.disk.watchers.append(
            lambda epoch, entries: written.update(
                type(entry.record).__name__ for _, entry in entries
            )
        )
        run(world)
        moments.update(world.supervisor.crashes)
        for log in world.journal.cells.values():
            assert log.final is not None
            reasons[log.final.reason.value if log.final.reason else "terminated"] += 1
    return moments, reasons, written


def test_the_seeds_reach_what_they_are_for() -> None:
    """Worlds without trouble would prove nothing: crashes at every kind of port call, and ends."""
    moments, reasons, written = _counted(range(1, 601))
    calls = ("open", "commit", "flush", "tell_worker", "fork", "watch_host", "session_records")
    wanted = {f"{moment} {call}" for moment in ("before", "after") for call in calls}
    assert wanted <= moments.keys(), wanted - moments.keys()
    assert {"ended", "raised", "lost", "terminated"} <= reasons.keys(), reasons
    for record in ("CellRestored", "WorkerLost", "CallsUnknown", "CallsReturned", "CallsCancelled"):
        assert written[record] >= 3, written
