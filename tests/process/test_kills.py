"""SIGKILL at every frontier, of every process and their combinations, and 500 in a row."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import tidemark
from tidemark import Completed, PausableCell, Pending, Resumed

from fakes.cells import SECONDS, shown
from fakes.process_watch import alive
from fakes.running_supervisor import HostProcess, RunningSupervisor
from fakes.waiting import until

# Sequential calls, parallel ones and timers.
SOURCE = """
total = 0
for n in range(3):
    total += await tools.effect(cell=me, n=n)
    print("did", n)
total += sum(await asyncio.gather(*(tools.effect(cell=me, n=n) for n in (3, 4, 5))))
print("did three")
await asyncio.sleep(0.01)
print("slept")
async def late(n):
    await asyncio.sleep(0.005 * n)
    return await tools.effect(cell=me, n=n)
for first in asyncio.as_completed([late(6), late(7)]):
    total += await first
print("done")
exit(total)
"""
OUTPUT = "did 0\ndid 1\ndid 2\ndid three\nslept\ndone\n"
EFFECTS = 8
KILLS = 500


class Ledger:
    """The world outside: every effect that happened, in a file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR)
        self._path = path

    def effect(self, cell: str, n: int) -> int:
        """Happens, and gives its number."""
        os.write(self._file, f"{cell} {n}\n".encode())
        return n

    def counts(self) -> Counter[str]:
        return Counter(self._path.read_text().splitlines())

    def close(self) -> None:
        os.close(self._file)


class House:
    """A supervisor that is started again whenever it is killed, and who else may be killed."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.running = RunningSupervisor(state, "--durability", "crash")
        self.endpoint = self.running.endpoint
        self.lock = threading.Lock()

    def zygote(self) -> psutil.Process | None:
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if "tidemark.worker" in words and any(str(self.state) in word for word in words):
                found: psutil.Process = process
                parent = found.parent()
                if parent is None or "tidemark.worker" not in parent.cmdline():
                    return found
        return None

    def kill(self, who: str, cell: Any) -> None:
        """SIGKILL; a supervisor has a successor when this returns."""
        if who == "worker":
            pid = cell.status().pid
            if pid is not None:
                _kill(pid)
        elif who == "zygote":
            zygote = self.zygote()
            if zygote is not None:
                _kill(zygote.pid)
        else:
            with self.lock:
                self.running.signal(signal.SIGKILL)
                self.running.ended()
                self.running.errors.close()
                assert self.running.process.stdout is not None
                self.running.process.stdout.close()
                self.running = RunningSupervisor(self.state, "--durability", "crash")

    def close(self) -> None:
        self.running.close()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    until(lambda: not alive(pid), what=f"the end of {pid}")


@contextmanager
def house(place: Path) -> Iterator[tuple[House, Ledger]]:
    made, ledger = House(place / "state"), Ledger(place / "ledger")
    try:
        yield made, ledger
    except BaseException:
        print(f"status {made.running.process.poll()}; said: {made.running.said()[-8_000:]}")
        raise
    finally:
        made.close()
        ledger.close()


def drive(cell: PausableCell) -> tuple[str, Completed]:
    """To the end: all output, each item once, and the completion."""
    output = ""
    event: Any = cell.wait_to_pending(timeout=60)
    while isinstance(event, Pending):
        output += shown(event)
        answer = cell.resume(event.generation, timeout=60)
        assert isinstance(answer, Resumed), answer
        event = cell.wait_to_pending(timeout=60)
    assert isinstance(event, Completed), event
    return output + shown(event), event


COMBINATIONS = [
    ("worker",),
    ("supervisor",),
    ("zygote",),
    ("worker", "supervisor"),
    ("supervisor", "worker"),
    ("zygote", "supervisor"),
    ("worker", "zygote"),
    ("worker", "zygote", "supervisor"),
]


@pytest.mark.parametrize("victims", COMBINATIONS, ids="+".join)
def test_at_every_frontier(place: Path, victims: tuple[str, ...]) -> None:
    with house(place) as (made, ledger):
        session = tidemark.Session("s", endpoint=made.endpoint, tools=[ledger.effect])
        session.open()
        cell = session.create_pausable_cell(SOURCE, inputs={"me": "a"})
        output = ""
        event: Any = cell.wait_to_pending(timeout=SECONDS)
        while isinstance(event, Pending):
            output += shown(event)
            for who in victims:
                made.kill(who, cell)
            assert cell.frontier() is not None
            assert cell.wait_to_pending(timeout=SECONDS) == event
            assert isinstance(cell.resume(event.generation, timeout=SECONDS), Resumed)
            event = cell.wait_to_pending(timeout=SECONDS)
        assert isinstance(event, Completed)
        assert (event.reason, event.value) == ("ended", sum(range(EFFECTS))), event.error
        assert output + shown(event) == OUTPUT
        assert ledger.counts() == {f"a {n}": 1 for n in range(EFFECTS)}
        session.close()


#: A host that decides what is unknown by looking at the ledger, and goes one frontier further.
HOST = """
endpoint, path, name = sys.argv[1:]
def lines():
    return open(path).read().splitlines()
