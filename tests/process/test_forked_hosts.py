"""A process that is forked from a host has no part in the host's sessions."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

# The child ends as programs do that fork: by leaving the interpreter, with its exit functions run.
PROGRAM = """
import json, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import tidemark

def by_exit(session):
    sys.exit(0)

def by_use(session):
    try:
        session.create_cell("exit(2)")
    except ValueError as error:
        said = str(error)
    session.close()
    print(json.dumps(said), flush=True)
    sys.exit(0)

with tidemark.Session(isolation="process") as session:
    cell = session.create_pausable_cell("await asyncio.sleep(0.001)\\nexit(7)")
    first = cell.wait_to_pending()
    child = os.fork()
    if child == 0:
        globals()[sys.argv[1]](session)
    _, status = os.waitpid(child, 0)
    value = cell.step(first.generation).value
print(json.dumps([os.waitstatus_to_exitcode(status), value]))
"""


def said_by(child: str) -> list[Any]:
    """What child and parent have printed, in order."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, child],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_forked_child_that_exits_leaves_the_supervisor_alone() -> None:
    assert said_by("by_exit") == [[0, 7]]


def test_a_forked_child_is_told_that_the_session_is_not_its_own() -> None:
    refusal, outcome = said_by("by_use")
    assert "the parent process's" in refusal
    assert outcome == [0, 7]
