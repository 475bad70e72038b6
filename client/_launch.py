"""Finding a supervisor, or starting one. Blocking: the shells run it in a thread.

A supervisor that is started here inherits nothing but its log, a pipe to say that it is ready, and,
if it is a private one, a pipe whose closing tells it that its host has ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Final

from ..protocol.classes import dataclass
from ..protocol.errors import SupervisorUnavailableError, TidemarkError, from_wire
from ._head_start import Child, as_private, supervisor_command
from ._packages import Packages

FIND_SECONDS_MAX: Final = 10.0
_START_SECONDS_MAX: Final = 20.0
_KILLED_SECONDS_MAX: Final = 5.0
_LOOK_AGAIN_SECONDS: Final = 0.02
_LOG_TAIL_BYTES: Final = 2_000
_HELD: Final = "held"


@dataclass(frozen=True, slots=True)
class Kind:
    """How a supervisor is started, if one has to be.

    Attributes:
        durability: "power" or "crash".
        expect: the level of isolation that will be asked of it first; None: the best.
        packages: what its cells are to find.
    """

    durability: str
    expect: str | None = None
    packages: Packages = Packages()


class Found:
    """A supervisor that was there already."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint


class Started:
    """A supervisor that this process has started.

    Its exit status is collected whenever it ends, so that no zombie stays.

    Attributes:
        endpoint: where it listens.
    """

    def __init__(self, process: subprocess.Popen[bytes] | Child, directory: Path) -> None:
        self.endpoint = ""
        self.process = process
        self.directory = directory
        self._ended = threading.Event()
        threading.Thread(target=self._reap, name="tidemark-reaper", daemon=True).start()

    def has_ended(self, within_seconds: float | None = 0.0) -> bool:
        """Whether its process has ended, now or in so many seconds; None: waits until it has."""
        return self._ended.wait(within_seconds)

    def obituary(self) -> str:
        """How it has ended, for a person."""
        status = self.process.returncode or 0
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        tail = log_tail(self.directory)
        return f"the supervisor (process {self.process.pid}) {how}" + (f": {tail}" if tail else "")

    def _reap(self) -> None:
        self.process.wait()
        self._ended.set()


def use_endpoint(endpoint: object) -> Found:
    """The supervisor that listens there.

    Raises:
        TypeError, ValueError: not an endpoint that this release can use.
    """
    if not isinstance(endpoint, str):
        raise TypeError(f"endpoint must be str, not {type(endpoint).__name__}")
    if endpoint.startswith("tcp://"):
        raise ValueError("tcp:// endpoints need CURVE keys, which come later; use ipc:///path")
    if not endpoint.startswith("ipc://") or len(endpoint) <= len("ipc://"):
        raise ValueError(f"{endpoint!r:.100} is no endpoint; expected ipc:///path")
    return Found(endpoint)


def start_private(directory: Path, kind: Kind, lifeline: int) -> Started:
    """A supervisor of this host's own, on a directory that may have a journal already.

    Args:
        lifeline: a pipe's reading end, which stays the caller's; when its writing end is closed
            the supervisor ends and removes the directory.

    Raises:
        TidemarkError: it did not start.
    """
    try:
        process, ready = _spawn(directory, kind, as_private(), lifeline)
    except OSError as error:
        raise _not_started(error) from error
    started = Started(process, directory)
    await_ready(started, ready)
    return started


def await_ready(started: Started, ready: int) -> None:
    """Wait until a private supervisor can be asked, or has ended.

    Args:
        ready: the pipe by which it says so, which is closed then.

    Raises:
        TidemarkError: it did not start.
    """
    try:
        _await_ready(started, ready)
    except BaseException:
        started.process.kill()
        started.has_ended(_KILLED_SECONDS_MAX)  # until then it could still make files
        raise


def find_or_start(state: str | os.PathLike[str], kind: Kind) -> Found | Started:
    """The supervisor of a state directory; one is started when nobody holds the directory.

    Raises:
        TidemarkError: none could be started, or the one that holds the directory does not come up.
    """
    directory = Path(os.path.abspath(os.fspath(state)))
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SupervisorUnavailableError(
            f"the state directory {directory} cannot be made ({error}); name one that you may write"
        ) from error
    deadline = time.monotonic() + FIND_SECONDS_MAX
    while True:
        held = _is_held(directory)
        found = _described(directory) if held else _start_lasting(directory, kind)
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise SupervisorUnavailableError(
                f"somebody holds {directory} but says nowhere where to reach it; see "
                f"{directory / 'supervisor.log'}"
            )
        time.sleep(_LOOK_AGAIN_SECONDS)


