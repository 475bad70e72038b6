"""Cells are the same in every life: lived with random orders of inputs, then in another zygote.

Forks of one zygote have the same addresses, so living again in the same one would show nothing.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tidemark.protocol.worker_messages import Flagged
from tidemark.protocol.zygote_messages import Kill

from fakes import constructs
from fakes.lives import live, relive
from fakes.supervisor_end import ZygoteEnd, only_without_walls

NOTHING_LEFT = random.Random()


@pytest.fixture(scope="module")
def first() -> Iterator[ZygoteEnd]:
    with tempfile.TemporaryDirectory(prefix="tm") as directory:
        end = ZygoteEnd(Path(directory), disturbance=1)
        yield end
        end.close()


@pytest.fixture(scope="module")
def second() -> Iterator[ZygoteEnd]:
    """Another process, started anew: it has other addresses, in another order."""
    with tempfile.TemporaryDirectory(prefix="tm") as directory:
        end = ZygoteEnd(Path(directory), disturbance=2)
        yield end
        end.close()


@pytest.mark.parametrize("name", constructs.REPRODUCIBLE)
def test_it_is_the_same_again(name: str, first: ZygoteEnd, second: ZygoteEnd) -> None:
    if name.startswith("numpy"):
        pytest.importorskip("numpy")
    for order in range(2):
        once = live(first, constructs.REPRODUCIBLE[name], random.Random(order))
        again = relive(second, once, NOTHING_LEFT)
        assert again.trace == once.trace, f"\n{once.text}\n---\n{again.text}\n{again.error}"
        assert (again.ticks, again.readings) == (once.ticks, once.readings)
        assert not once.is_flagged
        assert once.error is None or name in {"exception-group", "traceback", "recursion"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=only_without_walls if "subprocess" in name else ())
        for name in constructs.FLAGGED
    ],
)
def test_what_cannot_be_told_again_says_so(name: str, first: ZygoteEnd) -> None:
    cell = first.fork()
    cell.start(constructs.FLAGGED[name])
    _, flagged = cell.until(Flagged)
    line = constructs.FLAGGED[name].splitlines()[flagged.line - 1] if flagged.line else "thread"
    assert any(word in line for word in ("thread", "executor", "subprocess")), line
    first.tell(Kill(cell.token))
    assert first.end_of(cell.token).killed


@pytest.mark.parametrize("name", constructs.WORLD)
def test_the_world_outside_is_noticed(name: str, first: ZygoteEnd, second: ZygoteEnd) -> None:
    once = live(first, constructs.WORLD[name], random.Random(0))
    again = relive(second, once, NOTHING_LEFT)
    assert again.trace != once.trace


@pytest.mark.parametrize("name", constructs.CHAINED)
def test_worker_after_worker_dies(name: str, first: ZygoteEnd, second: ZygoteEnd) -> None:
    """Each lives what is known, goes on with inputs in another order, and is killed again."""
    chance = random.Random(name)
    source = constructs.REPRODUCIBLE[name]
    life = live(first, source, chance, kill_after=1)
    for zygote, dies_at in ((second, 2), (first, 3), (second, -1)):
        known = life.trace
        life = relive(zygote, life, chance, dies_at)
        assert life.trace[: len(known)] == known
    again = relive(first, life, NOTHING_LEFT)
    assert again.trace == life.trace, f"\n{life.text}\n---\n{again.text}"


def test_another_seed_is_another_chance(first: ZygoteEnd) -> None:
    source = "import random, uuid; print(random.random(), uuid.uuid4())"
    assert live(first, source, random.Random(1)).text != live(first, source, random.Random(2)).text


@only_without_walls
def test_forked_children_have_randomness_and_time_of_their_own(first: ZygoteEnd) -> None:
    source = """
import os, time
def child():
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, os.urandom(8) + str(time.monotonic()).encode())
        os._exit(0)
    os.wait()
    return os.read(reading, 100)
one, other = child(), child()
print(one[:8] != other[:8], one[:8] != os.urandom(8), float(one[8:]) <= float(other[8:]))
"""
    # Python 3.12 and later warn of the fork on the lines before.
    assert live(first, source, random.Random(1)).text.endswith("true true true\n")


def test_waiting_in_a_thread_comes_to_an_end(first: ZygoteEnd) -> None:
    source = """
import queue, threading, time
def wait():
    end = time.monotonic() + 0.01
    while time.monotonic() < end:
        pass
    try:
        queue.Queue().get(timeout=0.01)
    except queue.Empty:
        threading.Event().wait(0.01)
thread = threading.Thread(target=wait)
thread.start()
thread.join(5)
print(thread.is_alive())
"""
    assert live(first, source, random.Random(1)).text == "false\n"
