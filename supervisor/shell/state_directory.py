"""The state directory: who holds it, where its sockets are, and what it says of its supervisor."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sys
from pathlib import Path
from typing import Any

from .zygote_start import LONGEST, SOCKET_PATH_BYTES_MAX, zygote_socket


class Held(Exception):
    """Another supervisor holds this directory; the text says which."""


class StateDirectory:
    """A directory under this supervisor's lock, until `release()`.

    Files: journal.db, lock, supervisor.json, supervisor.log, and run/ (0700) with the sockets; run/
    is elsewhere, in a short private directory, when the path would be too long for a socket.
    """

    def __init__(self, path: Path) -> None:
        """Make the directory if it is not there, and take its lock.

        Raises:
            Held: another supervisor has it.
            OSError: it cannot be made or written, or its path is no text that workers can be told.
        """
        self.path = path.absolute()
        _check_text(self.path)
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise Held(self._holder()) from None
        self._elsewhere: Path | None = None
        self.run = self._make_run()
        (self.run / "workers").mkdir(mode=0o700, exist_ok=True)

    def _holder(self) -> str:
        try:
            facts = json.loads((self.path / "supervisor.json").read_text())
            who = f"process {facts['pid']}, epoch {facts['epoch']}, at {facts['endpoint']}"
        except (OSError, ValueError, KeyError, TypeError):
            who = "another process, which is just starting"
        return f"{self.path} is held by a supervisor ({who}); use it, or end it first"

    def _make_run(self) -> Path:
        run = self.path / "run"
        run.mkdir(mode=0o700, exist_ok=True)
        run.chmod(0o700)
        if len(os.fsencode(zygote_socket(run, LONGEST))) <= SOCKET_PATH_BYTES_MAX:
            return run
        # A predecessor's zygote may still listen in the directory that it named.
        if (earlier := self._earlier_run()) is not None:
            self._elsewhere = earlier
        else:
            import tempfile  # which few need, and which brings a generator of random numbers

            self._elsewhere = Path(tempfile.mkdtemp(prefix="tidemark-run-", dir="/tmp"))
        return self._elsewhere

    def _earlier_run(self) -> Path | None:
        try:
            facts = json.loads((self.path / "supervisor.json").read_text())
            run = Path(facts["run"])
            mine = run.stat().st_uid == os.getuid() and run.name.startswith("tidemark-run-")
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return run if mine else None

    @property
    def host_endpoint(self) -> str:
        return f"ipc://{self.run / 'host.sock'}"

    @property
    def worker_endpoint(self) -> str:
        return f"ipc://{self.run / 'workers' / 'worker.sock'}"

    @property
    def journal(self) -> Path:
        return self.path / "journal.db"

    @property
    def work(self) -> Path:
        """Where workers have their own directories."""
        return self.path / "work"

    def announce(self, facts: dict[str, Any]) -> None:
        """Say which supervisor is here, at once for every reader."""
        text = json.dumps({**facts, "run": str(self.run)}, indent=1) + "\n"
        new = self.path / "supervisor.json.new"
        new.write_text(text)
        new.chmod(0o600)
        new.replace(self.path / "supervisor.json")

    def release(self) -> None:
        """Give the directory up: nothing says any more that a supervisor is here."""
        (self.path / "supervisor.json").unlink(missing_ok=True)
        if self._elsewhere is not None:
            _remove(self._elsewhere)
        os.close(self._lock)

    def leave_to_successor(self) -> None:
        """Give up the lock and leave the rest to the next supervisor.

        What is said here names no process any more: hosts tell by that that nobody was killed.
        """
        try:
            facts = json.loads((self.path / "supervisor.json").read_text())
            if facts.pop("pid") == os.getpid():
                self.announce(facts)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            print(
                f"tidemark supervisor: supervisor.json is left as it is: {error}", file=sys.stderr
            )
        os.close(self._lock)

    def leave(self, *, is_defect: bool, stays: bool, is_private: bool) -> None:
        """At the end of a supervisor's life.

        Args:
            is_defect: it ends as if it were killed: what is said here goes on naming its process.
            stays: a successor is to find everything.
            is_private: else nobody needs it any more.
        """
        if is_defect:
            os.close(self._lock)
        elif stays:
            self.leave_to_successor()
        elif is_private:
            self.remove()
        else:
            self.release()

    def remove(self) -> None:
        """Release the directory and delete it with everything in it."""
        self.release()
        _remove(self.path)


def _remove(directory: Path) -> None:
    import shutil  # with four compressors, and not needed before the end

    shutil.rmtree(directory, ignore_errors=True)


def _check_text(path: Path) -> None:
    """Messages to zygotes and workers name directories in it, and are UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise OSError(errno.EILSEQ, "its path is not UTF-8", str(path)) from None
