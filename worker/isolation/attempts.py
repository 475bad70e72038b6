"""What a self-test cell tries, each of which must fail, or must work, before a level is granted.

This runs where a cell would, after everything was given up that a cell gives up; nothing of it is
more hostile than the least of what cells may do.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import socket
import threading
from collections.abc import Callable
from typing import Final, TypeAlias

from ...protocol.classes import dataclass
from . import capabilities, levels
from .targets import Targets

Act: TypeAlias = Callable[[Targets], object]

_GET_DUMPABLE: Final = 3
_GET_NO_NEW_PRIVS: Final = 39
_NEW_USERS: Final = 0x1000_0000
_ATTACH: Final = 16
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
FILL_BYTES: Final = 2 * 1024 * 1024  # more than the self-test's work directory may hold


@dataclass(frozen=True, slots=True)
class Attempt:
    """One thing that is tried.

    Attributes:
        of: the property that it tests.
        what: for people.
        act: raises OSError if it is refused, as it must be.
    """

    of: str
    what: str
    act: Act


def _called(name: str, *arguments: object) -> int:
    ctypes.set_errno(0)
    result = int(getattr(_LIBC, name)(*arguments))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _write(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def _list(path: str) -> Act:
    return lambda _: os.listdir(path)


def _change_mode(targets: Targets) -> None:
    before = os.stat(targets.file).st_mode
    os.chmod(targets.file, 0o644)
    if os.stat(targets.file).st_mode == before:
        raise PermissionError(errno.EPERM, "it had no effect")


def _connect_inet(targets: Targets) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as opened:
        opened.settimeout(1)
        opened.connect(("127.0.0.1", targets.port))


def _open_kind(family: int, kind: int) -> Act:
    return lambda _: socket.socket(family, kind).close()


def _connect_path(targets: Targets) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.connect(targets.socket)


def _connect_name(targets: Targets) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.connect(targets.name)


def _listen(_: Targets) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("listening.sock")


def _fork(_: Targets) -> None:
    if os.fork() == 0:
        os._exit(0)


def _attach(targets: Targets) -> None:
    _called("ptrace", _ATTACH, targets.pid, None, None)


def _limit(targets: Targets) -> None:
    resource.prlimit(targets.pid, resource.RLIMIT_NOFILE)


def _share(_: Targets) -> None:
    found = _called("shmget", 0x7464_6D6B, 4096, 0o1600)
    _called("shmctl", found, 0, None)


def _fill(_: Targets) -> None:
    with open("fill", "wb") as file:
        for _part in range(FILL_BYTES // 65_536):
            file.write(bytes(65_536))
            file.flush()
    os.unlink("fill")


def _privileges(_: Targets) -> None:
    left = []
    if capabilities.any_left():
        left.append("capabilities are left")
    if _called("prctl", _GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1:
        left.append("no_new_privs is not set")
    if _called("prctl", _GET_DUMPABLE, 0, 0, 0, 0) != 0:
        left.append("it can be dumped")
    if not left:
        raise PermissionError(errno.EPERM, "none is left")


def _inherited(targets: Targets) -> None:
    for number in range(3, 256):
        try:
            os.fstat(number)
        except OSError:
            continue
        if number not in targets.own_descriptors:
            return
    if os.getsid(0) == os.getpid() and not any(name.startswith("TIDE") for name in os.environ):
        raise PermissionError(errno.EPERM, "nothing is left")


def _unbounded(_: Targets) -> None:
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != 0:
        return
    kinds = (resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE)
    if all(resource.getrlimit(kind)[1] != resource.RLIM_INFINITY for kind in kinds):
        raise PermissionError(errno.EPERM, "all are set")


ATTEMPTS: Final = (
    Attempt(levels.NOTHING_INHERITED, "find a descriptor of the zygote", _inherited),
    Attempt(levels.LIMITS, "find a limit that is not set", _unbounded),
    Attempt(levels.NO_PRIVILEGES, "find a privilege", _privileges),
    Attempt(levels.NO_PRIVILEGES, "become root", lambda _: os.setuid(0)),
    Attempt(levels.FILES, "read a file outside", lambda t: os.open(t.file, os.O_RDONLY)),
    Attempt(levels.FILES, "write beside it", lambda t: _write(t.file + ".new")),
    Attempt(levels.FILES, "change its mode", _change_mode),
    Attempt(levels.FILES, "write into the library", lambda _: _write(f"{os.__file__}.new")),
    Attempt(levels.PROGRAMS, "fork", _fork),
    Attempt(levels.PROGRAMS, "start a program", lambda _: os.execv("/bin/true", ["true"])),
    Attempt(levels.PROGRAMS, "make a namespace", lambda _: _called("unshare", _NEW_USERS)),
    Attempt(levels.NETWORK, "connect to 127.0.0.1", _connect_inet),
    Attempt(levels.NETWORK, "open netlink", _open_kind(16, socket.SOCK_RAW)),
    Attempt(levels.NETWORK, "open a packet socket", _open_kind(17, socket.SOCK_RAW)),
    Attempt(levels.HOST_SOCKETS, "connect to a path", _connect_path),
    Attempt(levels.HOST_SOCKETS, "connect to an abstract name", _connect_name),
    Attempt(levels.HOST_SOCKETS, "open a datagram pair", lambda _: socket.socketpair(type=2)),
    Attempt(levels.HOST_SOCKETS, "listen", _listen),
    Attempt(levels.OTHER_PROCESSES, "signal a process outside", lambda t: os.kill(t.pid, 0)),
    Attempt(levels.OTHER_PROCESSES, "signal all", lambda _: os.kill(-1, 0)),
    Attempt(levels.OTHER_PROCESSES, "change its limits", _limit),
    Attempt(levels.OTHER_PROCESSES, "trace it", _attach),
    Attempt(levels.SHARED_NAMES, "make shared memory", _share),
    Attempt(levels.SHARED_NAMES, "make nameless memory", lambda _: os.memfd_create("x")),
    Attempt(levels.SHARED_NAMES, "write to /dev/shm", lambda _: _write("/dev/shm/tidemark-test")),
    Attempt(levels.DISK, "write more than it may", _fill),
    Attempt(levels.OWN_ROOT, "list /proc", _list("/proc")),
    Attempt(levels.OWN_ROOT, "list /sys", _list("/sys")),
    Attempt(levels.OWN_ROOT, "list /home", _list("/home")),
    Attempt(levels.OWN_ROOT, "make a directory in the root", lambda _: os.mkdir("/new")),
)


def _read_library(_: Targets) -> None:
    with open(os.path.join(os.path.dirname(os.__file__), "antigravity.py"), "rb") as file:
        file.read(1)


def _use_work(_: Targets) -> None:
    with open(os.path.join(os.getcwd(), "own"), "w+") as file:
        file.write("x")
    os.unlink("own")


def _use_randomness(_: Targets) -> None:
    with open("/dev/urandom", "rb") as file:
        file.read(1)


def _use_threads(_: Targets) -> None:
    thread = threading.Thread(target=socket.socketpair)
    try:
        thread.start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, str(error)) from None
    thread.join()


USES: Final = (
    Attempt(levels.USABLE, "read a module of the library", _read_library),
    Attempt(levels.USABLE, "write in the work directory", _use_work),
    Attempt(levels.USABLE, "read /dev/urandom", _use_randomness),
    Attempt(levels.USABLE, "start a thread", _use_threads),
)


def reach_supervisor(path: str) -> None:
    """Connect as a worker does that is not connected yet.

    Raises:
        OSError: it cannot.
    """
    with socket.socket(socket.AF_UNIX) as opened:
        opened.connect(path)


def try_all(targets: Targets, promised: tuple[str, ...]) -> dict[str, str]:
    """What was tried, and what came of it: empty, if it is as it must be; else what is wrong.

    Attempts that the level does not promise to stop are left out.
    """
    found: dict[str, str] = {}
    for use in USES:
        if use.of in promised:
            try:
                use.act(targets)
            except OSError as error:
                found[use.what] = f"{use.what}: {error}"
            else:
                found[use.what] = ""
    for attempt in ATTEMPTS:
        if attempt.of in promised:
            try:
                attempt.act(targets)
            except OSError:
                found[attempt.what] = ""
            else:
                found[attempt.what] = f"a cell can {attempt.what}"
    return found
