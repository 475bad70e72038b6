"""What a worker has around it, and how its end is seen."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import tidemark

from fakes.cells import completed, in_state, pid_of
from fakes.process_watch import alive
from fakes.waiting import until

LOOK = """
import os, sys
files = {}
for number in os.listdir("/proc/self/fd"):
    try:
        files[number] = os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        pass
exit({
    "files": files,
    "environment": dict(os.environ),
    "initial": open("/proc/self/environ", "rb").read(),
    "here": os.listdir("."),
    "where": os.getcwd(),
    "arguments": open("/proc/self/cmdline", "rb").read(),
    "path": [entry for entry in sys.path if isinstance(entry, str)],
})
"""


def test_a_worker_gets_no_secret_of_its_host(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setenv("TIDE_API_KEY", "tide-secret-7")
    secret = place / "open file of the host"
    with open(secret, "w") as file, tidemark.Session(isolation="process") as session:
        os.set_inheritable(file.fileno(), True)
        seen = completed(session.create_cell(LOOK)).value
    assert "TIDE_API_KEY" not in seen["environment"]
    assert not [name for name, value in seen["environment"].items() if "tide-secret-7" in value]
    assert b"tide-secret-7" not in seen["initial"]
    assert str(secret) not in seen["files"].values()
    kinds = {target.split(":")[0] for target in seen["files"].values()}
    assert kinds <= {"socket", "anon_inode", "pipe", "/dev/null", "/dev/urandom"} | {
        target for target in seen["files"].values() if target.startswith("/proc/")
    }
    assert seen["here"] == []


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("os._exit(7)", ["7"]),
        ("os.kill(os.getpid(), signal.SIGSEGV)", ["11", "SEGV"]),
        ("os.kill(os.getpid(), signal.SIGTERM)", ["15", "TERM"]),
        ("import ctypes; ctypes.string_at(0)", ["11", "SEGV"]),
    ],
)
def test_the_exit_status_of_a_worker_is_seen(
    open_session: Callable[..., tidemark.Session], how: str, words: list[str]
) -> None:
    # At other levels it is the first process of its namespace, which ignores its own signals.
    session = open_session(isolation="process", replay=True)
    cell = session.create_cell(f"import os, signal\ntext('out')\nawait asyncio.sleep(0.01)\n{how}")
    end = completed(cell)
    assert end.reason == "poison"  # it has ended every worker that it was given
    assert end.error is not None
    assert any(word in end.error for word in words), end.error
    lost = [entry.detail for entry in cell.history() if entry.what == "worker lost"]
    assert len(lost) == 3
    for each in lost:
        assert any(word in each for word in words)


def test_one_process_per_cell_and_none_after_its_end(session: tidemark.Session) -> None:
    cells = [session.create_cell("await asyncio.Event().wait()") for _ in range(4)]
    pids = [pid_of(cell) for cell in cells]
    assert len(set(pids)) == 4
    zygote = {psutil.Process(pid).ppid() for pid in pids}
    assert len(zygote) == 1
    status = cells[0].status()
    assert status.memory_bytes is not None
    assert status.memory_bytes > 1_000_000
    assert status.cpu_seconds is not None
    for cell in cells:
        cell.terminate()
    assert [pid for pid in pids if alive(pid)] == []
    assert cells[0].status().pid is None


def test_what_a_cell_started_ends_with_it(
    open_session: Callable[..., tidemark.Session],
) -> None:
    session = open_session(isolation="process")  # at others nothing can be started
    cell = session.create_cell("""
import subprocess
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
text(child.pid)
yield_control()
await asyncio.Event().wait()
""")
    until(lambda: cell.status().stuck or cell.status().state == "idle")
    event = cell.observe(10)
    (item,) = event.output
    assert isinstance(item, tidemark.Text)
    child = int(item.text)
    assert alive(child)
    cell.terminate()
    until(lambda: not alive(child), seconds=2)


def test_a_cell_whose_zygote_is_killed_is_lost_with_it_and_others_go_on_later() -> None:
    with tidemark.Session(replay=False, isolation="process") as session:
        victim = session.create_cell("await asyncio.Event().wait()")
        until(lambda: victim.status().stuck)
        zygote = psutil.Process(pid_of(victim)).ppid()
        os.kill(zygote, signal.SIGKILL)
        assert in_state(victim, "completed").reason == "lost"
        assert completed(session.create_cell("exit(1)")).value == 1
