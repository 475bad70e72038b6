"""The zygote: it forks, guards, hands over, kills, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tidemark.protocol.ids import Incarnation
from tidemark.protocol.packed import CellKind
from tidemark.protocol.worker_messages import Finished, Paused, Waited
from tidemark.protocol.zygote_messages import Ended, Forget, Fork, Forked, Kill, Living, Quit
from tidemark.worker import real, scratch
from tidemark.worker.janitors import Janitors

from fakes.supervisor_end import ZygoteEnd, ended, only_without_walls, result
from fakes.waiting import until

BUSY = {
    "python-loop": "print('on'); yield_control()\nwhile True: pass",
    "gil-held-in-c": (
        "print('on'); yield_control()\nimport re\nre.match('(a+)+$', 'a' * 64 + 'b')"
    ),
    "signals-blocked": (
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n"
        "print('on'); yield_control()\nwhile True: pass"
    ),
}


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tm", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture
def zygote(place: Path) -> Iterator[ZygoteEnd]:
    end = ZygoteEnd(place)
    yield end
    end.close()


def bystander() -> subprocess.Popen[bytes]:
    """A process that lives until it is killed."""
    return subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])


def test_command_is_answered_with_the_ended_and_the_living(zygote: ZygoteEnd) -> None:
    assert zygote.hear() == Living((), True)
    lives, dies = zygote.fork(), zygote.fork()
    zygote.tell(Kill(dies.token))
    end = zygote.end_of(dies.token)
    assert (end.status, end.killed) == (-signal.SIGKILL, True)
    assert end.memory_bytes > 1_000_000
    zygote.post.close()
    zygote.take_command(2)
    # Ends before lives: so a supervisor that has heard the lives knows of every worker.
    assert zygote.hear() == end
    assert zygote.hear() == Living(((lives.token, zygote.pids[lives.token]),), True)
    zygote.tell(Forget(dies.token))
    zygote.take_command(3)
    assert isinstance(zygote.hear(), Living)
    zygote.tell(Kill(lives.token))
    assert zygote.hear() == zygote.end_of(lives.token)


def test_a_newer_supervisor_takes_over_and_an_older_one_is_refused(zygote: ZygoteEnd) -> None:
    former = zygote.post
    zygote.take_command(5)
    # Report and Living, said before it was displaced.
    assert former.recv(100) != b""
    assert former.recv(100) != b""
    assert former.recv(100) == b""
    current = zygote.post
    zygote.take_command(4)
    assert zygote.post.recv(100) == b""
    zygote.post, zygote.epoch = current, 5
    zygote.hear()
    zygote.fork()


def test_a_connection_without_command_may_say_nothing(zygote: ZygoteEnd) -> None:
    current = zygote.post
    zygote.post = zygote.connect()
    zygote.tell(Quit())
    assert zygote.post.recv(100) == b""
    zygote.post = zygote.connect()
    zygote.post.send(b"nonsense")
    assert zygote.post.recv(100) == b""
    zygote.post = current
    zygote.fork()


def test_a_repeated_fork_makes_no_second_worker(zygote: ZygoteEnd) -> None:
    cell = zygote.fork()
    pid = zygote.pids[cell.token]
    zygote.tell(Fork(cell.token, cell.cell, Incarnation(1, 1), zygote.endpoint, cell.limits))
    assert zygote.hear() == Forked(cell.token, pid)


@only_without_walls
def test_a_worker_inherits_nothing(zygote: ZygoteEnd) -> None:
    source = """
