"""Builds the root directory of sealed cells: what they need to read, and nothing else exists."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from typing import Final

from .. import kernel
from . import places
from .syscalls import this_machine

WORK: Final = "/cell"
WORKERS: Final = "/workers"

_READ_ONLY: Final = 1
_NO_SUID: Final = 2
_NO_DEVICES: Final = 4
_NO_EXEC: Final = 8
_REMOUNT: Final = 32
_BIND: Final = 4096
_RECURSIVE: Final = 16384
_PRIVATE: Final = 1 << 18
_DETACH: Final = 2
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000
_ROOT_BYTES: Final = "4m"  # directories, links and empty files to mount on
_OLD: Final = "/outside"


def build(readable: Iterable[str], workers: str) -> None:
    """Make a root of these places, the devices and the directory with the workers' socket.

    For a process in a mount namespace of its own, with the privilege to mount. Everything is
    read-only; `WORK` is an empty directory to mount on. What was there before is unreachable,
    but for descriptors that are open.

    Raises:
        OSError: the kernel refused.
    """
    os.umask(0o022)
    kernel.mount("", "/", "", _PRIVATE | _RECURSIVE, "")
    # Hides nothing: when this becomes the root, what was here before is beneath the old one.
    stage = "/tmp"
    options = f"size={_ROOT_BYTES},mode=755"
    kernel.mount("tmpfs", stage, "tmpfs", _NO_SUID | _NO_DEVICES, options)
    os.mkdir(stage + _OLD)
    os.chdir(stage)
    _pivot(stage, stage + _OLD)
    os.chdir("/")
    for place in readable:
        _show(place)
    for device in places.DEVICES:
        if os.path.exists(_OLD + device):
            _bind(_OLD + device, device, _READ_ONLY | _NO_SUID | _NO_EXEC)
    _bind(_real(workers), WORKERS, _READ_ONLY | _NO_SUID | _NO_DEVICES | _NO_EXEC)
    os.mkdir(WORK)
    kernel.unmount(_OLD, _DETACH)
    os.rmdir(_OLD)
    kernel.mount("", "/", "", _REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_DEVICES, "")


def mount_work(work_bytes: int, files_max: int) -> None:
    """Mount an empty directory of this size on `WORK`, and work there.

    Raises:
        OSError: the kernel refused.
    """
    options = f"size={work_bytes},nr_inodes={files_max},mode=700"
    kernel.mount("tmpfs", WORK, "tmpfs", _NO_SUID | _NO_DEVICES | _NO_EXEC, options)
    os.chdir(WORK)


def _pivot(new: str, old: str) -> None:
    number = this_machine().number("pivot_root")
    assert number is not None
    kernel.system_call("pivot_root", number, _text(new), _text(old))


def _text(path: str) -> ctypes.c_void_p:
    # The pointer keeps the characters alive.
    return ctypes.cast(ctypes.create_string_buffer(os.fsencode(path)), ctypes.c_void_p)


def _show(place: str) -> None:
    """Let a place be seen under the name that it has outside."""
    outside = _OLD + place
    if os.path.islink(outside) and not os.path.lexists(place):
        target = os.readlink(outside)
        if not os.path.isabs(target) and os.path.dirname(place) == "/":
            os.symlink(target, place)  # /lib -> usr/lib, which is shown itself
            return
    _bind(_real(place), place, _READ_ONLY | _NO_SUID | _NO_DEVICES)


def _real(place: str) -> str:
    """Where a path leads outside, as a path from here."""
    path = ""
    rest = place.split("/")[1:]
    hops = 0
    while rest:
        part = rest.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            path = os.path.dirname(path).rstrip("/")
            continue
        here = f"{path}/{part}"
        if os.path.islink(_OLD + here):
            hops += 1
            if hops > 40:
                raise OSError(f"{place} is a link without end")
            target = os.readlink(_OLD + here)
            rest = target.split("/") + rest
            path = "" if os.path.isabs(target) else path
            continue
        path = here
    return _OLD + path


def _bind(source: str, target: str, attributes: int) -> None:
    if not os.path.lexists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if stat.S_ISDIR(os.stat(source).st_mode):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o444))
    kernel.mount(source, target, "", _BIND | _RECURSIVE, "")
    # With everything that is mounted beneath it, which a remount would leave writable.
    asked = ctypes.create_string_buffer(struct.pack("=QQQQ", attributes, 0, 0, 0), 32)
    kernel.system_call(
        f"mount_setattr {target} (Linux 5.12 has it)",
        kernel.SYS_MOUNT_SETATTR,
        ctypes.c_long(_AT_FDCWD),
        _text(target),
        ctypes.c_long(_AT_RECURSIVE),
        ctypes.cast(asked, ctypes.c_void_p),
        ctypes.c_long(32),
    )
