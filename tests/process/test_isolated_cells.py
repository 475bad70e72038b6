"""Cells at restricted and sealed, seen from outside."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import zmq
from tidemark.protocol.ids import Incarnation
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import CellKind, Reason
from tidemark.protocol.worker_messages import Adopt, Emitted, Finished, Hello, Paused
from tidemark.protocol.zygote_messages import Fork, ForkFailed, Living, Quit
from tidemark.worker.exits import EXIT_CUT_OFF

from fakes.isolation import NOBODYS_NUMBER, zygote
from fakes.process_watch import alive
from fakes.supervisor_end import CellEnd, ZygoteEnd, ended, result
from fakes.waiting import until

PLACES = [(level, who) for level in ("restricted", "sealed") for who in ("root", "user")]
NAMESPACES = ("ipc", "mnt", "net", "pid", "uts")


@pytest.fixture(scope="module", params=PLACES, ids="-as-".join)
def house(request: pytest.FixtureRequest) -> Iterator[tuple[str, str, ZygoteEnd]]:
    level, who = request.param
    with zygote(level, who) as end:
        yield level, who, end


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


HARMLESS = {"/dev/null", "/dev/urandom", "socket", "anon_inode"}


def targets(pid: int) -> set[str]:
    """What the descriptors of a process lead to."""
    names = os.listdir(f"/proc/{pid}/fd")
    return {os.readlink(f"/proc/{pid}/fd/{name}").partition(":")[0] for name in names}


def said(cell: CellEnd, source: str) -> str:
    cell.start(source)
    output, finished = cell.finish()
    assert finished.reason is Reason.ENDED, finished.error
    return "".join(output)


def test_what_a_cell_is_in_the_eyes_of_the_system(house: tuple[str, str, ZygoteEnd]) -> None:
    level, who, end = house
    cells = [end.fork(), end.fork()]
    pids = [end.pids[cell.token] for cell in cells]
    users = set()
    for pid in pids:
        found = status(pid)
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            if name != "CapBnd" or (level, who) != ("restricted", "user"):
                assert int(found[name], 16) == 0, name
        assert found["NoNewPrivs"] == "1"
        assert found["Seccomp"] == "2"
        users.update(found["Uid"].split())
        own = {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in NAMESPACES}
        outside = {name: os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES}
        same = {name for name in NAMESPACES if own[name] == outside[name]}
        assert same == (set() if level == "sealed" else set(NAMESPACES))
        # It says Hello while its main thread still limits the memory.
        until(lambda pid=pid: targets(pid) <= HARMLESS, what=f"descriptors: {targets(pid)}")
    if who == "root":
        assert len(users) == 2
        assert "0" not in users
    else:
        assert users == {str(NOBODYS_NUMBER)}
    for name in ("pid", "mnt", "ipc"):
        links = {os.readlink(f"/proc/{pid}/ns/{name}") for pid in pids}
        assert len(links) == (2 if level == "sealed" else 1)
    for cell in cells:
        cell.start("pass")
        cell.finish()


def test_what_a_cell_can_use(house: tuple[str, str, ZygoteEnd]) -> None:
    source = """
import asyncio, decimal, os, sqlite3, ssl, tempfile, threading, zoneinfo
with tempfile.TemporaryFile() as file:
    file.write(b"x")
with sqlite3.connect("own.db") as connection:
    connection.execute("create table own (number)")
with open(os.path.join(os.getcwd(), "own.txt"), "w") as file:
    file.write("x")
ssl.create_default_context()
zoneinfo.ZoneInfo("Europe/Berlin")
os.urandom(8)
print(*sorted(os.listdir(".")), await asyncio.to_thread(lambda: "thread"))
os.remove("own.txt")
"""
    assert said(house[2].fork(), source) == "own.db own.txt thread\n"
    assert said(house[2].fork(), "import os\nprint(len(os.listdir('.')))") == "0\n"


def test_what_a_cell_cannot_do_fails_and_says_why(house: tuple[str, str, ZygoteEnd]) -> None:
    source = """
