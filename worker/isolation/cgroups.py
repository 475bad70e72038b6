"""Bounds the memory of a cell as a whole, where the system lets us: cgroups, both versions."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from ...protocol.classes import dataclass

NAME: Final = "tidemark-zygote-"
# What a worker needs beside its cell: its heap, libzmq, tables of the kernel.
OWN_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Files:
    """What the files of a version are called."""

    version: int
    entrance: str
    bound: str
    peak: str
    events: str


# "tasks" and not "cgroup.procs": a thread that moves itself needs no lock of the whole machine,
# which may take 10 ms to get.
V1: Final = Files(
    1, "tasks", "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"
)
V2: Final = Files(2, "cgroup.procs", "memory.max", "memory.peak", "memory.events")


class NoCgroup(OSError):
    """No group can be made here; the text says why and what would help."""


class Cage:
    """The group of one cell. Descriptors stay true whatever is mounted later."""

    def __init__(self, place: int, name: str, files: Files) -> None:
        self._parent = place
        self._name = name
        self._files = files
        self._place = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place)

    def enter(self) -> None:
        """Put the calling process into it; it must have one thread.

        Raises:
            OSError: the system refused.
        """
        _write(self._place, self._files.entrance, "0")

    def kills(self) -> int:
        """How often the kernel has ended a process of it for want of memory."""
        for line in _read(self._place, self._files.events).splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
        return 0

    def peak_bytes(self) -> int:
        """The most that it ever had; 0: this kernel does not tell."""
        try:
            return int(_read(self._place, self._files.peak))
        except FileNotFoundError:
            return 0

    def remove(self) -> None:
        """Remove it; its processes must be gone. One that stays is removed with the others."""
        os.close(self._place)
        with suppress(OSError):
            os.rmdir(self._name, dir_fd=self._parent)


class Cages:
    """The group in which a zygote makes those of its cells."""

    def __init__(self, path: str, files: Files) -> None:
        self.files = files
        self.path = path
        self._place = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._made = 0

    def make(self, bytes_max: int) -> Cage:
        """A group with this bound.

        Raises:
            OSError: the system refused.
        """
        self._made += 1
        name = f"cell-{self._made}"
        os.mkdir(name, dir_fd=self._place)
        cage = Cage(self._place, name, self.files)
        try:
            _write(self._place, f"{name}/{self.files.bound}", str(bytes_max))
        except OSError:
            cage.remove()
            raise
        return cage

    def remove(self) -> None:
        """Remove everything; the cells must be gone, and the file system be that of the start."""
        os.close(self._place)
        _remove(self.path)


def find() -> Cages:
    """Make a group beneath the one that this process is in.

    Raises:
        NoCgroup: the system does not let us.
    """
    parent, files = _own_group()
    _sweep(parent)
    path = os.path.join(parent, f"{NAME}{os.getpid()}")
    made = False
    try:
        if files is V2:
            _hand_down_memory(parent)
        os.mkdir(path)
        made = True
        if files is V2:
            with open(os.path.join(path, "cgroup.subtree_control"), "w") as file:
                file.write("+memory")
        cages = Cages(path, files)
        cages.make(1 << 30).remove()
    except OSError as error:
        if made:
            _remove(path)
        what = "run it in a delegated cgroup, as with systemd-run --user --scope -p Delegate=yes"
        raise NoCgroup(f"{parent}: {error.strerror or error}; {what}") from error
    return cages


def _hand_down_memory(parent: str) -> None:
    with open(os.path.join(parent, "cgroup.subtree_control"), "r+") as file:
        if "memory" not in file.read().split():
            file.write("+memory")


def _own_group() -> tuple[str, Files]:
    with open("/proc/self/cgroup") as file:
        own = [line.rstrip("\n").split(":", 2) for line in file]
    for _, controllers, path in own:
        if "memory" in controllers.split(","):
            return _mounted("cgroup", "memory", path), V1
    for number, _, path in own:
        if number == "0":
            parent = _mounted("cgroup2", "", path)
            with open(os.path.join(parent, "cgroup.controllers")) as file:
                if "memory" in file.read().split():
                    return parent, V2
            raise NoCgroup(f"{parent} has no memory controller; have it delegated to this group")
    raise NoCgroup("this system has no cgroups; mount them")


def _mounted(kind: str, option: str, path: str) -> str:
    """Where the group with this path is in the file system."""
    with open("/proc/self/mountinfo") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            found, _, options = rest.split()[:3]
            if found != kind or (option and option not in options.split(",")):
                continue
            root, point = fields.split()[3:5]
            relative = os.path.relpath(path, root) if root != "/" else path.lstrip("/")
            if not relative.startswith(".."):
                return os.path.normpath(os.path.join(point, relative))
    raise NoCgroup(f"the group {path} is not mounted here; mount {kind}")


def _sweep(parent: str) -> None:
    """Remove what zygotes have left behind that were killed."""
    with suppress(OSError):
        for name in os.listdir(parent):
            number = name.removeprefix(NAME)
            if name != number and number.isdigit() and not os.path.exists(f"/proc/{number}"):
                _remove(os.path.join(parent, name))


def _remove(path: str) -> None:
    with suppress(OSError):  # one with a process in it; the next zygote sweeps
        for name in _directories(path):
            os.rmdir(name)
        os.rmdir(path)


def _directories(path: str) -> Iterable[str]:
    with os.scandir(path) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _write(place: int, name: str, text: str) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=place)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _read(place: int, name: str) -> str:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=place)
    try:
        return os.read(descriptor, 4096).decode()
    finally:
        os.close(descriptor)
