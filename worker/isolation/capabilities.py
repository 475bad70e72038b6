"""The privileges of root, one by one."""

from __future__ import annotations

import ctypes
import errno
import struct
from typing import Final

from .. import kernel

SETGID: Final = 6
SETUID: Final = 7
SYS_ADMIN: Final = 21
_VERSION: Final = 0x2008_0522
_SETS: Final = struct.Struct("=IIIIII")  # twice 32 bits of effective, permitted, inheritable
_AMBIENT_CLEAR_ALL: Final = 4
_KNOWN_MAX: Final = 63

# Made once: each worker would make them anew.
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_capset: Final = _LIBC.capset
_HEADER: Final = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION, 0), 8)
_NOTHING: Final = ctypes.create_string_buffer(_SETS.size)


def effective() -> int:
    """The set that this thread has in effect, a bit for each."""
    lower, _, _, upper, _, _ = _SETS.unpack(_get())
    return int(lower) | int(upper) << 32


def any_left() -> bool:
    """Whether this thread has any in any of its three sets."""
    return any(_get())


def has(*wanted: int) -> bool:
    """Whether this thread has all of these in effect."""
    found = effective()
    return all(found >> each & 1 for each in wanted)


def bound_nothing() -> None:
    """Empty the bounding set: no program that is started can have any.

    Raises:
        OSError: the kernel refused.
    """
    for capability in range(_KNOWN_MAX + 1):
        try:
            kernel.set_process(kernel.PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno != errno.EINVAL or capability == 0:
                raise
            return  # the kernel has no more than those before


def drop_all() -> None:
    """Give up every set but the bounding one.

    Raises:
        OSError: the kernel refused.
    """
    kernel.set_process(kernel.PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    if _capset(_HEADER, _NOTHING) != 0:
        raise OSError(ctypes.get_errno(), "capset was refused")


def _get() -> bytes:
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION, 0), 8)
    found = ctypes.create_string_buffer(_SETS.size)
    if _LIBC.capget(header, found) != 0:
        raise OSError(ctypes.get_errno(), "capget was refused")
    return found.raw
