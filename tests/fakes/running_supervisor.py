"""A supervisor that a test starts as a command would, and ends by pid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from fakes.process_watch import marked, until_none
from fakes.waiting import until


class RunningSupervisor:
    """`python -m tidemark.supervisor` on a state directory, ready when this has been made.

    Attributes:
        ready: what it said: endpoint, pid and epoch.
    """

    def __init__(
        self,
        state: Path,
        *more: str,
        python: tuple[str, ...] = (sys.executable,),
        **environment: str,
    ) -> None:
        """`python` is the command that runs Python, for instance as another user."""
        self.state = state
        command = [*python, "-m", "tidemark.supervisor", "--state", str(state)]
        level = os.environ.get("TIDEMARK_TEST_LEVEL")
        if level and "--isolation" not in more:
            command += ["--isolation", level]
        self.errors = open(state.parent / f"{state.name}.stderr", "a+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [*command, *more],
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, **environment},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            said = self.said()
            self.close()
            raise AssertionError(f"no supervisor: {said}")
        self.ready: dict[str, Any] = json.loads(line)

    @property
    def endpoint(self) -> str:
        """Where hosts reach it."""
        return str(self.ready["endpoint"])

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    def said(self) -> str:
        """What is in its log."""
        self.errors.seek(0)
        return self.errors.read()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """Its exit status, when it has ended."""
        return self.process.wait(15)

    def close(self) -> None:
        """End it and all that belongs to it, at once."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.errors.close()
        for pid in marked(str(self.state)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        until_none(str(self.state), seconds=5)


class HostProcess:
    """A host program in a process of its own; each line that it prints is a message to the test.

    Args:
        program: its source; `say(value)` prints one line of JSON, `hear()` reads one.
        environment: added to its environment.
    """

    def __init__(self, program: str, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PREFACE + program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        self._lines: list[Any] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(json.loads(line))

    def hear(self, *, seconds: float = 15.0) -> Any:
        """The next value that it said."""

        def arrived() -> bool:
            return bool(self._lines) or self.process.poll() is not None

        until(arrived, seconds=seconds, what="the host to say something")
        if not self._lines:
            self._reader.join(5)
        if not self._lines:
            assert self.process.stderr is not None
            raise AssertionError(f"the host ended: {self.process.stderr.read()}")
        return self._lines.pop(0)

    def say(self, value: Any = None) -> None:
        """Give it a line to `hear()`."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(value) + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(5)

    def close(self) -> str:
        """End it if it has not; what it wrote to its standard error."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)
        self._reader.join(5)
        assert self.process.stderr is not None
        errors = self.process.stderr.read()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return errors


PREFACE = """
import asyncio, json, os, signal, sys, tempfile, threading, time
import tidemark

def say(value=None):
    # In one go: tools say things on threads of their own, and `print` writes the line's end apart.
    os.write(1, (json.dumps(value) + "\\n").encode())

def hear():
    return json.loads(sys.stdin.readline())
"""
