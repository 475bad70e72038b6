"""How the supervisor's memory is kept: by the C library, and by Python's collector of cycles."""

from __future__ import annotations

import ctypes
import gc
from typing import Final

M_MMAP_THRESHOLD: Final = -3
M_TRIM_THRESHOLD: Final = -1
OWN_PAGES_FROM: Final = 512 * 1024  # more than msgpack takes for each message, however small
KEPT_BYTES: Final = 4 * 1024 * 1024  # at the end of the heap; or every message asks the system


YOUNG_MAX: Final = 20_000  # what a beat makes and drops is no garbage; by default it is 700


def collect_seldom() -> None:
    """Look for cyclic garbage less often, and never again at what is there now.

    The core's values refer to no one that refers to them, so hardly anything is ever found; with
    the default thresholds looking for it takes a twentieth of a busy supervisor's time, and all at
    once when there are many cells.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, 20, 50)
    gc.enable()  # it is off while there is only something to be imported


def return_large_blocks() -> None:
    """From now on, a block of this size is mapped for itself, and is the system's again when freed.

    By default the threshold grows with what is freed, up to 32 MiB; then one worker that sends
    large messages leaves a heap with holes, several times what is in use. No effect with a C
    library that knows no such setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, OWN_PAGES_FROM)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
