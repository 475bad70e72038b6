"""What SQLite does to its files, written down: a layer under the sqlite3 that Python uses.

SQLite reaches files through a "VFS", a table of C functions. `recorded()` registers one that passes
everything on to the real one, and notes writes, truncations, syncs and deletions on the way. Only
syncs are noted and not done: this machine's power does not fail. `power_cut.py` makes of these
notes what a disk could hold after it did.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any

NAME = b"tidemark-recorded"
IO_METHODS_MAX = 18  # functions in the newest version of sqlite3_io_methods, after its iVersion
CREATE = 0x00000004  # SQLITE_OPEN_CREATE
JOURNALS = 0x00000800 | 0x00004000 | 0x00080000  # main journal, super-journal, WAL


@dataclass(frozen=True)
class Write:
    """Bytes handed over; not yet on the disk."""

    path: str
    offset: int
    content: bytes


@dataclass(frozen=True)
class Truncate:
    """A new length; not yet on the disk."""

    path: str
    size: int


@dataclass(frozen=True)
class Sync:
    """All that was done to this file before is on the disk now; with `directory`, names too."""

    path: str
    directory: bool


@dataclass(frozen=True)
class Delete:
    """The name is gone, and with `synced` on the disk too."""

    path: str
    synced: bool


Step = Write | Truncate | Sync | Delete


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", c_void_p),
        ("xDelete", c_void_p),
        ("others", c_void_p * 14),
    )


class _Methods(ctypes.Structure):
    _fields_ = (("iVersion", c_int), ("functions", c_void_p * IO_METHODS_MAX))


_CLOSE, _WRITE, _TRUNCATE, _SYNC = 0, 2, 3, 4  # places in sqlite3_io_methods
_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
_Delete = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_Close = CFUNCTYPE(c_int, c_void_p)
_Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)


def library() -> ctypes.CDLL | None:
    """The SQLite that the sqlite3 module uses; None if it does not show its functions."""
    found = ctypes.CDLL(_sqlite3.__file__)  # looks into what this is linked with, too
    try:
        found.sqlite3_vfs_find.restype = POINTER(_Vfs)
        found.sqlite3_vfs_find.argtypes = [c_char_p]
        found.sqlite3_vfs_register.argtypes = [POINTER(_Vfs), c_int]
        found.sqlite3_vfs_unregister.argtypes = [POINTER(_Vfs)]
    except AttributeError:
        return None
    return found


class Recorder:
    """The steps so far, in their order; `record` is called by SQLite, in whatever thread."""

    def __init__(self, real: _Vfs) -> None:
        self.steps: list[Step] = []
        self._real = real
        self._open = _Open(real.xOpen)
        self._remove = _Delete(real.xDelete)
        self._paths: dict[int, str] = {}
        self._new: set[int] = set()
        self._tables: dict[int, tuple[_Methods, Any]] = {}
        self._kept: list[Any] = []  # C has their addresses
        self.vfs = _Vfs.from_buffer_copy(real)
        self.vfs.zName = NAME
        self.vfs.pNext = None
        self.vfs.xOpen = self._address(_Open(self._on_open))
        self.vfs.xDelete = self._address(_Delete(self._on_delete))

    def _address(self, function: Any) -> int | None:
        self._kept.append(function)
        return ctypes.cast(function, c_void_p).value

    def _on_open(self, vfs: int, name: int | None, file: int, flags: int, out: Any) -> int:
        status: int = self._open(ctypes.addressof(self._real), name, file, flags, out)
        if status == 0 and name is not None:
            self._paths[file] = os.path.basename(os.fsdecode(ctypes.string_at(name)))
            if flags & CREATE and flags & JOURNALS:
                self._new.add(file)  # its first sync is one of its directory, too
            methods = ctypes.cast(file, POINTER(c_void_p))
            methods[0] = self._recording(methods[0])
        return status

    def _on_delete(self, vfs: int, name: bytes, sync: int) -> int:
        status: int = self._remove(ctypes.addressof(self._real), name, sync)
        if status == 0:
            self.steps.append(Delete(os.path.basename(os.fsdecode(name)), bool(sync)))
        return status

    def _recording(self, address: int) -> int:
        """A table of functions like the one at this address, that writes down and passes on."""
        if address not in self._tables:
            real = _Methods.from_address(address)
            version: int = real.iVersion
            table = _Methods()
            # A table of an older version ends earlier.
            count = {1: 12, 2: 16}.get(version, IO_METHODS_MAX)
            ctypes.memmove(ctypes.addressof(table), address, _Methods.functions.offset + 8 * count)
            functions = self._functions(real)
            for place, function in functions.items():
                table.functions[place] = self._address(function)
            self._tables[address] = (table, functions)
        return ctypes.addressof(self._tables[address][0])

    def _functions(self, real: _Methods) -> dict[int, Any]:
        close, write = _Close(real.functions[_CLOSE]), _Write(real.functions[_WRITE])
        truncate = _Truncate(real.functions[_TRUNCATE])

        def noted(status: int, make: Callable[[], Step]) -> int:
            if status == 0:
                self.steps.append(make())
            return status

        def on_write(file: int, content: int, size: int, offset: int) -> int:
            status = write(file, content, size, offset)
            path = self._paths[file]
            return noted(status, lambda: Write(path, offset, ctypes.string_at(content, size)))

        def on_truncate(file: int, size: int) -> int:
            return noted(truncate(file, size), lambda: Truncate(self._paths[file], size))

        def on_sync(file: int, flags: int) -> int:
            self.steps.append(Sync(self._paths[file], file in self._new))
            self._new.discard(file)
            return 0

        def on_close(file: int) -> int:
            self._new.discard(file)
            self._paths.pop(file, None)
            status: int = close(file)
            return status

        return {
            _CLOSE: _Close(on_close),
            _WRITE: _Write(on_write),
            _TRUNCATE: _Truncate(on_truncate),
            _SYNC: _Sync(on_sync),
        }


@contextmanager
def recorded(sqlite: ctypes.CDLL) -> Iterator[Recorder]:
    """Every database that is opened meanwhile is written down; close them before this ends."""
    real = sqlite.sqlite3_vfs_find(None)
    recorder = Recorder(real.contents)
    assert sqlite.sqlite3_vfs_register(ctypes.byref(recorder.vfs), 1) == 0
    try:
        yield recorder
    finally:
        sqlite.sqlite3_vfs_unregister(ctypes.byref(recorder.vfs))
        assert sqlite.sqlite3_vfs_register(real, 1) == 0
