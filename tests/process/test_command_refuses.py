"""What the command cannot do it says in a line, with the status that goes with it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fakes.command_line import SECONDS_MAX, environment, program

NO_TEXT = b"a\xff"
TOO_LONG = b"a" * 300


def told(*arguments: bytes | str) -> tuple[int, str]:
    """The exit status, and the last line of standard error that is not about help."""
    done = subprocess.run(
        [os.fsencode(program()), *(os.fsencode(argument) for argument in arguments)],
        capture_output=True,
        timeout=SECONDS_MAX,
        env=environment(),
        check=False,
    )
    errors = done.stderr.decode()
    assert "Traceback" not in errors
    lines = [line for line in errors.splitlines() if "--help" not in line]
    return done.returncode, lines[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resume", "CELL", b"9" * 24], "64 bits"),
        (["resume", "CELL", "first"], "no whole number"),
        (["show", NO_TEXT], "not UTF-8"),
        (["export", NO_TEXT], "not UTF-8"),
        (["history", TOO_LONG], "at most 256"),
        (["ps", "--session", TOO_LONG], "at most 256"),
        (["ps", "--session", NO_TEXT], "not UTF-8"),
    ],
)
def test_arguments_that_no_request_can_carry(arguments: list[bytes | str], words: str) -> None:
    status, line = told(*arguments, "--state", "anywhere")
    assert (status, words in line) == (2, True), line


def test_a_state_that_is_no_directory(place: Path) -> None:
    file = place / "file"
    file.touch()
    for arguments in (["ps"], ["show", "x"]):
        status, line = told(*arguments, "--state", str(file))
        assert (status, "no state directory" in line) == (1, True), line
    for command in ("ps", "doctor"):
        status, line = told(command, "--state", str(place / ("a" * 5_000)))
        assert (status, "name too long" in line) == (1, True), line


def test_a_state_whose_path_is_no_text(place: Path) -> None:
    state = os.fsencode(place) + b"/\xff"
    for command, status in (["ps"], 2), (["run", "-"], 2), (["serve"], 1):
        ended, line = told(*command, "--state", state)
        assert (ended, "not UTF-8" in line) == (status, True), line


def test_a_file_whose_name_is_no_text_is_run(place: Path) -> None:
    file = os.fsencode(place) + b"/h\xff.py"
    with open(file, "w") as cell:
        cell.write("exit(1)")
    done = subprocess.run(
        [os.fsencode(program()), b"run", file, b"--isolation", b"process"],
        capture_output=True,
        timeout=SECONDS_MAX,
        env=environment(),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
