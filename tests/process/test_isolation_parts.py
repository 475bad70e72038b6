"""The parts of isolation that have a life without a zygote."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tidemark.protocol.limits import LIMITS_OF_LEVEL, Limits
from tidemark.worker import exits, watches
from tidemark.worker.end_causes import cause
from tidemark.worker.exceeded import exceeded
from tidemark.worker.isolation import places, user_numbers
from tidemark.worker.isolation.cgroups import NoCgroup, find
from tidemark.worker.isolation.ground import PREFIX, Ground
from tidemark.worker.isolation.levels import Level
from tidemark.worker.isolation.quarters import Berth

#: In a process of its own, which has one thread as a zygote must.
NURSERY = """
import os, sys, time
from tidemark.protocol.ids import Incarnation
from tidemark.protocol.limits import Limits
from tidemark.protocol.zygote_messages import Fork
from tidemark.worker.isolation import namespaces
from tidemark.worker.isolation.levels import Unsealed
from tidemark.worker.isolation.quarters import OpenQuarters
from tidemark.worker import nursery as of_zygote
from tidemark.worker.reproducible import Reproducible

class Broken(OpenQuarters):
    def move_in(self, berth):
        raise Unsealed("own namespaces", "Operation not permitted")

def no_memory(*_, **__):
    raise MemoryError

me = os.getpid()
quarters = {"unconfined": Broken, "out of memory": OpenQuarters}[sys.argv[2]]
if quarters is OpenQuarters:
    of_zygote.Ties = no_memory
nursery = of_zygote.Nursery(
    quarters(sys.argv[1], namespaces.open_proc()), Reproducible.__new__(Reproducible), os.fork, None
)
token = bytes(range(16))
try:
    nursery.fork(Fork(token, "c1", Incarnation(1, 1), "ipc:///nowhere", Limits()))
finally:
    if os.getpid() != me:
        print("a second zygote", flush=True)
        os._exit(0)
deadline = time.monotonic() + 10
ends = []
while not (nursery.reap(ends.append) or ends) and time.monotonic() < deadline:
    time.sleep(0.01)
(end,) = ends
print(end.token == token, end.status, end.killed, end.reason, sep="|")
"""


def end_of_worker(place: Path, how: str) -> tuple[str, str, str, str]:
    """Whether it is the worker's, exit status, whether it was killed, the reason."""
    ran = subprocess.run(
        [sys.executable, "-c", NURSERY, str(place), how], capture_output=True, text=True, timeout=30
    )
    assert "second zygote" not in ran.stdout
    told, status, killed, reason = ran.stdout.strip().split("|")
    return told, status, killed, reason


def test_a_worker_that_fails_before_its_life_begins_is_no_zygote(place: Path) -> None:
    told, status, killed, _ = end_of_worker(place, "out of memory")
    assert (told, int(status), killed) == ("True", exits.EXIT_DEFECT, "False")


def test_a_worker_that_cannot_be_confined_ends_with_the_reason(place: Path) -> None:
    told, status, killed, reason = end_of_worker(place, "unconfined")
    assert (told, int(status), killed) == ("True", exits.EXIT_UNSEALED, "False")
    assert reason.endswith("could not be confined: own namespaces: Operation not permitted")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_cage_ends_who_takes_too_much_and_says_so() -> None:
    try:
        cages = find()
    except NoCgroup as error:
        pytest.skip(str(error))
    try:
        cage = cages.make(32 * 2**20)
        pid = os.fork()
        if pid == 0:
            cage.enter()
            kept = [bytearray(b"x" * 2**20) for _ in range(200)]
            os._exit(len(kept) & 1)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status == -signal.SIGKILL
        assert cage.kills() == 1
        berth = Berth("", Limits(memory_bytes=1), None, cage)
        limit, used = cause(status, 0, berth)
        assert limit == "memory_bytes"
        assert 0 < used <= 32 * 2**20
        cage.remove()
        path = cages.path
        assert os.path.isdir(path)
    finally:
        cages.remove()
    assert not os.path.exists(path)


@pytest.mark.parametrize(
    ("status", "cpu_ns", "expected"),
    [
        (-signal.SIGXCPU, 2_400_000_000, ("cpu_seconds", 3)),
        (-signal.SIGKILL, 3_000_000_000, ("cpu_seconds", 3)),
        (-signal.SIGKILL, 1_000_000_000, ("", 0)),
        (-signal.SIGXFSZ, 0, ("file_bytes", 7)),
        (0, 9_000_000_000, ("", 0)),
    ],
)
def test_the_cause_of_an_end(status: int, cpu_ns: int, expected: tuple[str, int]) -> None:
    assert cause(status, cpu_ns, Berth("", Limits(cpu_seconds=2, file_bytes=7))) == expected
    assert cause(status, cpu_ns, Berth("", Limits())) == ("", 0)


