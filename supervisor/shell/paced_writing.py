"""A file's changed pages sent to its disk a little at a time, so that others get their turns.

A sync gives the disk all that there is at once, and every commit that comes meanwhile waits behind
it. What has been sent before is not there any more when the sync comes.
"""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Final

PART_BYTES: Final = 256 * 1024  # a disk of a laptop takes a millisecond or two for it
PAUSE_S_MIN: Final = 0.002  # so 100 MB that lie together go in a second, more than is written
CHANGED_S_MIN: Final = 0.0001  # what takes less had nothing to send
PAUSE_S_MAX: Final = 0.1
# Wait for what is on its way, send what is changed, wait for that.
_ALL_OF_A_RANGE: Final = 1 | 2 | 4

_sync_file_range: Final = getattr(ctypes.CDLL(None, use_errno=True), "sync_file_range", None)
if _sync_file_range is not None:
    _sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]


def write_out(path: Path) -> None:
    """Send it; pauses as long as the disk works. No promise that it is there: a sync has to follow.

    Does nothing where the C library does not have the call (it is Linux's own).

    Raises:
        OSError: the file cannot be opened, or the disk does not take it.
    """
    if _sync_file_range is None:
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        for start in range(0, os.fstat(descriptor).st_size, PART_BYTES):
            began = time.monotonic()
            if _sync_file_range(descriptor, start, PART_BYTES, _ALL_OF_A_RANGE) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(path))
            took = time.monotonic() - began
            if took > CHANGED_S_MIN:
                time.sleep(min(max(took, PAUSE_S_MIN), PAUSE_S_MAX))
    finally:
        os.close(descriptor)
