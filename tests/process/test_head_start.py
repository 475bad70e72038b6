"""What is started before the command line has been read, and its zygote, before all else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from fakes.command_line import environment, program, tidemark
from fakes.process_watch import marked, until_none
from fakes.waiting import until

LEFT_SECONDS_MAX = 5.0
ENDED_BEFORE_ITS_SUPERVISOR = """
import os, signal, sys
from tidemark.client import _head_start

number = int(sys.argv[1])
signal.signal(number, signal.SIG_DFL)  # under nohup SIGHUP is ignored
spawn = os.posix_spawn
def and_be_ended(*arguments, **options):
    os.kill(os.getpid(), number)
    return spawn(*arguments, **options)
os.posix_spawn = and_be_ended
_head_start.begin(None)
"""


def below(hello: Path) -> dict[str, str]:
    return environment(TMPDIR=str(hello.parent / "tmp"))


def nothing_is_left(hello: Path) -> None:
    temporary = hello.parent / "tmp"
    until_none(str(temporary), seconds=LEFT_SECONDS_MAX)
    until(lambda: not list(temporary.iterdir()), what="temporary directories")


def started(hello: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A run, as soon as its supervisor's directory is there."""
    command = subprocess.Popen(
        [program(), "run", str(hello), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=below(hello),
    )
    until(lambda: list((hello.parent / "tmp").glob("tidemark-*")), what="a directory")
    return command


@pytest.mark.parametrize("wrong", [["--input", "no json"], ["--tools", "/nowhere.py"]])
def test_a_run_that_is_wrong_leaves_nothing(hello: Path, wrong: list[str]) -> None:
    ran = tidemark("run", hello, *wrong, env=below(hello))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr
    nothing_is_left(hello)


@pytest.mark.parametrize("sign", ["lock", "run", "journal.db", "run/host.sock"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_while_it_starts_leaves_nothing(
    hello: Path, sign: str, number: int
) -> None:
    with started(hello) as command:
        until(lambda: list((hello.parent / "tmp").glob(f"tidemark-*/{sign}")), what=sign)
        command.send_signal(number)
        command.communicate(timeout=20)
    assert command.returncode != 0
    nothing_is_left(hello)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_end_between_a_directory_and_who_removes_it_leaves_nothing(
    hello: Path, number: int
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ENDED_BEFORE_ITS_SUPERVISOR, str(int(number))],
        env=below(hello),
        timeout=30,
        check=False,
    )
    assert ended.returncode == -number
    nothing_is_left(hello)


def test_a_supervisor_that_is_killed_at_once_is_replaced(hello: Path) -> None:
    with started(hello) as command:
        temporary = str(hello.parent / "tmp")

        def supervisors() -> list[int]:
            return [pid for pid, line in marked(temporary).items() if "tidemark.supervisor" in line]

        until(supervisors, what="the supervisor")
        os.kill(supervisors()[0], signal.SIGKILL)
        said, told = command.communicate(timeout=30)
    assert (command.returncode, said) == (0, b"hello\n"), told
    nothing_is_left(hello)


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_run_without_one_of_the_standard_files(hello: Path, closed: int) -> None:
    """What is opened in their place must not become the supervisor's."""
    redirected = {0: "<&-", 1: ">&-", 2: "2>&-"}[closed]
    ran = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirected}', "sh", program(), "run", str(hello)],
        capture_output=True,
        env=below(hello),
        timeout=30,
        check=False,
    )
    assert ran.stdout == (b"" if closed == 1 else b"hello\n")
    nothing_is_left(hello)


def test_what_the_command_was_given_is_not_handed_on(hello: Path) -> None:
    """Descriptors that a shell has opened for a command are not its supervisor's."""
    hello.write_text("print('here')\nawait asyncio.sleep(1000)\n")
    reading, writing = os.pipe()
    with subprocess.Popen(
        [program(), "run", str(hello)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=below(hello),
        pass_fds=(writing,),
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == b"here\n"
        pipe = os.fstat(writing).st_ino
        assert pipe in inodes(command.pid)
        others = marked(str(hello.parent / "tmp")).keys() - {command.pid}
        assert len(others) >= 2
        assert not [pid for pid in others if pipe in inodes(pid)]
        command.send_signal(signal.SIGINT)
    os.close(reading)
    os.close(writing)
    nothing_is_left(hello)


def inodes(pid: int) -> set[int]:
    """Of what a process has open."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(descriptor.stat().st_ino)
    return found


def test_a_supervisor_that_cannot_serve_ends_its_zygote(place: Path) -> None:
    """It was on its way before the environment had been looked at."""
    state = place / "state"
    state.mkdir()
    own = ["--private", "--host-pid", str(os.getpid())]
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "tidemark.supervisor", "--state", str(state), *own],
        input=b"",
        capture_output=True,
        env={**os.environ, "TIDEMARK_PRECEDENCE": "sometimes"},
        timeout=30,
        check=False,
    )
    assert ran.returncode == 1
    assert b"first or usual" in ran.stderr
    assert (state / "run").is_dir()  # made ready for the zygote
    assert not marked(str(state))


def test_the_hosts_directory_is_not_the_zygotes(hello: Path) -> None:
    """Neither as a place to import from, nor as one that is kept from being removed."""
    (hello.parent / "stray.py").touch()
    hello.write_text(
        "try:\n    import stray\nexcept ImportError:\n    print('none')\n"
        "await asyncio.sleep(1000)\n"
    )
    with subprocess.Popen(
        [program(), "run", "--isolation", "process", str(hello)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**below(hello), "PYTHONPATH": "/nowhere:"},  # the empty one is where a process begins
        cwd=hello.parent,
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == b"none\n"
        others = marked(str(hello.parent / "tmp")).keys() - {command.pid}
        places = {os.readlink(f"/proc/{pid}/cwd") for pid in others}
        assert places
        assert str(hello.parent) not in places
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=20)
    nothing_is_left(hello)


@pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/proc/self/autogroup").exists(),
    reason="only root may, and with autogroups",
)
def test_a_zygote_ends_its_haste_though_its_supervisor_be_late(place: Path) -> None:
    state = place / "state"
    state.mkdir()
    own = ["--private", "--host-pid", str(os.getpid()), "--expect", "process"]
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "tidemark.supervisor", "--state", str(state), *own],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as supervisor:
        until(lambda: psutil.Process(supervisor.pid).children(), what="its zygote")
        supervisor.send_signal(signal.SIGSTOP)
        (zygote,) = psutil.Process(supervisor.pid).children()

        def niceness() -> str:
            return Path(f"/proc/{zygote.pid}/autogroup").read_text().split()[-1]

        until(lambda: (state / "run" / "zygote-process.sock").exists(), what="its socket")
        until(lambda: niceness() == "0", what="the end of its haste")
        supervisor.send_signal(signal.SIGCONT)
        until(lambda: (state / "supervisor.json").exists(), what="the supervisor")
        assert niceness() == "0"
        assert supervisor.stdin is not None
        supervisor.stdin.close()
        supervisor.wait(timeout=20)
    until_none(str(state), seconds=LEFT_SECONDS_MAX)
