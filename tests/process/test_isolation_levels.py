"""What a machine gives of each level, and that it is said when it does not."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tidemark.worker.isolation import attempts, levels
from tidemark.worker.isolation.targets import Range

from fakes.isolation import examine, missing, need

LEVELS = ("restricted", "sealed")


def interpreter_is_public() -> bool:
    """Whether every user may read the library of this Python."""
    places = [Path(os.__file__), *Path(os.__file__).parents]
    return all(place.stat().st_mode & (0o001 if place.is_dir() else 0o004) for place in places)


@pytest.mark.parametrize("who", ["root", "user"])
def test_sealed_is_granted_with_every_property_tried(who: str) -> None:
    report = examine(need(who), "sealed")
    assert missing(report) == {}
    assert report["granted"]
    promised = {each["name"] for each in report["properties"] if each["needed"]}
    assert promised == set(levels.PROMISED[levels.Level.SEALED])
    for each in report["properties"]:
        assert each["tried"], each["name"]
        assert each["held"] == (not each["reason"])
        if each["held"]:
            assert each["mechanism"], each["name"]


@pytest.mark.parametrize("who", ["root", "user", "user-without-namespaces"])
def test_restricted_needs_no_namespaces(who: str) -> None:
    report = examine(need(who), "restricted")
    if who == "root" and not interpreter_is_public():
        assert set(missing(report)) == {levels.USABLE}
        (usable,) = [each for each in report["properties"] if each["name"] == levels.USABLE]
        assert os.path.dirname(os.__file__) in usable["reason"]
        assert "home directories" in usable["remedy"]
        return
    assert missing(report) == {}


def test_sealed_without_namespaces_is_refused_with_reason_and_remedy() -> None:
    report = examine(need("user-without-namespaces"), "sealed")
    assert not report["granted"]
    assert levels.OWN_ROOT in missing(report)
    for each in report["properties"]:
        assert "Operation not permitted" in each["reason"]
        assert "namespaces" in each["reason"]
        assert "user.max_user_namespaces" in each["remedy"]


def test_a_refused_zygote_says_so_to_its_supervisor_and_ends(place: Path) -> None:
    python = need("user-without-namespaces")
    place.chmod(0o777)
    (place / "workers").mkdir()
    (place / "workers").chmod(0o777)
    ready, told = os.pipe()
    command = [*python, "-P", "-m", "tidemark.worker", "--level", "sealed"]
    command += ["--socket", str(place / "zygote.sock"), "--supervisor-pid", str(os.getpid())]
    command += ["--workers", str(place / "workers"), "--ready-fd", str(told)]
    with subprocess.Popen(command, pass_fds=(told,), stderr=subprocess.PIPE) as process:
        os.close(told)
        with os.fdopen(ready) as file:
            word, _, report = file.read().partition(" ")
        assert process.wait(10) == 1
        assert process.stderr is not None
        assert b"level refused" in process.stderr.read()
    assert word == "refused"
    assert json.loads(report)["level"] == "sealed"
    assert not json.loads(report)["granted"]


def test_process_promises_what_it_can(place: Path) -> None:
    report = examine((sys.executable,), "process")
    assert report["granted"]
    assert {each["name"] for each in report["properties"]} == set(
        levels.PROMISED[levels.Level.PROCESS]
    )


def test_a_range_of_user_numbers_that_is_none_is_refused(place: Path) -> None:
    command = [sys.executable, "-P", "-m", "tidemark.worker", "--level", "sealed"]
    command += ["--socket", str(place / "z.sock"), "--supervisor-pid", str(os.getpid())]
    command += ["--workers", str(place), "--uid-range", "0-10"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if os.geteuid() != 0:
        pytest.skip("only root gives cells user numbers of their own")
    assert found.returncode == 1
    assert "100000-165535" in found.stderr


# -- an attempt that fails for another reason than the wall would grant what is not there ----------

# These are refused to anybody, are about the cell itself, or would end the process.
BY_THEMSELVES = {
    "find a descriptor of the zygote",
    "find a limit that is not set",
    "find a privilege",
    "start a program",
    "write more than it may",
    "make a directory in the root",
    "write into the library",
    "open a packet socket",
    "become root",
    "make a namespace",
    "trace it",
}


def outcome(act: Any, targets: Any) -> int:
    """The error number of an attempt in a process of its own; 0: it was possible."""
    pid = os.fork()
    if pid == 0:
        status = 255
        try:
            act(targets)
            status = 0
        except OSError as error:
            status = error.errno or 254
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize(
    "attempt",
    [each for each in attempts.ATTEMPTS if each.what not in BY_THEMSELVES],
    ids=lambda attempt: attempt.what,
)
def test_without_walls_an_attempt_succeeds(
    attempt: attempts.Attempt, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "workers").mkdir()
    monkeypatch.chdir(place)
    stand = Range(str(place), str(place / "workers"))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE):
        try:
            found = outcome(attempt.act, stand.targets)
        finally:
            stand.remove()
            Path("/dev/shm/tidemark-test").unlink(missing_ok=True)
    if attempt.what == "signal all" and os.geteuid() != 0:
        assert found in (0, errno.EPERM)
    else:
        assert found == 0, os.strerror(found)
