"""A private supervisor that is started before this process imports what it needs to talk to it.

Those imports take as long as the supervisor's own, and beside what comes before them nobody does
anything. So here nothing is imported but what Python has loaded anyway.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # what `signal` wraps, which takes a while to import
import _thread
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_DIRECTORY_MODE = 0o700
_LOG_MODE = 0o666  # less what the umask takes, as of any file
_SIGKILL = 9
_IGNORED_BY_PYTHON = (13, 25)  # SIGPIPE and SIGXFSZ
_ENDS = (1, 15)  # SIGHUP and SIGTERM, with which Python ends at once


class Child:
    """A process of ours. Thread-safe; what it offers is what `subprocess.Popen` offers."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._reaping = _thread.allocate_lock()

    def wait(self) -> int:
        """Its exit status, negative for a signal, when it has ended. Blocks."""
        if self.returncode is None:
            # Without taking the status: whoever kills it at this moment kills no other.
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._reaping:
            if self.returncode is None:
                _, status = os.waitpid(self.pid, 0)
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def kill(self) -> None:
        """SIGKILL it, unless it has been waited for."""
        with self._reaping:
            if self.returncode is None:
                os.kill(self.pid, _SIGKILL)


class HeadStart:
    """A supervisor on its way, and what its host has of it; both descriptors are owned.

    Attributes:
        directory: its own, new.
        expect: the level of isolation that will be asked of it first; None: the best.
        lifeline: while it is open, the supervisor stays.
        ready: a pipe by which it says that it is ready.
    """

    def __init__(
        self, directory: str, expect: str | None, child: Child, lifeline: int, ready: int
    ) -> None:
        self.directory = directory
        self.expect = expect
        self.child = child
        self.lifeline = lifeline
        self.ready = ready


_begun: list[HeadStart] = []


def begin(expect: str | None) -> None:
    """Start the private supervisor of this process's first session; `take` has it.

    Nothing happens where that cannot be done so early, or fails: then it is done, and fails, in the
    usual way. To be called while the process has one thread.
    """
    directory = f"{_temporary()}/tidemark-{os.urandom(6).hex()}"
    opened: list[int] = []
    # Until there is somebody who removes the directory.
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, _ENDS)
    try:
        for standard in range(3):
            os.fstat(standard)  # else one of our pipes would be in its place
        os.mkdir(directory, _DIRECTORY_MODE)
        child = _spawn(directory, expect, opened, before)
    except BaseException as error:
        for descriptor in opened:
            os.close(descriptor)
        _remove(directory)
        # The second is of a C library that cannot begin a session.
        if isinstance(error, (OSError, NotImplementedError)):
            return
        raise
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
    lifeline, ready, *rest = opened
    for descriptor in rest:
        os.close(descriptor)
    _begun.append(HeadStart(directory, expect, child, lifeline, ready))


def take(expect: str | None) -> HeadStart | None:
    """What was begun, if it is for this level. It is the caller's then."""
    if _begun and _begun[0].expect == expect:
        return _begun.pop()
    return None


def is_left() -> bool:
    """Whether something was begun that nobody has taken."""
    return bool(_begun)


def left_over() -> HeadStart | None:
    """What was begun, and nobody has taken. It is the caller's then."""
    return _begun.pop() if _begun else None


def supervisor_command(
    directory: str, durability: str, expect: str | None, ready: int, own: Sequence[str]
) -> list[str]:
    """What starts a supervisor.

    Args:
        ready: the descriptor to which it says that it is ready.
        own: what else it is told.
    """
    # -P: what lies in this host's working directory must not be imported.
    command = [sys.executable, "-P", "-m", "tidemark.supervisor", "--state", directory]
    command += ["--durability", durability, "--ready-fd", str(ready), *own]
    return command if expect is None else [*command, "--expect", expect]


def as_private() -> list[str]:
    """What a private supervisor of this process is told beside that."""
    return ["--private", "--host-pid", str(os.getpid())]


def _spawn(directory: str, expect: str | None, opened: list[int], mask: Iterable[int]) -> Child:
    """Start it, with these signals blocked.

    What is opened for that is in `opened`: the lifeline, `ready`, and the others.
    """
    reading, lifeline = os.pipe()
    opened[:] = lifeline, reading
    ready, saying = os.pipe()
    opened[:] = lifeline, ready, reading, saying
    log = os.open(f"{directory}/supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, _LOG_MODE)
    opened.append(log)
    os.write(log, b" ")  # or there is no room, and the usual way finds another place
    os.ftruncate(log, 0)
    os.set_inheritable(saying, True)
    command = supervisor_command(directory, "crash", expect, saying, as_private())
    pid = os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, reading, 0),
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
            *((os.POSIX_SPAWN_CLOSE, each) for each in _inherited() if each != saying),
        ],
        setsid=True,
        setsigmask=mask,
        setsigdef=_IGNORED_BY_PYTHON,
    )
    return Child(pid)


def _inherited() -> list[int]:
    """What this process was started with, and would hand on, beside the standard three."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
        except OSError:  # that of the listing itself
            continue
    return found


def _temporary() -> str:
    """Where temporary files are, as `tempfile` would most likely say."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        if given := os.environ.get(name):
            return os.path.abspath(given)
    return "/tmp"


def _remove(directory: str) -> None:
    try:
        for name in os.listdir(directory):
            os.unlink(f"{directory}/{name}")
        os.rmdir(directory)
    except OSError:
        return  # it was not made
