"""The directory that a guardian makes for its cells goes with it, however early that is."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from fakes.command_line import environment, program
from fakes.isolation import ROOT, examine, missing
from fakes.process_watch import until_none
from fakes.waiting import until

LEFT_SECONDS_MAX = 5.0


def grounds() -> set[Path]:
    return set(Path("/tmp").glob("tidemark-zygote-*"))


def run(hello: Path, before: str = "") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", f'{before} exec "$@"', "sh", program(), "run", str(hello)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(TMPDIR=str(hello.parent / "tmp")),
    )


def nothing_is_left(hello: Path, before: set[Path]) -> None:
    until_none(str(hello.parent / "tmp"), seconds=LEFT_SECONDS_MAX)
    until(lambda: not (grounds() - before), what="their directories")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_when_it_is_there(hello: Path, number: int) -> None:
    if missing(examine(ROOT, "sealed")) and missing(examine(ROOT, "restricted")):
        pytest.skip("this machine has neither level that has one")
    before = grounds()
    with run(hello) as command:
        until(lambda: grounds() - before, what="a directory")
        command.send_signal(number)
        command.wait(20)
    nothing_is_left(hello, before)


@pytest.mark.parametrize("files", [20, 22, 26, 30])
def test_a_level_that_is_refused(hello: Path, files: int) -> None:
    """Here because there are too few descriptors to try it."""
    before = grounds()
    with run(hello, f"ulimit -n {files};") as command:
        assert command.wait(40) == 1
    nothing_is_left(hello, before)
