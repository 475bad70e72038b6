"""Things outside of cells that show when somebody has touched them: files, sockets, a process."""

from __future__ import annotations

import errno
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from fakes.process_watch import alive, is_hit, stopped
from fakes.waiting import until

VICTIM = """
import ctypes, sys
secret = sys.stdin.readline().strip().encode()
kept = ctypes.create_string_buffer(secret)
opened = open(sys.argv[1])
print(ctypes.addressof(kept), opened.fileno(), flush=True)
sys.stdin.read()
"""
DEVICES = ("/dev/shm", "/tmp")


class Victim:
    """A process of the same user as the supervisor, with a secret in its memory.

    Attributes:
        address: where the secret is.
        descriptor: of a file that it has open.
    """

    def __init__(self, python: tuple[str, ...], secret: str, opened: Path) -> None:
        self.process = subprocess.Popen(
            [*python, "-I", "-S", "-c", VICTIM, str(opened)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            text=True,
            start_new_session=True,  # or the kernel may wake it when others of its group end
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(secret + "\n")
        self.process.stdin.flush()
        self.address, self.descriptor = map(int, self.process.stdout.readline().split())
        self._before = self._look()

    def _look(self) -> tuple[Any, ...]:
        found = psutil.Process(self.process.pid)
        limits = Path(f"/proc/{self.process.pid}/limits").read_text()
        return found.nice(), found.cpu_affinity(), found.ionice(), limits

    def harm(self) -> str:
        """What somebody has done to it; empty: nothing."""
        pid = self.process.pid
        until(lambda: is_hit(pid), what="the effect of a signal")
        if not alive(pid):
            return "a process outside was killed"
        if stopped(pid):
            return "a process outside was stopped"
        now = self._look()
        return "" if now == self._before else f"a process outside was changed: {now[:3]}"

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


class Listeners:
    """Sockets on loopback, on paths and on abstract names, at which nobody may ever knock."""

    def __init__(self, place: Path, mark: str) -> None:
        self._all: dict[str, socket.socket] = {}
        self.abstract = f"\0{mark}"
        self.paths = {"stream": str(place / "stream.sock"), "datagram": str(place / "dgram.sock")}
        kinds: list[tuple[str, int, int, Any]] = [
            ("TCP", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            ("TCP over IPv6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
            ("UDP", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            ("a path", socket.AF_UNIX, socket.SOCK_STREAM, self.paths["stream"]),
            ("a datagram path", socket.AF_UNIX, socket.SOCK_DGRAM, self.paths["datagram"]),
            ("an abstract name", socket.AF_UNIX, socket.SOCK_STREAM, self.abstract),
            ("an abstract datagram name", socket.AF_UNIX, socket.SOCK_DGRAM, self.abstract + "d"),
        ]
        for name, family, kind, address in kinds:
            try:
                made = socket.socket(family, kind)
            except OSError as error:
                if error.errno != errno.EAFNOSUPPORT:
                    raise
                continue  # a machine without IPv6 has nothing to attack there
            made.setblocking(False)
            try:
                made.bind(address)
            except OSError:
                made.close()
                if family != socket.AF_INET6:
                    raise
                continue
            if kind == socket.SOCK_STREAM:
                made.listen(64)
            self._all[name] = made
        for path in self.paths.values():
            os.chmod(path, 0o777)

    def port(self, name: str) -> int:
        """The port of one of them; 0: this machine has none of the kind."""
        made = self._all.get(name)
        return 0 if made is None else int(made.getsockname()[1])

    def harm(self) -> str:
        """Who has knocked; asking forgets it."""
        found = []
        for name, made in self._all.items():
            try:
                while True:
                    if made.type == socket.SOCK_STREAM:
                        made.accept()[0].close()
                    else:
                        made.recv(100)
                    if name not in found:
                        found.append(name)
            except BlockingIOError:
                continue
        return f"it has reached {', '.join(found)} outside" if found else ""

    def close(self) -> None:
        """Listen no more."""
        for made in self._all.values():
            made.close()


class Files:
    """A directory with a secret, a public file and a directory for everybody."""

    def __init__(self, place: Path, owner: int | None, secret: str) -> None:
        self.place = place / "canaries"
        self.place.mkdir(mode=0o755)
        self.secret = self.place / "secret.txt"
        self.public = self.place / "public.txt"
        self.open = self.place / "open"
        self.secret.write_text(secret)
        self.public.write_text(secret)
        self.open.mkdir()
        self.open.chmod(0o1777)
        self.place.chmod(0o755)
        self.secret.chmod(0o600)
        self.public.chmod(0o644)
        if owner is not None:
            for path in (self.place, self.secret, self.public):
                os.chown(path, owner, owner)
        self._before = self._look()

    def _look(self) -> dict[str, tuple[Any, ...]]:
        found: dict[str, tuple[Any, ...]] = {".": (sorted(os.listdir(self.place)),)}
        found["open"] = (sorted(os.listdir(self.open)),)
        for path in (self.secret, self.public):
            if not path.is_file() or path.is_symlink():
                found[path.name] = ("gone",)
                continue
            status = path.stat()
            marks = {name: os.getxattr(path, name) for name in os.listxattr(path)}
            owner = (status.st_mode, status.st_uid, status.st_nlink, status.st_mtime_ns)
            found[path.name] = (path.read_bytes(), *owner, marks)
        return found

    def harm(self) -> str:
        """What somebody has done to them."""
        if os.path.ismount(self.place):
            subprocess.run(["umount", "--lazy", str(self.place)], check=True)
            return "something was mounted on a directory outside"
        now = self._look()
        changed = [name for name in self._before if now[name] != self._before[name]]
        return f"files outside were changed: {', '.join(changed)}" if changed else ""


class Canaries:
    """All of them, for one supervisor. The caller removes the directory.

    Attributes:
        secrets: where each text is that no cell may come to know.
    """

    def __init__(
        self, place: Path, mark: str, python: tuple[str, ...], owner: int | None, library: Path
    ) -> None:
        """`python` runs as the supervisor's user, and has this standard library."""
        self.mark = mark
        self._library = library
        self.secrets = {
            name: f"canary-{secrets.token_hex(12)}"
            for name in ("file", "memory", "environment", "sibling", "stored")
        }
        self._python = python
        self._make_files = lambda: Files(place, owner, self.secrets["file"])
        self.files = self._make_files()
        self.listeners = Listeners(place, mark)
        self.victim = self._new_victim()

    def _new_victim(self) -> Victim:
        return Victim(self._python, self.secrets["memory"], self.files.secret)

    def told(self) -> dict[str, Any]:
        """Where they are: what an attacker may be supposed to know."""
        return {
            "mark": self.mark,
            "secret": str(self.files.secret),
            "public": str(self.files.public),
            "place": str(self.files.place),
            "open": str(self.files.open),
            "tcp": self.listeners.port("TCP"),
            "tcp6": self.listeners.port("TCP over IPv6"),
            "udp": self.listeners.port("UDP"),
            "stream": self.listeners.paths["stream"],
            "datagram": self.listeners.paths["datagram"],
            "abstract": self.listeners.abstract,
            "victim": self.victim.process.pid,
            "address": self.victim.address,
            "descriptor": self.victim.descriptor,
        }

    def harm(self) -> str:
        """What was done to any of them, once; those that were harmed are replaced."""
        found = [self.listeners.harm()]
        files = self.files.harm()
        if files:
            _remove(self.files.place)
            self.files = self._make_files()
        victim = self.victim.harm()
        if victim or files:
            self.victim.close()
            self.victim = self._new_victim()
        found += [files, victim, *self._left_in_devices()]
        return "; ".join(each for each in found if each)

    def _left_in_devices(self) -> list[str]:
        found = []
        for place in DEVICES:
            for path in Path(place).glob(f"{self.mark}*"):
                _remove(path)
                found.append(f"{path} was made")
        library = self._library / f"{self.mark}.py"
        if library.exists():
            library.unlink()
            found.append(f"{library} was made")
        return found

    def close(self) -> None:
        """End and close what is alive."""
        self.victim.close()
        self.listeners.close()


def _remove(path: Path) -> None:
    """Remove whatever it is; directories by a program that knows no recursion limit."""
    if path.is_dir() and not path.is_symlink():
        subprocess.run(["rm", "-rf", str(path)], check=True)
    else:
        path.unlink(missing_ok=True)


def peak_memory(pid: int, *, reset: bool = False) -> int:
    """The most bytes that a process has had in memory since the last reset."""
    if reset:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def gone(pids: set[int]) -> Callable[[], bool]:
    """Whether none of these processes lives any more."""
    return lambda: not any(alive(pid) for pid in pids)


def end(pids: set[int]) -> None:
    """SIGKILL what an attack of ours has left, and wait for it."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    until(gone(pids), seconds=5, what=f"the end of {pids}")