def test_errors_that_speak_of_a_limit() -> None:
    bounds = Limits(memory_bytes=1_000, open_files=8, processes=3)
    text = exceeded(MemoryError(), bounds)
    assert text == (
        "LimitExceededError: memory_bytes: at most 1,000 are allowed, all of it was used, and more "
        "was asked for; a host can set it with Limits(memory_bytes=...)"
    )
    assert "open_files" in (exceeded(OSError(24, "Too many open files"), bounds) or "")
    assert "processes" in (exceeded(RuntimeError("can't start new thread"), bounds) or "")
    assert exceeded(OSError(28, "No space left on device"), bounds) is None
    assert exceeded(RuntimeError("another"), bounds) is None
    assert exceeded(ValueError(), bounds) is None


def test_every_level_has_limits_and_only_process_is_without() -> None:
    assert set(LIMITS_OF_LEVEL) == {level.value for level in Level}
    assert LIMITS_OF_LEVEL["process"] == Limits()
    for name in ("memory_bytes", "cpu_seconds", "open_files", "processes", "file_bytes"):
        assert getattr(LIMITS_OF_LEVEL["restricted"], name) is not None
        assert getattr(LIMITS_OF_LEVEL["sealed"], name) is not None


def test_user_numbers_are_not_given_twice() -> None:
    numbers = user_numbers.parse("100-102")
    taken = [numbers.take() for _ in range(3)]
    assert sorted(taken) == [100, 101, 102]
    with pytest.raises(OSError, match="--uid-range"):
        numbers.take()
    numbers.give_back(101)
    assert numbers.take() == 101
    assert user_numbers.usual(12_345_678).take() > 0


@pytest.mark.parametrize("text", ["", "5", "0-10", "10-5", "a-b", "1-99999999999"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"100000-165535|invalid literal"):
        user_numbers.parse(text)


def test_what_python_needs_can_be_read_and_the_rest_not(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = places.readable([str(place)])
    assert str(place) in found
    for needed in (sys.prefix, os.path.dirname(os.__file__), zmq_place()):
        assert any(needed == each or needed.startswith(each + "/") for each in found), needed
    assert not {"/", "/etc", "/home", "/root", "/tmp", "/var", "/proc"} & set(found)
    with pytest.raises(ValueError, match="--package-path"):
        places.readable([str(place / "nothing")])
    monkeypatch.setattr(sys, "path", ["/"])
    with pytest.raises(ValueError, match="whole file system"):
        places.readable([])


def zmq_place() -> str:
    import zmq

    return os.path.dirname(zmq.__file__)


def test_a_link_that_leads_out_of_a_place_is_a_place_of_its_own(place: Path) -> None:
    outer, other = place / "outer", place / "other"
    (outer / "inside").mkdir(parents=True)
    other.mkdir()
    (outer / "link").symlink_to(other)
    found = places.readable([str(outer), str(outer / "inside"), str(outer / "link")])
    assert str(outer / "link") in found
    assert str(outer / "inside") not in found


def test_what_a_killed_guardian_has_left_is_removed_and_what_lives_is_not() -> None:
    living = Ground(0o700)
    left = Path("/tmp", f"{PREFIX}left-by-a-test")
    left.mkdir(exist_ok=True)
    (left / "file").write_text("x")
    second = Ground(0o700)
    assert not left.exists()
    assert os.path.isdir(living.path)
    for each in (living, second):
        each.remove()
        assert not os.path.exists(each.path)


def test_a_directory_that_was_taken_for_one_of_the_dead_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between making and locking it another guardian may sweep."""
    lost: list[str] = []
    make = tempfile.mkdtemp

    def swept(prefix: str, dir: str) -> str:
        path = make(prefix=prefix, dir=dir)
        if not lost:
            lost.append(path)
            os.rmdir(path)
        return path

    monkeypatch.setattr("tempfile.mkdtemp", swept)
    ground = Ground(0o700)
    assert lost != [ground.path]
    assert os.path.isdir(ground.path)
    ground.remove()
    assert not os.path.exists(ground.path)


def test_a_witness_of_a_dead_process_tells_at_once() -> None:
    told: list[str] = []
    seen = watches.Watches()
    witness = watches.Witness(watches.GONE, seen, lambda: told.append("gone"))
    assert (witness.is_gone, witness.pidfd, told) == (True, None, ["gone"])
    assert watches.look_at(None) is None
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    assert watches.look_at(pid) == watches.GONE
    with socket.socket() as quiet:
        assert not watches.Witness(None, seen, quiet.close).is_gone
