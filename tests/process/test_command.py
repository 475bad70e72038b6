"""The installed `tidemark` command with real supervisors and cells."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.command_line import AtTerminal, at_terminal, environment, objects, program, tidemark
from fakes.process_watch import marked, until_none
from fakes.running_supervisor import RunningSupervisor
from fakes.waiting import until

TOOLS = '''
import threading

DOORS = [threading.Event(), threading.Event()]

def fast(word: str) -> str:
    """Back at once."""
    return word.upper()

def slow(word: str) -> str:
    """Never back."""
    threading.Event().wait()
    return word
'''
TWO_CALLS = """
print(await tools.fast(word="tide"))
print(await tools.fast(word="mark"))
exit({"words": 2})
"""
ENDLESS = "text('begins')\nyield_control()\nwhile True: pass\n"


@pytest.fixture
def files(place: Path) -> Path:
    """A directory with a few cells, tools, and room for temporary directories."""
    texts = {
        "tools.py": TOOLS,
        "hello.py": "print('hello')\n",
        "two.py": TWO_CALLS,
        "endless.py": ENDLESS,
        "fails.py": "print('before')\ndef f():\n    return 1 / 0\nf()\n",
        "waits.py": "await tools.slow(word='x')\n",
        "sleeps.py": "text('begins')\nawait asyncio.sleep(1000)\n",
        "stuck.py": "await asyncio.Future()\n",
        "input.py": "text(word * times)\n",
    }
    for name, text in texts.items():
        (place / name).write_text(text)
    (place / "tmp").mkdir()
    return place


@contextlib.contextmanager
def run_at_terminal(files: Path, *arguments: object) -> Iterator[AtTerminal]:
    with at_terminal("run", *arguments, TMPDIR=str(files / "tmp")) as command:
        yield command


def nothing_is_left(files: Path) -> None:
    until_none(str(files / "tmp"), seconds=5)
    until(lambda: not list((files / "tmp").iterdir()), what="temporary directories")


# -- run in a pipe --------------------------------------------------------------------------------


def test_hello(files: Path) -> None:
    env = environment(TMPDIR=str(files / "tmp"))
    ran = tidemark("run", files / "hello.py", env=env)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "hello\n", "")
    nothing_is_left(files)


def test_standard_input_and_inputs(files: Path) -> None:
    ran = tidemark("run", "-", "--input", "n=[6, 7]", stdin="text(n[0] * n[1])\n")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "42\n", "")
    ran = tidemark("run", files / "input.py", "--input", 'word="ha"', "--input", "times=3")
    assert (ran.returncode, ran.stdout) == (0, "hahaha\n")


def test_a_cell_that_fails(files: Path) -> None:
    ran = tidemark("run", files / "fails.py")
    assert (ran.returncode, ran.stdout) == (1, "before\n")
    assert ran.stderr.startswith("Traceback (most recent call last):\n")
    assert ran.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert "return 1 / 0" in ran.stderr
    assert "tidemark" not in ran.stderr
    ran = tidemark("run", "-", stdin="print(6 * 7")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "SyntaxError" in ran.stderr


def test_every_frontier_is_printed_and_resumed(files: Path) -> None:
    ran = tidemark("run", files / "two.py", "--tools", files / "tools.py", "--pausable")
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert re.fullmatch(r"generation 1: paused at \d\d:\d\d:\d\d, waiting on 1 call", lines[0])
    assert lines[1] == "  tool-1  fast(word='tide')  new"
    assert [line for line in lines if line.isupper()] == ["TIDE", "MARK"]
    assert lines[-1] == "MARK"
    assert "\x1b" not in ran.stdout


def test_json_has_an_object_for_each_fact(files: Path) -> None:
    ran = tidemark("run", files / "two.py", "--tools", files / "tools.py", "--pausable", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    found = objects(ran.stdout)
    assert [each["type"] for each in found] == [
        "created",
        *("frontier", "resumed", "text"),
        *("frontier", "resumed", "text"),
        "completed",
    ]
    assert [each["generation"] for each in found if each["type"] == "frontier"] == [1, 2]
    assert found[-1]["value"] == {"words": 2}
    assert found[-1]["reason"] == "ended"


@pytest.mark.parametrize(
    ("answers", "status", "told"),
    [
        ("\n\n", 0, ""),
        ("\nq\n", 0, "terminated at generation 2: you quit\n"),
        ("\n", 1, "terminated at generation 2: standard input has ended\n"),
        ("", 1, "terminated at generation 1: standard input has ended\n"),
    ],
)
def test_steps_answered_from_a_pipe(files: Path, answers: str, status: int, told: str) -> None:
    env = environment(TMPDIR=str(files / "tmp"))
    arguments = ["run", files / "two.py", "--tools", files / "tools.py", "--step"]
    ran = tidemark(*arguments, stdin=answers, env=env)
    assert (ran.returncode, ran.stderr) == (status, told)
    assert "Enter" not in ran.stdout
    nothing_is_left(files)


def test_a_stuck_cell_does_not_hang(files: Path) -> None:
    ran = tidemark("run", files / "stuck.py")
    assert ran.returncode == 1
    assert "the cell is stuck" in ran.stderr


def test_a_level_that_cannot_be_had_is_a_failure(files: Path) -> None:
    ran = tidemark("run", files / "hello.py", "--isolation", "restricted")
    if ran.returncode == 0:
        pytest.skip("this machine can give every level")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "restricted" in ran.stderr
    assert "tidemark doctor" in ran.stderr


def test_a_reader_that_goes_away_ends_it_quietly(files: Path) -> None:
    source = files / "many.py"
    source.write_text(
        "for n in range(100):\n    print('x' * 20_000)\n    await asyncio.sleep(0.02)\n"
    )
    command = subprocess.Popen(
        [program(), "run", str(source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(TMPDIR=str(files / "tmp")),
    )
    assert command.stdout is not None
    assert command.stderr is not None
    assert command.stdout.readline().startswith(b"xxx")
    command.stdout.close()
    assert command.wait(20) == 141
    assert command.stderr.read() == b""
    command.stderr.close()
    nothing_is_left(files)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_busy_cell_and_leaves_nothing(files: Path, number: int) -> None:
    command = subprocess.Popen(
        [program(), "run", str(files / "endless.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(TMPDIR=str(files / "tmp")),
        text=True,
    )
    assert command.stdout is not None
    assert command.stdout.readline() == "begins\n"
    command.send_signal(number)
    _, told = command.communicate(timeout=20)
    assert command.returncode == 128 + number
    assert "the cell was terminated" in told
    nothing_is_left(files)


# -- run at a terminal ----------------------------------------------------------------------------


def test_enter_resumes_each_frontier(files: Path) -> None:
    arguments = [files / "two.py", "--tools", files / "tools.py", "--pausable", "--step"]
    with run_at_terminal(files, *arguments) as command:
        command.wait_for("generation 1 paused for")
        assert "tool-1" in command.shown
        command.type("\r")
        command.wait_for("generation 2 paused for")
        assert "TIDE" in command.shown
        command.type("\r")
        assert command.end() == 0
        assert command.shown.rstrip().endswith("MARK")
    nothing_is_left(files)


def test_q_quits(files: Path) -> None:
    with run_at_terminal(
        files, files / "two.py", "--tools", files / "tools.py", "--step"
    ) as command:
        command.wait_for("Enter resumes, q quits")
        command.type("q")
        assert command.end() == 0
        assert "terminated at generation 1: you quit" in command.shown
    nothing_is_left(files)


def test_a_live_line_says_what_is_waited_for(files: Path) -> None:
    with run_at_terminal(files, files / "waits.py", "--tools", files / "tools.py") as command:
        command.wait_for("waiting on tool-1 slow · 1.")
        command.type("\x03")
        assert command.end() == 130
    nothing_is_left(files)


@pytest.mark.parametrize("how", [["--step"], ["--pausable"], []])
def test_ctrl_c_ends_everything(files: Path, how: list[str]) -> None:
    arguments = [files / "waits.py", "--tools", files / "tools.py", *how]
    with run_at_terminal(files, *arguments) as command:
        command.wait_for("slow")
        assert marked(str(files / "tmp"))
        command.type("\x03")
        assert command.end() == 130
        assert "Traceback" not in command.shown
    nothing_is_left(files)


def test_ctrl_c_twice_ends_at_once(files: Path) -> None:
    """A frozen supervisor answers nothing, so that the first one cannot end in order."""
    with run_at_terminal(files, files / "endless.py") as command:
        command.wait_for("begins")
        (directory,) = (files / "tmp").iterdir()
        (supervisor,) = [
            pid for pid, line in marked(str(directory)).items() if "tidemark.supervisor" in line
        ]
        with frozen(supervisor):
            command.type("\x03")
            command.wait_for("another Ctrl-C ends it at once")
            before = time.monotonic()
            command.type("\x03")
            assert command.end() == 130
            assert time.monotonic() - before < 3
    nothing_is_left(files)


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process of ours that is stopped for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


# -- serve, and what asks it ----------------------------------------------------------------------


@pytest.fixture
def served(files: Path) -> Iterator[Path]:
    """The state directory of a running `tidemark serve`."""
    state, told = files / "state", files / "told.txt"
    with (
        told.open("w") as errors,
        subprocess.Popen(
            [program(), "serve", "--state", str(state), "--durability", "crash"],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(),
            text=True,
        ) as server,
    ):
        assert server.stdout is not None
        said = server.stdout.readline()
        assert said, told.read_text()
        assert objects(said)[0]["pid"] == server.pid
        yield state
        server.terminate()
        assert server.wait(20) == 0
    # The zygote would wait 60 s for a successor; a supervisor that takes over ends it.
    RunningSupervisor(state).close()
    until_none(str(state), seconds=10)


def test_a_second_supervisor_says_who_holds_the_directory(served: Path) -> None:
    second = tidemark("serve", "--state", served)
    assert (second.returncode, second.stdout) == (1, "")
    assert "is held by a supervisor (process " in second.stderr


def check_show(cell: str, where: list[object]) -> None:
    shown = tidemark("show", cell, *where)
    assert shown.returncode == 0
    assert re.search(r"^state +paused", shown.stdout, re.MULTILINE)
    assert re.search(r"^isolation +(sealed|restricted|process)$", shown.stdout, re.MULTILINE)
    assert f"next: tidemark resume {cell} 1" in shown.stdout
    (facts,) = objects(tidemark("show", cell, *where, "--json").stdout)
    assert facts["frontier"]["generation"] == facts["generation"] == 1


def check_hibernate(cell: str, where: list[object]) -> None:
    assert tidemark("hibernate", cell, *where).returncode == 0
    (facts,) = objects(tidemark("show", cell, *where, "--json").stdout)
    assert (facts["pid"], facts["frontier"]["generation"]) == (None, 1)


def check_resume(cell: str, where: list[object]) -> None:
    resumed = tidemark("resume", cell, 1, *where)
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert resumed.stdout.startswith("Resumed: generation 1")
    (again,) = objects(tidemark("resume", cell, 1, *where, "--json").stdout)
    assert again == {"type": "AlreadyRunning", "generation": 1, "state": "running", "latest": 1}
    refused = tidemark("resume", cell, 7, *where)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "7" in refused.stderr


def check_watch_and_terminate(cell: str, where: list[object]) -> None:
    watch = [program(), "watch", cell, "--state", str(where[1]), "--json"]
    with subprocess.Popen(watch, stdout=subprocess.PIPE, env=environment(), text=True) as watching:
        assert watching.stdout is not None
        assert objects(watching.stdout.readline())[0]["text"] == "begins"
        ended = tidemark("terminate", cell, *where)
        assert (ended.returncode, ended.stdout.splitlines()[0]) == (0, f"{cell} is terminated")
        rest = objects(watching.stdout.read())
        assert [each["type"] for each in rest] == ["frontier", "terminated"]
        assert watching.wait(10) == 0


def check_history(cell: str, where: list[object]) -> None:
    history = objects(tidemark("history", cell, *where, "--json").stdout)
    whats = [record["what"] for record in history]
    assert whats[0] == "cell created"
    assert whats.index("generation consumed") < whats.index("cell terminated")
    assert len(tidemark("history", cell, *where).stdout.splitlines()) == len(history)


def test_one_cell_from_outside(served: Path, files: Path) -> None:
    where: list[object] = ["--state", served]
    run = [program(), "run", "--pausable", "--step", "--state", str(served)]
    with subprocess.Popen(
        [*run, "--session", "mine", str(files / "sleeps.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    ) as host:
        assert host.stdout is not None
        until(lambda: "generation 1" in (host.stdout.readline() if host.stdout else ""))
        (row,) = objects(tidemark("ps", *where, "--json").stdout)
        assert (row["session"], row["name"], row["state"]) == ("mine", "sleeps.py", "paused")
        cell = row["id"]

        check_show(cell, where)
        check_hibernate(cell, where)
        check_resume(cell, where)
        check_watch_and_terminate(cell, where)
        check_history(cell, where)
        host.communicate("\n", timeout=20)
        assert host.returncode == 1


def test_lists_are_cut_and_filtered(served: Path, files: Path) -> None:
    for _ in range(3):
        assert tidemark("run", files / "hello.py", "--state", served).returncode == 0
    listed = tidemark("ps", "--state", served, "--limit", 2)
    assert listed.returncode == 0
    lines = listed.stdout.splitlines()
    assert len(lines) == 1 + 2 + 2
    assert lines[-2:] == ["1 more: --limit 0 or --all shows them", "3 cells: 3 completed"]
    assert len(tidemark("ps", "--state", served, "--all").stdout.splitlines()) == 1 + 3 + 1
    none = tidemark("ps", "--state", served, "--only", "paused")
    assert (none.returncode, none.stdout) == (0, "no cells\n")
    sessions = {
        row["session"] for row in objects(tidemark("ps", "--state", served, "--json").stdout)
    }
    assert len(sessions) == 3
    assert all(re.fullmatch(r"run-[0-9a-f]{8}", name) for name in sessions)


def test_ctrl_c_ends_a_watch_and_not_the_cell(served: Path, files: Path) -> None:
    with subprocess.Popen(
        [program(), "run", str(files / "sleeps.py"), "--state", str(served), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
        text=True,
    ) as host:
        assert host.stdout is not None
        cell = objects(host.stdout.readline())[0]["cell"]
        with at_terminal("watch", cell, "--state", served) as watching:
            watching.wait_for("begins")
            watching.type("\x03")
            assert watching.end() == 130
            assert watching.shown.replace("^C", "").split() == ["begins"]
        (facts,) = objects(tidemark("show", cell, "--state", served, "--json").stdout)
        assert facts["state"] == "idle"
        host.send_signal(signal.SIGINT)
        assert host.wait(20) == 130
    (facts,) = objects(tidemark("show", cell, "--state", served, "--json").stdout)
    assert facts["state"] == "terminated"


def test_a_cell_that_is_not_there(served: Path) -> None:
    for verb in ("show", "history", "watch", "terminate"):
        ran = tidemark(verb, "c00000000000000-00000000", "--state", served)
        assert (ran.returncode, ran.stdout) == (1, ""), verb
        assert ran.stderr.startswith("tidemark: "), verb


def test_nobody_there(place: Path) -> None:
    before = time.monotonic()
    ran = tidemark("ps", "--endpoint", f"ipc://{place}/nobody.sock")
    assert time.monotonic() - before < 5
    assert ran.returncode == 1
    assert "no supervisor listens at" in ran.stderr
    ran = tidemark("ps", "--state", place / "nothing")
    assert ran.returncode == 1
    assert "tidemark serve" in ran.stderr
    assert not (place / "nothing").exists()


# -- the command itself ---------------------------------------------------------------------------


def test_the_version() -> None:
    ran = tidemark("--version")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.fullmatch(r"tidemark \d+\.\d+\.\d+\n", ran.stdout)
