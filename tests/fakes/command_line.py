"""The installed `tidemark` command, as a user calls it: in pipes, or at a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .waiting import until

SECONDS_MAX = 40


def program() -> str:
    """The entry point that was installed beside this Python."""
    return str(Path(sys.executable).with_name("tidemark"))


def environment(**more: str) -> dict[str, str]:
    """An environment without what would change how output looks."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    return {**kept, "TERM": "xterm", **more}


def tidemark(
    *arguments: object, stdin: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it to its end in pipes."""
    return subprocess.run(
        [program(), *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env=dict(env) if env is not None else environment(),
    )


def objects(text: str) -> list[dict[str, Any]]:
    """JSON lines as objects."""
    return [json.loads(line) for line in text.splitlines()]


class AtTerminal:
    """A command whose standard files are a terminal."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process = process
        self._terminal = terminal
        self._shown = b""
        os.set_blocking(terminal, False)

    @property
    def shown(self) -> str:
        """Everything that has been shown."""
        self._take()
        return self._shown.decode(errors="replace")

    def wait_for(self, text: str, seconds: float = 20.0) -> None:
        """Until this has been shown."""
        until(lambda: text in self.shown, seconds=seconds, what=f"{text!r} in {self.shown!r}")

    def type(self, text: str) -> None:
        """Press keys; "\\x03" is Ctrl-C."""
        os.write(self._terminal, text.encode())

    def end(self, seconds: float = 20.0) -> int:
        """Wait for the end; the exit status."""
        until(self._has_ended, seconds=seconds, what=f"end of the command: {self.shown!r}")
        self._take()
        return self.process.returncode

    def _has_ended(self) -> bool:
        self._take()  # else it could block on a full terminal
        return self.process.poll() is not None

    def _take(self) -> None:
        while True:
            try:
                part = os.read(self._terminal, 65_536)
            except OSError:  # nothing there now, or the other end is closed
                return
            if not part:
                return
            self._shown += part


@contextmanager
def at_terminal(*arguments: object, **more: str) -> Iterator[AtTerminal]:
    """The command at a terminal of its own; it is killed if it has not ended by itself."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [program(), *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(**more),
        start_new_session=True,
        preexec_fn=lambda: _take_as_terminal(theirs),
    )
    os.close(theirs)
    try:
        yield AtTerminal(process, ours)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)


def _take_as_terminal(fd: int) -> None:
    """Make it the controlling terminal, so that Ctrl-C is a signal."""
    import fcntl
    import termios

    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