import json, os, signal
text(json.dumps({
    "files": sorted(
        {os.readlink(f"/proc/self/fd/{n}").split(":")[0]
         for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")}),
    "environment": sorted(os.environ),
    "session": os.getsid(0) == os.getpid(),
    "parent": os.getppid(),
    "here": os.listdir("."),
    "where": os.getcwd(),
    "ignored": [n.name for n in signal.valid_signals() if signal.getsignal(n) == signal.SIG_IGN],
    "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "main": [__name__, __import__("sys").modules["__main__"].__name__],
    "threads": __import__("threading").active_count(),
    "core": __import__("resource").getrlimit(4),
}))
open("left", "w").write("x")
os.makedirs("a/b/c")
"""
    zygote.fork().start("while True: pass")
    cell = zygote.fork()
    cell.start(source)
    output, _ = cell.finish()
    seen = json.loads(output[0])
    kinds = {name for name in seen["files"] if not name.startswith("/proc/")}
    assert kinds <= {"/dev/null", "anon_inode", "socket"}, kinds
    allowed = ("PATH", "HOME", "TZ", "LANG", "LANGUAGE", "LC_", "PYTHON")
    assert all(name.startswith(allowed) for name in seen["environment"])
    assert seen["session"]
    assert seen["parent"] == zygote.process.pid
    assert seen["here"] == []
    assert seen["ignored"] == ["SIGPIPE", "SIGXFSZ"]  # as in every Python
    assert seen["blocked"] == 0
    assert seen["main"] == ["__main__", "__main__"]
    assert seen["threads"] == 1
    assert seen["core"] == [0, 0]
    until(lambda: not os.path.exists(seen["where"]), what="the worker's directory is removed")


@only_without_walls
def test_what_a_worker_has_started_ends_with_it(zygote: ZygoteEnd) -> None:
    source = """
import subprocess, os
sleep = ["sleep", "1000"]
pids = [subprocess.Popen(sleep).pid, subprocess.Popen(sleep, start_new_session=True).pid]
command = "setsid sleep 1000 >/dev/null 2>&1 & echo $!"
out = subprocess.run(["sh", "-c", command], capture_output=True)
pids.append(int(out.stdout))
print(pids)
yield_control()
await tools.search()
"""
    cell = zygote.fork()
    cell.start(source)
    output, _ = cell.texts(Waited)
    pids = json.loads(output[0])
    assert all(psutil.pid_exists(pid) for pid in pids)
    zygote.tell(Kill(cell.token))
    zygote.end_of(cell.token)
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids), seconds=2)
    assert psutil.Process(zygote.process.pid).children() == []


@only_without_walls
def test_no_zombies_when_a_cell_leaves_children_that_end_later(zygote: ZygoteEnd) -> None:
    cell = zygote.fork()
    cell.start("import subprocess\nfor _ in range(5): subprocess.Popen(['sleep', '0.05'])\n")
    cell.finish()
    zygote_process = psutil.Process(zygote.process.pid)
    until(lambda: not zygote_process.children(recursive=True), seconds=2)


def test_who_removes_files_keeps_no_sockets_of_the_zygote(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take long, and a supervisor sees by them that its zygote has ended."""
    here, there = socket.socketpair()
    (place / "full" / "of").mkdir(parents=True)

    def remove(_: str) -> None:
        real.sleep(0.3)  # what takes long

    monkeypatch.setattr(scratch, "remove", remove)
    with here, there:
        Janitors(os.fork).sweep(str(place / "full"))
        here.close()
        there.settimeout(0.2)
        assert there.recv(1) == b""
    os.wait()


@pytest.mark.parametrize("busy", BUSY)
def test_workers_die_with_their_zygote(zygote: ZygoteEnd, busy: str) -> None:
    cell = zygote.fork()
    cell.start(BUSY[busy])
    cell.item()
    zygote.process.kill()
    assert ended(zygote.pidfds[cell.token], 2)


@pytest.mark.parametrize("busy", BUSY)
def test_a_private_zygote_ends_with_its_supervisor(place: Path, busy: str) -> None:
    host, supervisor = bystander(), bystander()
    inner = place / "private"
    options = ("--private", "--host-pid", str(host.pid), "--directory", str(inner))
    zygote = ZygoteEnd(inner, *options, supervisor_pid=supervisor.pid)
    cell = zygote.fork()
    cell.start(BUSY[busy])
    cell.item()
    host.kill(), supervisor.kill()
    host.wait(), supervisor.wait()
    zygote.post.close()
    assert ended(zygote.pidfds[cell.token], 2)
    assert zygote.process.wait(2) == 0
    assert not inner.exists()
    zygote.close()


def test_a_frozen_supervisor_whose_host_is_gone_holds_nothing_up(place: Path) -> None:
    host, supervisor = bystander(), bystander()
    inner = place / "private"
    options = ("--private", "--host-pid", str(host.pid), "--directory", str(inner))
    zygote = ZygoteEnd(inner, *options, supervisor_pid=supervisor.pid)
    cell = zygote.fork()
    cell.start(BUSY["python-loop"])
    cell.item()
    os.kill(supervisor.pid, signal.SIGSTOP)
    host.kill()
    host.wait()
    assert ended(zygote.pidfds[cell.token], 2)
    assert supervisor.wait(2) == -signal.SIGKILL
    assert zygote.process.wait(2) == 0
    assert not inner.exists()
    zygote.close()


def test_a_private_zygote_leaves_the_directory_to_a_living_host(place: Path) -> None:
    supervisor = bystander()
    inner = place / "private"
    options = ("--private", "--host-pid", str(os.getpid()), "--directory", str(inner))
    zygote = ZygoteEnd(inner, *options, supervisor_pid=supervisor.pid)
    supervisor.kill()
    supervisor.wait()
    zygote.post.close()
    assert zygote.process.wait(5) == 0
    assert inner.exists()
    zygote.close()


def test_a_private_zygote_that_quits_after_its_host_leaves_no_directory(place: Path) -> None:
    host, supervisor = bystander(), bystander()  # this supervisor will never clean up
    inner = place / "private"
    options = ("--private", "--host-pid", str(host.pid), "--directory", str(inner))
    zygote = ZygoteEnd(inner, *options, supervisor_pid=supervisor.pid)
    host.kill()
    host.wait()
    zygote.tell(Quit())
    assert zygote.process.wait(5) == 0
    assert supervisor.wait(2) == -signal.SIGKILL
    assert not inner.exists()
    zygote.close()


def test_a_zygote_whose_supervisor_never_came_ends(place: Path) -> None:
    gone = bystander()
    gone.kill()
    gone.wait()
    path = place / "zygote.sock"
    command = [sys.executable, "-P", "-m", "tidemark.worker", "--socket", str(path)]
    options = ["--supervisor-pid", str(gone.pid), "--orphan-seconds", "0.1"]
    assert subprocess.run([*command, *options], timeout=10, check=False).returncode == 0
    assert not path.exists()


def test_workers_outlive_their_supervisor_for_a_while(place: Path) -> None:
    zygote = ZygoteEnd(place, "--orphan-seconds", "0.7")
    cell = zygote.fork()
    cell.start("print(await tools.search())", CellKind.PAUSABLE)
    cell.until(Paused)
    zygote.post.close()
    assert not ended(zygote.pidfds[cell.token], 0.3)
    zygote.take_command(2)
    assert not ended(zygote.pidfds[cell.token], 0.8)
    cell.adopt(2, cell.have)
    cell.continue_(1, 1, result(1, 1, "x"))
    cell.until(Finished)
    zygote.post.close()
    assert ended(zygote.pidfds[cell.token], 5)
    assert zygote.process.wait(5) == 0
    zygote.close()


@pytest.mark.parametrize("way", ["quit", "sigterm"])
def test_quit_kills_every_worker(zygote: ZygoteEnd, way: str) -> None:
    cells = [zygote.fork() for _ in range(3)]
    for cell in cells:
        cell.start("while True: pass")
    if way == "quit":
        zygote.tell(Quit())
    else:
        zygote.process.terminate()
    assert all(ended(zygote.pidfds[cell.token], 2) for cell in cells)
    assert zygote.process.wait(5) == 0


def test_a_terminal_interrupt_leaves_the_zygote_alone(zygote: ZygoteEnd) -> None:
    assert os.getsid(zygote.process.pid) == zygote.process.pid
    zygote.process.send_signal(signal.SIGINT)
    zygote.fork()


def test_a_second_zygote_on_the_same_socket_is_refused(zygote: ZygoteEnd) -> None:
    command = [sys.executable, "-P", "-m", "tidemark.worker", "--socket", zygote.path]
    command += ["--supervisor-pid", str(os.getpid())]
    refused = subprocess.run(command, timeout=10, check=False, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "Address already in use" in refused.stderr
    zygote.fork()


def test_a_socket_that_a_dead_zygote_has_left_is_replaced(place: Path) -> None:
    first = ZygoteEnd(place)
    first.process.kill()
    first.process.wait()
    assert os.path.exists(first.path)
    first.close()
    second = ZygoteEnd(place)
    second.fork()
    second.close()


@only_without_walls
def test_a_killed_worker_is_told_once_with_its_signal(zygote: ZygoteEnd) -> None:
    cell = zygote.fork()
    os.kill(zygote.pids[cell.token], signal.SIGSEGV)
    end = zygote.end_of(cell.token)
    assert isinstance(end, Ended)
    assert (end.status, end.killed) == (-signal.SIGSEGV, False)
