"""The hash of None is its address before Python 3.12; sets of what holds None follow it."""

from __future__ import annotations

import ctypes
import gc
import itertools
import sys
from typing import Any, Final

TP_HASH: Final = 120  # where a type has its hash function, in CPython on 64 bits


def make_constant() -> bool:
    """Make it 0, as a later Python has a constant; returns whether it is one now.

    To be called before much is imported: sets that cannot change keep the hash that they have seen.
    """
    if sys.version_info >= (3, 12):
        return True
    if sys.implementation.name != "cpython" or hash(None) == 0:
        return hash(None) == 0
    slot = ctypes.c_void_p.from_address(id(type(None)) + TP_HASH)
    by_address = ctypes.cast(ctypes.pythonapi._Py_HashPointer, ctypes.c_void_p).value
    if slot.value != by_address:  # another layout than we know
        return False
    holders = _holders_of_none()
    kept = [list(holder.items() if type(holder) is dict else holder) for holder in holders]
    for holder in holders:
        holder.clear()
    # A function of Python's own that gives 0 for None, and is as quick as the one before.
    slot.value = ctypes.cast(ctypes.pythonapi.PyObject_IsTrue, ctypes.c_void_p).value
    for holder, content in zip(holders, kept, strict=True):
        holder.update(content)
    return hash(None) == 0


def _holders_of_none() -> list[Any]:
    """Every dictionary and set with None as a key; also those that the collector does not see."""
    seen = gc.get_objects()
    found: dict[int, Any] = {}
    for each in itertools.chain(seen, gc.get_referents(*seen)):
        if (type(each) is dict or type(each) is set) and None in each:
            found[id(each)] = each
    return list(found.values())
