"""However a private supervisor's host ends, nothing is left of either after two seconds."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from fakes.process_watch import alive, marked, open_sockets, until_none, zygote_of
from fakes.running_supervisor import HostProcess
from fakes.supervisors import killed, successor
from fakes.waiting import until

LEFT_SECONDS_MAX = 2.0

HANGS = {
    "python": "while True: pass",
    "gil": "import ctypes\nctypes.PyDLL(None).sleep(1000)",
    "pattern": "import re\nre.match('(a+)+$', 'a' * 64 + 'b')",
    "child": (
        "import subprocess\n"
        "subprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
        "await asyncio.Event().wait()"
    ),
    "deaf": (
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass"
    ),
    "thread": (
        "import threading\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "await asyncio.Event().wait()"
    ),
}

PROGRAM = """
SOURCES = json.loads(sys.argv[1])
LEVEL = sys.argv[3] or None
def main(session):
    cells = []
    for source in SOURCES:
        cell = session.create_cell("text('on')\\nawait asyncio.sleep(0.01)\\n" + source)
        while not cell.observe(0.05).output:
            pass
        cells.append(cell)
    return cells

ENDING = sys.argv[2]
session = tidemark.Session(tools=[], isolation=LEVEL)
if ENDING == "killed":
    session.open()
    main(session)
    say("ready")
    hear()
elif ENDING == "closed":
    with session:
        main(session)
    say("closed")
elif ENDING == "raised":
    with session:
        main(session)
        say("ready")
        raise RuntimeError("the block failed")
elif ENDING == "interrupted":
    with session:
        cells = main(session)
        say("ready")
        cells[0].observe(1000)
elif ENDING == "left open":
    session.open()
    main(session)
    say("ready")
elif ENDING == "asyncio":
    async def run():
        async with tidemark.AsyncSession(isolation=LEVEL) as session:
            cell = await session.create_cell("while True: pass")
            say("ready")
            await cell.observe(1000)
    asyncio.run(run())
elif ENDING == "supervisor killed":
    with session:
        main(session)
        say("ready")
        hear()
        session.stored.set("k", "from the successor")
        say(session.stored.get("k"))
        if hear() == "left open":
            os._exit(0)
    say("left")
