"""Gives a program of `bpf` to the kernel."""

from __future__ import annotations

import ctypes
import os
from typing import Final

from .. import kernel
from .syscalls import this_machine

SET_MODE_FILTER: Final = 1
FOR_ALL_THREADS: Final = 1
_INSTRUCTION_BYTES: Final = 8


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def load(program: bytes) -> None:
    """Bind this thread, and all that it starts, to the filter for good.

    Raises:
        OSError: the kernel refused.
    """
    _load(program, 0)


def load_for_all_threads(program: bytes) -> None:
    """Bind every thread of this process to the filter for good.

    Raises:
        OSError: the kernel refused, or a thread is bound to filters that this one is not.
    """
    culprit = _load(program, FOR_ALL_THREADS)
    if culprit:
        raise OSError(os.strerror(0), f"seccomp: thread {culprit} has other filters than this one")


def _load(program: bytes, flags: int) -> int:
    number = this_machine().number("seccomp")
    assert number is not None
    buffer = ctypes.create_string_buffer(program, len(program))
    address = ctypes.cast(buffer, ctypes.c_void_p)
    asked = _Program(len(program) // _INSTRUCTION_BYTES, address)
    return kernel.system_call(
        "seccomp",
        number,
        ctypes.c_long(SET_MODE_FILTER),
        ctypes.c_long(flags),
        ctypes.cast(ctypes.pointer(asked), ctypes.c_void_p),
    )
