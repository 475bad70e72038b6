"""How the C library keeps the memory that large messages have used: not at all."""

from __future__ import annotations

import ctypes
from typing import Final

M_MMAP_THRESHOLD: Final = -3
OWN_PAGES_FROM: Final = 256 * 1024


def return_large_blocks() -> None:
    """From now on, a block of this size is mapped for itself, and is the system's again when freed.

    By default the threshold grows with what is freed, up to 32 MiB; then one worker that sends
    large messages leaves a heap with holes, several times what is in use. No effect with a C
    library that knows no such setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, OWN_PAGES_FROM)
