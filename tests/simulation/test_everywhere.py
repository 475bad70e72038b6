"""Trouble at every port call of one small story: no moment is left out."""

from __future__ import annotations

import pytest
from tidemark.simulation.everywhere import Moment, Plot, Stage, Trouble
from tidemark.simulation.fuse import ACTS, AFTER, BEFORE
from tidemark.simulation.plants import planted_bug
from tidemark.simulation.runs import Row, WorldFailed, run

ONCE = [trouble for trouble in Trouble if trouble is not Trouble.CRASH_TWICE]
OF_COMMITS = {Trouble.DISK_FULL, Trouble.WRITE_LOST, Trouble.WRITE_KEPT}
# Of the points of the first crash every so manieth is taken here, each with every point of the
# recovery, and of what is not the supervisor a few less; `tidemark-simulate --crash-everywhere`
# takes all of them.
TWICE_STRIDE = 97
STRIDES = {
    Trouble.WORKERS: 3,
    Trouble.ZYGOTE: 3,
    Trouble.HOST: 5,
    Trouble.MACHINE: 3,
}  # odd: both moments


def _struck(row: Row) -> list[Stage]:
    """Runs them all; those that trouble has struck, and the last one, which it has not."""
    return [stage for stage in row.stages() if run(stage)]


@pytest.mark.timeout(300)  # it takes 10 s on a machine that has nothing else to do
@pytest.mark.parametrize("plot", Plot)
@pytest.mark.parametrize("trouble", ONCE)
def test_nothing_is_lost(trouble: Trouble, plot: Plot) -> None:
    stride = STRIDES.get(trouble, 1)
    *struck, last = _struck(Row(plot, trouble, stride))
    assert last.struck is None
    points = [stage.struck for stage in struck]
    assert None not in points
    if trouble in OF_COMMITS:
        assert {str(point) for point in points} == {f"{BEFORE} commit"}
        assert len(points) > 20
        return
    if stride == 1:
        wanted = ACTS - {"retire"}
        named = {(point.moment, point.call) for point in points if point is not None}
        assert named >= {(moment, call) for moment in (BEFORE, AFTER) for call in wanted}
    numbers = [(point.number, point.moment == AFTER) for point in points if point is not None]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == -(-2 * last.supervisor.fuse.calls // stride)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("plot", Plot)
def test_nothing_is_lost_when_the_successor_is_killed_too(plot: Plot) -> None:
    twice = [
        stage for stage in _struck(Row(plot, Trouble.CRASH_TWICE, TWICE_STRIDE)) if stage.twice
    ]
    second = {stage.supervisor.crashes[1] for stage in twice}
    recovery = ("open", "session_records", "unfinished_cells", "take command", "commit")
    assert second >= {f"{moment} {call}" for moment in (BEFORE, AFTER) for call in recovery}


def test_two_hosts_race() -> None:
    """A race that only one of them runs would show nothing."""
    stage = Stage(Plot.TWO_HOSTS, Trouble.CRASH, Moment(1 << 30))
    run(stage)
    consumed = [
        request.attachment
        for request, what in stage.journal.requests.items()
        if what.startswith("consume")
    ]
    assert len(set(consumed)) == 2


def test_what_acts_is_a_call_of_a_port() -> None:
    stage = Stage(Plot.TWO_HOSTS, Trouble.CRASH, Moment(1 << 30))
    seen: set[str] = set()
    stage.supervisor.fuse.watchers.append(lambda point: seen.add(point.call))
    run(stage)
    assert seen >= ACTS - {"retire"}


@pytest.mark.parametrize(
    ("plant", "trouble"),
    [
        ("a repeat is forgotten by a crash", Trouble.CRASH),
        ("incarnation restarts after a crash", Trouble.CRASH),
        ("a failed commit is not undone", Trouble.DISK_FULL),
        ("an unknown outcome is retried at once", Trouble.HOST),
    ],
)
def test_a_planted_bug_is_found(plant: str, trouble: Trouble) -> None:
    with planted_bug(plant), pytest.raises(WorldFailed):
        _struck(Row(Plot.ONE_HOST, trouble))


def test_a_moment_is_always_the_same_story() -> None:
    told = []
    for _ in range(2):
        stage = Stage(Plot.TWO_HOSTS, Trouble.CRASH_TWICE, Moment.parse("101+7"))
        run(stage)
        assert stage.twice
        told.append(stage.told())
    assert told[0] == told[1]