"""


def start(place: Path, ending: str, *hangs: str) -> HostProcess:
    """A host with a private supervisor below this place, and a cell for each hang."""
    sources = json.dumps([HANGS[name] for name in hangs])
    level = "process" if "child" in hangs else ""  # where a cell can start processes
    return HostProcess(PROGRAM, sources, ending, level, TMPDIR=str(place))


def nothing_left(place: Path, seconds: float = LEFT_SECONDS_MAX) -> None:
    """Neither processes, nor sockets, nor files."""
    until_none(str(place), seconds=seconds)
    until(lambda: not list(place.iterdir()), seconds=0.5, what=f"{place} to be empty")
    # A process that ends loses its command line, by which it is known, before its descriptors.
    until(lambda: not open_sockets(str(place)), seconds=0.5, what=f"no socket in {place}")


@pytest.mark.parametrize("hangs", [("python", "deaf"), ("gil", "pattern"), ("child", "thread"), ()])
def test_a_killed_host_leaves_nothing(place: Path, hangs: tuple[str, ...]) -> None:
    host = start(place, "killed", *hangs)
    try:
        assert host.hear() == "ready"
        if "child" in hangs:
            assert any("sleep 1000" in line for line in marked(str(place)).values())
        assert len(marked(str(place))) >= 2 + len(hangs)
        host.kill()
        nothing_left(place)
    finally:
        host.close()


@pytest.mark.parametrize("sign", ["supervisor.log", "lock", "journal.db", "run/host.sock"])
def test_a_host_killed_while_it_starts_leaves_nothing(place: Path, sign: str) -> None:
    host = start(place, "killed")
    try:
        until(lambda: list(place.glob(f"tidemark-*/{sign}")) and marked(str(place)))
        host.kill()
        nothing_left(place)
    finally:
        host.close()


@pytest.mark.parametrize("ending", ["left", "left open", "killed"])
def test_a_killed_supervisor_takes_its_workers_with_it_and_leaves_nothing_to_its_successor(
    place: Path, ending: str
) -> None:
    host = start(place, "supervisor killed", "python", "gil", "child")
    try:
        assert host.hear() == "ready"
        before = marked(str(place))
        former = [killed(place)]
        until(lambda: not any(map(alive, before)), seconds=LEFT_SECONDS_MAX)
        former.append(successor(place, *former))
        os.kill(former[-1], signal.SIGKILL)
        successor(place, *former)
        if ending != "killed":
            host.say()
            assert host.hear() == "from the successor"
            host.say(ending)
            assert host.process.wait(10) == 0
        else:
            host.kill()
        nothing_left(place)
    finally:
        host.close()


@pytest.mark.parametrize("victims", [("host",), ("supervisor",), ("host", "supervisor")])
def test_sockets_that_had_to_be_elsewhere_are_not_left(
    place: Path, victims: tuple[str, ...]
) -> None:
    deep = place / ("long" * 24)
    deep.mkdir()
    host = start(deep, "killed", "python")
    try:
        assert host.hear() == "ready"
        (told,) = deep.glob("tidemark-*/supervisor.json")
        facts = json.loads(told.read_text())
        run = Path(facts["run"])
        assert run.exists()
        assert not run.is_relative_to(place)
        for who in victims:
            os.kill(facts["pid"] if who == "supervisor" else host.process.pid, signal.SIGKILL)
        until(lambda: not run.exists(), seconds=LEFT_SECONDS_MAX)
        if "host" not in victims:
            successor(deep, facts["pid"])
            elsewhere = until(lambda: told.exists() and json.loads(told.read_text())["run"])
            assert Path(elsewhere).exists()
            host.say()  # it ends by itself
            until(lambda: not Path(elsewhere).exists(), seconds=LEFT_SECONDS_MAX)
        nothing_left(deep)
    finally:
        host.close()


def test_a_killed_zygote_takes_its_workers_with_it(place: Path) -> None:
    host = start(place, "killed", "python", "thread")
    try:
        assert host.hear() == "ready"
        workers = [pid for pid, line in marked(str(place)).items() if "worker" in line]
        os.kill(zygote_of(str(place)), signal.SIGKILL)
        until(lambda: not any(map(alive, workers)), seconds=LEFT_SECONDS_MAX)
        host.kill()
        nothing_left(place)
    finally:
        host.close()


@pytest.mark.parametrize(("ending", "status"), [("closed", 0), ("raised", 1), ("left open", 0)])
def test_a_host_that_ends_by_itself_leaves_nothing(place: Path, ending: str, status: int) -> None:
    host = start(place, ending, "python", "child")
    try:
        host.hear()
        assert host.process.wait(10) == status
        nothing_left(place)
    finally:
        errors = host.close()
    assert ("the block failed" in errors) == (ending == "raised")
    assert errors == "" or ending == "raised"


@pytest.mark.parametrize("ending", ["interrupted", "asyncio"])
def test_ctrl_c_ends_a_host_cleanly(place: Path, ending: str) -> None:
    host = start(place, ending, "python", "child")
    try:
        assert host.hear() == "ready"
        started = time.monotonic()
        host.process.send_signal(signal.SIGINT)
        assert host.process.wait(10) in (-signal.SIGINT, 130)
        assert time.monotonic() - started < 2 * LEFT_SECONDS_MAX
        nothing_left(place)
    finally:
        errors = host.close()
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert errors.count("Traceback") == 1 or ending == "asyncio"


def test_a_stopped_supervisor_is_ended_too_when_its_host_closes(place: Path) -> None:
    host = start(place, "killed", "python")
    try:
        assert host.hear() == "ready"
        lines = marked(str(place)).items()
        (supervisor,) = [pid for pid, line in lines if "tidemark.supervisor" in line]
        os.kill(supervisor, signal.SIGSTOP)
        host.kill()
        os.kill(supervisor, signal.SIGCONT)
        nothing_left(place)
    finally:
        host.close()