import asyncio, ctypes, os, socket, subprocess
def tried(act):
    try:
        act()
    except OSError as error:
        print(f"{type(error).__name__}: {error}")
    else:
        print("done")
for act in (os.fork, lambda: subprocess.run(["true"]), lambda: os.system("true")):
    tried(act)
for act in (socket.socket, lambda: socket.create_connection(("127.0.0.1", 9))):
    tried(act)
tried(lambda: os.kill(1 if os.getpid() > 1 else 2, 0))
tried(lambda: open("/etc/shadow"))
print(str(ctypes.CDLL(None).fork()))
"""
    level, _, end = house
    lines = said(end.fork(), source).splitlines()
    for line in lines[:3]:
        assert line.startswith("PermissionError")
        assert f"a cell at level {level} may start no processes" in line
    for line in lines[3:5]:
        assert f"a cell at level {level} has no network" in line
    assert "done" not in lines
    assert lines[-1] == "-1"


def test_memory_files_and_descriptors_are_bounded(house: tuple[str, str, ZygoteEnd]) -> None:
    level, who, end = house
    bounds = Limits(
        memory_bytes=300 * 2**20, open_files=20, file_bytes=100_000, work_bytes=2**20, processes=12
    )
    sources = {
        "memory_bytes": "x = bytearray(1 << 30)",
        "open_files": "x = [open('/dev/null') for _ in range(200)]",
        "file_bytes": "open('big', 'wb', buffering=0).write(bytes(200_000)) and None\n"
        "open('big', 'ab', buffering=0).write(b'x')",
    }
    if level == "sealed":
        sources["work_bytes"] = "for n in range(40): open(str(n), 'wb').write(bytes(90_000))"
    if (level, who) != ("restricted", "user"):
        sources["processes"] = (
            "import threading\nnever = threading.Event()\n"
            "for _ in range(100): threading.Thread(target=never.wait, daemon=True).start()"
        )
    for name, source in sources.items():
        cell = end.fork(bounds)
        cell.start(source)
        _, finished = cell.finish()
        assert finished.reason is Reason.LIMIT, (name, finished.error)
        assert (finished.error or "").startswith(f"LimitExceededError: {name}: at most ")


def test_processor_time_beyond_the_limit_is_told(house: tuple[str, str, ZygoteEnd]) -> None:
    end = house[2]
    cell = end.fork(Limits(cpu_seconds=1))
    cell.start("while True: pass")
    found = end.end_of(cell.token)
    assert not found.killed
    assert found.status < 0
    assert found.limit == "cpu_seconds"
    assert found.used in (1, 2, 3)


def test_a_worker_is_adopted_or_gives_way_to_its_replay(house: tuple[str, str, ZygoteEnd]) -> None:
    level, _, end = house
    paused, busy = end.fork(), end.fork()
    paused.start("print(await tools.search())", CellKind.PAUSABLE)
    paused.until(Paused)
    busy.start("print('on'); yield_control()\nwhile True: pass")
    busy.until(Emitted)
    end.router.close()
    if level == "restricted":
        for cell in (paused, busy):
            found = end.end_of(cell.token)
            assert (found.status, found.killed) == (EXIT_CUT_OFF, False)
            assert "cannot connect again" in found.reason
    end.router = end.bind()
    if level == "sealed":
        for cell in (paused, busy):
            until(lambda cell=cell: connected(cell), what="it connects again")  # type: ignore[misc]
            assert cell.receive(Hello).started
        paused.continue_(1, 1, result(1, 1, "tide"))
        before, finished = paused.until(Finished)
        assert [item.content for item in before if isinstance(item, Emitted)] == ["tide\n"]
        assert finished.reason is Reason.ENDED
        paused.bye()
        os.kill(end.pids[busy.token], signal.SIGKILL)
        end.end_of(busy.token)


def connected(cell: CellEnd) -> bool:
    """Ask a worker who it is, if it has a connection."""
    try:
        cell.send(Adopt(cell.zygote.epoch, cell.have, 1))
    except zmq.ZMQError:  # nobody of this name
        return False
    return True


def test_a_new_supervisor_is_told_who_lives(house: tuple[str, str, ZygoteEnd]) -> None:
    end = house[2]
    cell = end.fork()
    end.report = None
    end.take_command(end.epoch + 1)
    living = end.hear()
    while not isinstance(living, Living):
        living = end.hear()
    assert living.workers == ((cell.token, end.pids[cell.token]),)
    assert end.report is not None
    assert end.report.level == house[0]
    assert alive(end.pids[cell.token])
    cell.start("pass")
    cell.finish()


@pytest.mark.parametrize(("level", "who"), PLACES)
@pytest.mark.parametrize("victim", ["the zygote", "the guardian"])
def test_workers_die_with_the_zygote(level: str, who: str, victim: str) -> None:
    with zygote(level, who) as end:
        cells = [end.fork(), end.fork()]
        pidfds = [end.pidfds[cell.token] for cell in cells]
        inner = psutil.Process(end.pids[cells[0].token]).ppid()
        family = {end.process.pid, inner, psutil.Process(inner).ppid()}
        os.kill(inner if victim == "the zygote" else end.process.pid, signal.SIGKILL)
        assert all(ended(pidfd, 5) for pidfd in pidfds)
        end.process.wait(5)
        family.discard(os.getpid())
        until(lambda: not any(alive(pid) for pid in family))


@pytest.mark.parametrize(("level", "who"), PLACES)
def test_nothing_is_left_behind(level: str, who: str) -> None:
    with zygote(level, who) as end:
        cell = end.fork()
        cell.start("open('left', 'w').write('x')\nprint('on')\nawait asyncio.Event().wait()")
        cell.until(Emitted)
        descriptors = os.scandir(f"/proc/{end.process.pid}/fd")
        links = [os.readlink(each.path) for each in descriptors]
        (ground,) = [link for link in links if link.startswith("/tmp/tidemark-zygote-")]
        assert os.path.isdir(ground)
        end.tell(Quit())
        assert end.process.wait(10) == 0
        assert ended(end.pidfds[cell.token], 0)
        assert not os.path.exists(end.path)
        assert not os.path.exists(ground)
        assert not os.path.exists(f"{os.path.dirname(end.path)}/workers/self-test.sock")


def test_user_numbers_that_are_used_up_are_a_refusal_and_come_back() -> None:
    with zygote("sealed", "root", "--uid-range", "1879060000-1879060000") as end:
        first = end.fork()
        found = status(end.pids[first.token])["Uid"].split()
        assert set(found) == {"1879060000"}
        token = bytes(16)
        end.tell(Fork(token, "c1", Incarnation(1, 99), end.endpoint, Limits()))
        failed = end.hear()
        assert isinstance(failed, ForkFailed)
        assert "--uid-range" in failed.reason
        first.start("pass")
        first.finish()
        end.fork()


def test_a_socket_elsewhere_is_a_refusal() -> None:
    with zygote("sealed", "root") as end:
        end.hear()
        end.tell(Fork(bytes(16), "c1", Incarnation(1, 99), "ipc:///tmp/x.sock", Limits()))
        failed = end.hear()
        assert isinstance(failed, ForkFailed)
        assert "--workers" in failed.reason


@pytest.mark.parametrize("level", ["process", "restricted", "sealed"])
def test_packages_from_elsewhere_and_preloading(level: str, place: Path) -> None:
    place.chmod(0o755)
    packages = place / "packages"
    packages.mkdir(0o755)
    (packages / "from_elsewhere.py").write_text("WORD = 'tide'\n")
    options = ("--package-path", str(packages), "--preload", "wave")
    with zygote(level, "root", *options) as end:
        source = "import sys\nprint(str('wave' in sys.modules))\nimport from_elsewhere as e"
        source += "\nprint(e.WORD)"
        assert said(end.fork(), source) == "True\ntide\n"