def effect(cell, n):
    with open(path, "a") as ledger:
        ledger.write(f"{cell} {n}\\n")
    return n
session = tidemark.Session(name, endpoint=endpoint, tools=[effect])
session.open()
rows = session.cells()
if not rows:
    session.create_pausable_cell(hear(), inputs={"me": "a"}, idempotency_key="the one")
    rows = session.cells()
for call in session.calls():
    n = call.arguments["n"]
    if f"a {n}" in lines():
        call.finish(n)
    else:
        call.run_again()
cell = session.cell(rows[0].id)
event = cell.wait_to_pending(timeout=20)
while isinstance(event, tidemark.Pending):
    say(event.generation)
    if hear() == "go":
        cell.resume(event.generation, timeout=20)
    event = cell.wait_to_pending(timeout=20)
say([event.reason, event.value])
session.detach()
"""


@pytest.mark.parametrize(
    "others",
    [
        (),
        ("worker",),
        ("supervisor",),
        ("zygote",),
        ("worker", "supervisor"),
        ("zygote", "supervisor"),
        ("worker", "zygote", "supervisor"),
    ],
    ids="+".join,
)
def test_the_host_at_every_frontier(place: Path, others: tuple[str, ...]) -> None:
    """Killed before it resumes, and another time after; its successor finds everything."""
    with house(place) as (made, ledger), ExitStack() as hosts:

        def life() -> HostProcess:
            host = HostProcess(HOST, made.endpoint, str(place / "ledger"), "s")
            hosts.callback(host.close)
            return host

        host = life()
        host.say(SOURCE)
        seen = host.hear(seconds=30)
        while isinstance(seen, int):
            host.kill()
            with tidemark.connect(made.endpoint) as client:
                cell = client.cell(client.cells()[0].id)
                for who in others:
                    made.kill(who, cell)
                assert isinstance(cell, PausableCell)
                frontier = cell.frontier()
                assert frontier is not None
                assert frontier.generation == seen
            host = life()
            assert host.hear(seconds=30) == seen
            host.say("go")
            seen = host.hear(seconds=30)
        assert seen == ["ended", sum(range(EFFECTS))]
        with tidemark.connect(made.endpoint) as client:
            cell = client.cell(client.cells()[0].id)
            assert "".join(shown(event) for event in cell.watch()) == OUTPUT
        assert ledger.counts() == {f"a {n}": 1 for n in range(EFFECTS)}


@pytest.mark.timeout(600)
def test_five_hundred_kills_in_a_row_and_the_ledger_balances(place: Path) -> None:
    chance = random.Random(20261122)
    with house(place) as (made, ledger):
        session = tidemark.Session("s", endpoint=made.endpoint, tools=[ledger.effect])
        session.open()
        names = [f"c{n}" for n in range(50)]
        waiting = threading.Semaphore(0)
        killed: set[tuple[str, int]] = set()
        ends: dict[str, tuple[str, Completed]] = {}

        def run(name: str) -> None:
            # A name of its own for every run, so that there are always cells to be killed.
            cell = session.create_pausable_cell(SOURCE, inputs={"me": name}, name=name)
            ends[name] = drive(cell)
            waiting.release()

        with ThreadPoolExecutor(50) as pool:
            futures = [pool.submit(run, name) for name in names]
            kills = 0
            while kills < KILLS:
                for future in futures:
                    if future.done():
                        future.result()
                if waiting.acquire(blocking=False):
                    names.append(f"c{len(names)}")
                    futures.append(pool.submit(run, names[-1]))
                kills += _one_kill(made, session, chance, killed)
            for future in futures:
                future.result(120)
        wrong = {n: end[1] for n, end in ends.items() if end[1].value != sum(range(EFFECTS))}
        assert wrong == {}
        assert {output for output, _ in ends.values()} == {OUTPUT}
        assert ledger.counts() == {f"{name} {n}": 1 for name in names for n in range(EFFECTS)}
        session.close()


def _one_kill(
    made: House, session: tidemark.Session, chance: random.Random, killed: set[tuple[str, int]]
) -> int:
    """Somebody is killed: mostly a worker, now and then the supervisor or the zygote."""
    lot = chance.random()
    if lot < 0.04:
        made.kill("supervisor" if lot < 0.02 else "zygote", None)
        return 1
    rows = session.cells(state="unfinished", limit=100)
    if not rows:
        return 0
    cell = session.cell(chance.choice(rows).id)
    status = cell.status()
    # Three losses without an input between them are poison; two are bad luck. Between two inputs
    # the cell has two generations: that of the frontier it left, and that of the one it came to.
    mark = (cell.id, status.generation)
    if status.pid is None or mark in killed:
        return 0
    killed.add(mark)
    _kill(status.pid)
    return 1
