"""Starting a zygote, with what Python has loaded anyway: it is the first thing a supervisor does.

A zygote takes as long to start as the supervisor itself, so the two start side by side. What is
imported before that, nobody does anything beside; so here nothing is but what is in it anyway.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LEVELS = ("process", "restricted", "sealed")
LONGEST = "restricted"  # of these names
SOCKET_PATH_BYTES_MAX = 100  # sun_path has 108; libzmq and a terminating zero want some
ORPHAN_SECONDS = 60.0  # how long a zygote waits for its supervisor's successor
_KEPT = ("PATH", "LANG", "LANGUAGE", "TZ", "HOME", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
_HASH_SEED = 0  # one hash order for every cell of every zygote: replay depends on it
ABANDON_SECONDS = 2.0  # that a zygote may take to remove what it has made
_DIRECTORY_MODE = 0o700
_ALWAYS_HERE = 2  # standard input, output and errors
_SIGKILL, _SIGTERM = 9, 15
_BEFORE_OTHERS, _AS_OTHERS = "-10", "0"  # niceness of a session, where autogroups are on
_HASTE_BEGINS_SECONDS_MAX = 0.03  # a zygote that was started before that may be ready
PRECEDENCE = "TIDEMARK_PRECEDENCE"  # in the environment: one of these
FIRST, USUAL = "first", "usual"
_KNOWN = {"--state", "--durability", "--ready-fd", "--host-pid", "--expect"}
_IGNORED_BY_PYTHON = (13, 25)  # SIGPIPE and SIGXFSZ; `signal` has them, and takes a while to import


class ZygoteProcess:
    """The first process of a zygote, our child.

    Attributes:
        returncode: its exit status, negative for a signal; 0 as well if somebody else has asked
            (see `orphans`); None: it has not been seen to end.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Look whether it has ended."""
        return self._look(os.WNOHANG)

    def wait(self, seconds: float | None = None) -> int:
        """Its exit status, when it has ended. Blocks.

        Raises:
            TimeoutError: it has not within so many seconds.
        """
        if seconds is not None and self.poll() is None:
            import select

            pidfd = os.pidfd_open(self.pid)
            try:
                if not select.select([pidfd], [], [], seconds)[0]:
                    raise TimeoutError(f"process {self.pid} has not ended")
            finally:
                os.close(pidfd)
        return self._look(0) or 0

    def kill(self) -> None:
        """SIGKILL it, if it has not been waited for: its number is nobody else's until then."""
        if self.poll() is None:
            os.kill(self.pid, _SIGKILL)

    def end(self, seconds: float) -> None:
        """Have it end in order, or kill it after so many seconds. Blocks until it is gone."""
        if self.poll() is None:
            os.kill(self.pid, _SIGTERM)
        try:
            self.wait(seconds)
        except TimeoutError:
            self.kill()  # its workers die with it
            self.wait()

    def _look(self, options: int) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:
                self.returncode = 0
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode


class StartedZygote:
    """A zygote on its way. `ready` is a pipe that says `ready` once it listens; both are owned."""

    def __init__(self, process: ZygoteProcess, ready: int, level: str) -> None:
        self.process = process
        self.ready = ready
        self.level = level

    def abandon(self) -> None:
        """End it: its supervisor could not start."""
        self.process.end(ABANDON_SECONDS)
        os.close(self.ready)