def find(state: str | os.PathLike[str]) -> Found | Started:
    """The supervisor of a directory that has a journal; a new directory is not made.

    Raises:
        SupervisorUnavailableError: there is nothing to look at.
    """
    directory = Path(os.path.abspath(os.fspath(state)))
    if not os.path.exists(directory / "journal.db") and not _is_held(directory):
        raise SupervisorUnavailableError(
            f"{directory} is no state directory (it has no journal); start one with "
            f"`tidemark serve --state {directory}`"
        )
    return find_or_start(directory, Kind("power"))


def look_in(directory: Path) -> Found | None:
    """The supervisor that is at home in this directory now."""
    return _described(directory) if _is_held(directory) else None


def was_killed(directory: Path) -> bool:
    """Whether the last supervisor of this directory has ended without leaving it in order."""
    try:
        description: Any = json.loads((directory / "supervisor.json").read_text())
        return "pid" in description and not _is_held(directory)
    except (OSError, ValueError, TypeError):
        return False


def _is_held(directory: Path) -> bool:
    """Whether a supervisor has this directory now.

    Raises:
        SupervisorUnavailableError: that cannot be told.
    """
    try:
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise SupervisorUnavailableError(
            f"{directory} cannot be looked at ({error}); name a state directory that you may use"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(lock)


def _described(directory: Path) -> Found | None:
    """What `supervisor.json` says, if the process that it names lives."""
    try:
        text = (directory / "supervisor.json").read_text()
        description: Any = json.loads(text)
        os.kill(description["pid"], 0)
        return Found(description["endpoint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # left behind by a killed one, or about to be written


def _start_lasting(directory: Path, kind: Kind) -> Started | None:
    """A new supervisor; None when another one was faster."""
    try:
        process, ready = _spawn(directory, kind, [], subprocess.DEVNULL)
    except OSError as error:
        raise _not_started(error) from error
    started = Started(process, directory)
    try:
        _await_ready(started, ready)
    except _Held:
        return None
    except BaseException:
        process.kill()  # it has said that it ends, or has said nothing for too long
        raise
    return started


class _Held(SupervisorUnavailableError):
    """Another supervisor holds the directory."""


def _spawn(
    directory: Path, kind: Kind, own: list[str], stdin: int
) -> tuple[subprocess.Popen[bytes], int]:
    """The new process, and the end of the pipe by which it says that it is ready."""
    ready, saying = os.pipe()
    command = supervisor_command(str(directory), kind.durability, kind.expect, saying, own)
    command += kind.packages.arguments()
    try:
        with open(directory / "supervisor.log", "ab") as log:
            process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=log,
                stderr=log,
                start_new_session=True,
                close_fds=True,
                pass_fds=(saying,),
            )
    except BaseException:
        os.close(ready)
        raise
    finally:
        os.close(saying)
    return process, ready


def _await_ready(started: Started, ready: int) -> None:
    with contextlib.closing(os.fdopen(ready, "rb", buffering=0)) as pipe:
        line = _first_line(pipe.fileno(), time.monotonic() + _START_SECONDS_MAX)
    try:
        said: Any = json.loads(line)
        if "error" not in said:
            started.endpoint = said["endpoint"]
            return
        error = _refusal(str(said["error"]), str(said.get("message", "")))
    except (ValueError, KeyError, TypeError):
        tail = log_tail(started.directory)
        raise SupervisorUnavailableError(
            f"the supervisor did not start{': ' + tail if tail else ''}"
            f" (its log is {started.directory / 'supervisor.log'})"
        ) from None
    raise error


def _refusal(code: str, message: str) -> TidemarkError:
    if code == _HELD:
        return _Held(message)
    return from_wire(code, message, {})


def _first_line(pipe: int, deadline: float) -> bytes:
    line = b""
    poller = select.poll()
    poller.register(pipe, select.POLLIN)
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not poller.poll(left * 1_000):
            break
        part = os.read(pipe, 65_536)
        if not part:
            break
        line += part
    return line


def _not_started(error: OSError) -> SupervisorUnavailableError:
    return SupervisorUnavailableError(
        f"no supervisor could be started ({error}); see to that, and ask again"
    )


def log_tail(directory: Path) -> str:
    """The last line of a supervisor's log; empty if there is none."""
    try:
        with open(directory / "supervisor.log", "rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - _LOG_TAIL_BYTES))
            lines = log.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""


def process_started_ns(pid: int) -> int:
    """When a process started, in ns since the machine's boot; 0 if that is not known."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            # The name, in parentheses, may hold anything; the third field follows the last of them.
            ticks = int(stat.read().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
    return ticks * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))
