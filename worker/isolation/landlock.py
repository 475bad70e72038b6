"""Landlock: which files a process can open, which ports it can use, whom it can signal."""

from __future__ import annotations

import ctypes
import functools
import os
import stat
import struct
from collections.abc import Iterable
from typing import Final

from ...protocol.classes import dataclass
from .. import kernel

ABI_MIN: Final = 3  # before it, files could be truncated whatever the rules
_VERSION_ASKED: Final = 1
_PATH_BENEATH: Final = 1

EXECUTE: Final = 1 << 0
WRITE_FILE: Final = 1 << 1
READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
REMOVE_DIR: Final = 1 << 4
REMOVE_FILE: Final = 1 << 5
MAKE_DIR: Final = 1 << 7
MAKE_REG: Final = 1 << 8
MAKE_SYM: Final = 1 << 12
REFER: Final = 1 << 13
TRUNCATE: Final = 1 << 14
IOCTL_DEV: Final = 1 << 15
_ALL_FILES: Final = {3: (1 << 15) - 1, 5: (1 << 16) - 1}  # by ABI
_OF_PLAIN_FILES: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_NET_SINCE, _NET_ALL = 4, 0b11  # bind and connect of TCP
_SCOPE_SINCE, _SCOPE_ALL = 6, 0b11  # abstract sockets, signals

READ: Final = EXECUTE | READ_FILE | READ_DIR
# No sockets, devices or FIFOs; nothing in it can be run.
WORK: Final = (
    READ_FILE | READ_DIR | WRITE_FILE | TRUNCATE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG
) | (MAKE_SYM | REFER)
DEVICE: Final = READ_FILE | WRITE_FILE
_NO_FLAGS: Final = ctypes.c_long(0)


@dataclass(frozen=True, slots=True)
class Rule:
    """What may be done beneath a place; the descriptor stays the caller's."""

    place: int
    rights: int


def abi() -> int:
    """What this kernel's Landlock can do; 0: there is none."""
    null = ctypes.c_void_p(None)
    asked = (null, ctypes.c_long(0), ctypes.c_long(_VERSION_ASKED))
    try:
        return kernel.system_call(
            "landlock_create_ruleset", kernel.SYS_LANDLOCK_CREATE_RULESET, *asked
        )
    except OSError:
        return 0


def prepare(rules: Iterable[Rule], level: int) -> None:
    """Make what `restrict` needs for these rules, in the zygote and not in each worker."""
    _, _, files = _attributes(level)
    for rule in rules:
        _packed(rule, files)


def restrict(rules: Iterable[Rule], level: int) -> None:
    """Forbid this thread, and all that it starts, everything that the rules do not allow.

    `level` is the kernel's ABI. A fresh ruleset each time: one that is inherited could be widened.

    Raises:
        OSError: the kernel refused.
    """
    asked, size, files = _attributes(level)
    ruleset = kernel.system_call(
        "landlock_create_ruleset", kernel.SYS_LANDLOCK_CREATE_RULESET, asked, size, _NO_FLAGS
    )
    try:
        for rule in rules:
            _add(ruleset, rule, files)
        kernel.system_call(
            "landlock_restrict_self",
            kernel.SYS_LANDLOCK_RESTRICT_SELF,
            ctypes.c_long(ruleset),
            _NO_FLAGS,
        )
    finally:
        os.close(ruleset)


@functools.cache
def _attributes(level: int) -> tuple[ctypes.c_void_p, ctypes.c_long, int]:
    """What a ruleset of this ABI is asked for by, how long that is, and its rights of files."""
    files = _ALL_FILES[5 if level >= 5 else 3]
    attributes = struct.pack(
        "=QQQ",
        files,
        _NET_ALL if level >= _NET_SINCE else 0,
        _SCOPE_ALL if level >= _SCOPE_SINCE else 0,
    )
    size = 8 if level < _NET_SINCE else 16 if level < _SCOPE_SINCE else 24
    given = ctypes.create_string_buffer(attributes, len(attributes))
    return ctypes.cast(given, ctypes.c_void_p), ctypes.c_long(size), files


def _add(ruleset: int, rule: Rule, known: int) -> None:
    kernel.system_call(
        "landlock_add_rule",
        kernel.SYS_LANDLOCK_ADD_RULE,
        ctypes.c_long(ruleset),
        ctypes.c_long(_PATH_BENEATH),
        _packed(rule, known),
        _NO_FLAGS,
    )


@functools.cache
def _packed(rule: Rule, known: int) -> ctypes.c_void_p:
    """The rule as the kernel takes it, without rights that its kind of place has not.

    Its descriptor must stay open for good: it is asked what it is once.
    """
    rights = rule.rights & known
    if not stat.S_ISDIR(os.fstat(rule.place).st_mode):
        rights &= _OF_PLAIN_FILES
    packed = struct.pack("=Qi", rights, rule.place)
    return ctypes.cast(ctypes.create_string_buffer(packed, len(packed)), ctypes.c_void_p)
