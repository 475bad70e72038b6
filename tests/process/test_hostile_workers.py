"""A worker turns on its supervisor: it is slowed or ended, and nobody else notices.

Judged from outside: the supervisor's highest memory, a sibling's cycle, the attacker's end.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tidemark

from fakes.cells import pending
from fakes.hostile_cells import ATTACKS, attack
from fakes.running_supervisor import RunningSupervisor
from fakes.waiting import until

GROWTH_MIB_MAX = 64
SLOWER_MAX = 3.0
SECONDS = 1.0
MEASUREMENTS = 3  # the best counts: the machine has others to serve
ENDED = {
    "unfinished by libzmq": "more than 2 frames",
    "unfinished by hand": "more than 2 frames",
    "small parts": "more than 2 frames",
    "claimed": "at most 16,777,216",
    "connections": "connections without end",
    "silent connections": "connections without end",
    "squatting": "connections without end",
}


def echo(x: int) -> int:
    return x


class Sibling:
    """A cell of another session, and how long one cycle of it takes."""

    def __init__(self, session: tidemark.Session) -> None:
        source = "for n in range(10**6): await tools.echo(x=n)"
        self.cell = session.create_pausable_cell(source)
        self._at: tidemark.Pending = pending(self.cell)
        self.cycle_seconds()

    def cycle_seconds(self) -> float:
        """The median of all cycles in a second."""
        taken: list[float] = []
        until_seconds = time.perf_counter() + SECONDS
        while (began := time.perf_counter()) < until_seconds:
            event = self.cell.step(self._at.generation)
            taken.append(time.perf_counter() - began)
            assert isinstance(event, tidemark.Pending)
            self._at = event
        return statistics.median(taken)


def highest_mib(supervisor: RunningSupervisor) -> float:
    """The most memory that the supervisor has ever had."""
    text = Path(f"/proc/{supervisor.pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@pytest.fixture
def sibling(supervisor: RunningSupervisor) -> Iterator[Sibling]:
    with tidemark.Session("sibling", endpoint=supervisor.endpoint, tools=[echo]) as session:
        yield Sibling(session)


@pytest.mark.parametrize("name", ATTACKS)
def test_neither_memory_nor_neighbours_suffer(
    supervisor: RunningSupervisor, sibling: Sibling, place: Path, name: str
) -> None:
    # At this level nothing holds it back but the supervisor's own bounds.
    with tidemark.Session(
        "hostile", endpoint=supervisor.endpoint, tools=[echo], isolation="process"
    ) as session:
        session.stored.set("large", "y" * 3_000_000)
        usual = sibling.cycle_seconds()
        before = highest_mib(supervisor)
        marker = place / "begun"
        hostile = session.create_cell(attack(name), inputs={"marker": str(marker)})
        until(marker.exists, what="the attack to begin")
        slower = []
        while len(slower) < MEASUREMENTS and (not slower or min(slower) > SLOWER_MAX):
            slower.append(sibling.cycle_seconds() / usual)
        assert min(slower) <= SLOWER_MAX, f"{name}: {slower} times slower"
        if name in ENDED:
            until(lambda: hostile.status().state == "completed", what="the end of the attacker")
            end = hostile.observe(5)
            assert isinstance(end, tidemark.Completed)
            assert ENDED[name] in (end.error or "")
        else:
            assert hostile.status().state != "completed", "the attack has failed by itself"
        assert highest_mib(supervisor) - before < GROWTH_MIB_MAX
        hostile.terminate()
