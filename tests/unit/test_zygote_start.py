"""Which command lines of a supervisor tell at once what zygote it will have."""

from __future__ import annotations

import pytest
from tidemark.client._head_start import as_private, supervisor_command
from tidemark.supervisor.shell.zygote_start import _given, begin

OWN = ["--private", "--host-pid", "7"]


def test_what_a_host_says_of_its_private_supervisor() -> None:
    for expect in (None, "process", "restricted", "sealed"):
        words = supervisor_command("/tmp/x", "crash", expect, 5, as_private())[4:]
        given = _given(words)
        assert given is not None
        assert (given[0], given[2]) == ("/tmp/x", expect or "sealed")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--state", "/tmp/x"],
        ["--state", "/tmp/x", "--private"],
        ["--state", "/tmp/x", "--host-pid", "7"],
        ["--state", "/tmp/x", "--private", "--host-pid", "many"],
        ["--state", "/tmp/x", *OWN, "--state", "/tmp/y"],
        ["--state", "x", *OWN],
        ["--state", "/tmp/" + "x" * 80, *OWN],  # too long for a socket in it
        ["--state", "/tmp/x", *OWN, "--expect", "none"],
        ["--state", "/tmp/x", *OWN, "--preload=numpy"],
        ["--state=/tmp/x", *OWN],
        ["--help"],
    ],
)
def test_what_is_left_to_who_reads_the_command_line(words: list[str]) -> None:
    assert _given(words) is None
    assert begin(words) is None