def scrubbed_environment() -> dict[str, str]:
    """What workers may know of the supervisor's environment: where things are, and the language."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    kept.update({name: value for name, value in os.environ.items() if name.startswith("LC_")})
    # One BLAS thread: a zygote must stay single-threaded to fork. One arena: that of a second
    # thread takes 64 to 128 MiB of address space, at a moment of its own, and the limit of a cell's
    # memory is one of address space: it was larger or smaller by so much, as the moment fell.
    kept.update(OPENBLAS_NUM_THREADS="1", MALLOC_ARENA_MAX="1", PYTHONHASHSEED=str(_HASH_SEED))
    return kept


def zygote_socket(run: str | os.PathLike[str], level: str) -> str:
    """Where the zygote of this level listens."""
    return f"{os.fspath(run)}/zygote-{level}.sock"


def zygote_arguments(
    *,
    work: str,
    workers: str,
    orphan_seconds: float = ORPHAN_SECONDS,
    preload: Sequence[str] = (),
    package_paths: Sequence[str] = (),
) -> list[str]:
    """What every zygote of this supervisor is told on its command line."""
    arguments = ["--supervisor-pid", str(os.getpid()), "--work", work]
    arguments += ["--orphan-seconds", str(orphan_seconds), "--workers", workers]
    arguments += [f"--preload={module}" for module in preload]
    return arguments + [f"--package-path={path}" for path in package_paths]


def private_arguments(host_pid: int, directory: str) -> list[str]:
    """And those of a private supervisor beside that."""
    return ["--private", "--host-pid", str(host_pid), "--directory", directory]


def start_zygote(
    socket_path: str, level: str, extra: Sequence[str], log: int, *, goes_first: bool = False
) -> StartedZygote:
    """Start a zygote of this level in a session of its own; its errors go to `log`.

    `goes_first`: before others, where it may, until it is ready; it ends that by itself.

    Raises:
        OSError: the machine does not give what it needs.
    """
    ready, ready_write = _pipe()
    nothing = os.open(os.devnull, os.O_RDWR)
    arguments = ["--socket", socket_path, "--ready-fd", str(ready_write), *extra]
    arguments += ["--level", level]
    began = time.monotonic()
    try:
        os.set_inheritable(ready_write, True)
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", "tidemark.worker", *arguments],
            scrubbed_environment(),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, nothing, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                *((os.POSIX_SPAWN_CLOSE, each) for each in _inherited(ready_write)),
            ],
            setsid=True,
            setsigmask=(),  # whatever our host has blocked, or ignores: it is ended by SIGTERM
            setsigdef=(*_IGNORED_BY_PYTHON, _SIGTERM),
        )
    except BaseException:
        os.close(ready)
        raise
    finally:
        os.close(nothing)
        os.close(ready_write)
    os.set_blocking(ready, False)
    if goes_first:
        _hasten(pid, began)
    return StartedZygote(ZygoteProcess(pid), ready, level)


def _hasten(pid: int, began: float) -> None:
    """Give the session of this child nine times the share of the processors that another has.

    The child ends that when it is ready. If we were kept from it for so long that it may have done
    so before, it is ended here.
    """
    try:
        with open(f"/proc/{pid}/autogroup", "w", encoding="ascii") as share:
            share.write(_BEFORE_OTHERS)
            share.flush()
            if time.monotonic() - began > _HASTE_BEGINS_SECONDS_MAX:
                share.seek(0)
                share.write(_AS_OTHERS)
    except OSError:
        return  # not root, or no autogroups here: everything works without


def _pipe() -> tuple[int, int]:
    """A pipe that is in the place of no standard file: the child has others there."""
    ends = list(os.pipe())
    taken = []
    for at, end in enumerate(ends):
        while end <= _ALWAYS_HERE:
            taken.append(end)
            end = os.dup(end)
        ends[at] = end
    for low in taken:
        os.close(low)
    return ends[0], ends[1]


def _inherited(kept: int) -> list[int]:
    """What a process that is started would find open beside this one."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor in (0, 1, 2, kept):
            continue
        try:
            inherited = os.get_inheritable(descriptor)
        except OSError:  # that of the listing itself
            continue
        if inherited:
            found.append(descriptor)
    return found


def begin(words: Sequence[str]) -> StartedZygote | None:
    """The zygote of a supervisor with this command line, if it can be told so early which one.

    That is one of a private supervisor on a new directory, which is made ready for it. None: it is
    to be started when the command line has been read, and the directory is held.
    """
    given = _given(words)
    if given is None:
        return None
    directory, host_pid, level = given
    run, work = f"{directory}/run", f"{directory}/work"
    try:
        # It is there if there was a supervisor before: then there may be a zygote, too.
        os.mkdir(run, _DIRECTORY_MODE)
        os.mkdir(f"{run}/workers", _DIRECTORY_MODE)
        os.mkdir(work, _DIRECTORY_MODE)
        arguments = zygote_arguments(work=work, workers=f"{run}/workers")
        arguments += private_arguments(host_pid, directory)
        os.chdir("/")  # as every supervisor does
        goes_first = (os.environ.get(PRECEDENCE) or FIRST) == FIRST
        path = zygote_socket(run, level)
        return start_zygote(path, level, arguments, _ALWAYS_HERE, goes_first=goes_first)
    except OSError:
        return None  # what stands in the way is found again, and told, when it is tried once more


def _given(words: Sequence[str]) -> tuple[str, int, str] | None:
    """Directory, host and level of a command line that has nothing else to say of its zygote."""
    values = {}
    left = iter(words)
    for word in left:
        if word == "--private":
            values[word] = word
        elif word in _KNOWN and word not in values:
            values[word] = next(left, "")
        else:
            return None
    directory, host_pid = values.get("--state", ""), values.get("--host-pid", "")
    level = values.get("--expect", LEVELS[-1])
    is_told = "--private" in values and directory.startswith("/") and host_pid.isdecimal()
    # Where the directory's path is too long for a socket the supervisor finds another place.
    is_short = len(os.fsencode(zygote_socket(f"{directory}/run", LONGEST))) <= SOCKET_PATH_BYTES_MAX
    if not (is_told and is_short and level in LEVELS):
        return None
    return directory, int(host_pid), level
