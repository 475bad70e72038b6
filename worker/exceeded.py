"""Which limit an error of the cell speaks of, that nobody has caught."""

from __future__ import annotations

import errno
from typing import Final

from ..protocol.limits import Limits, exceeded_text

FIELDS: Final = {
    errno.EMFILE: "open_files",
    errno.EFBIG: "file_bytes",
    errno.ENOSPC: "work_bytes",
    errno.EDQUOT: "work_bytes",
}
NO_THREAD: Final = "can't start new thread"


def exceeded(failure: BaseException, limits: Limits) -> str | None:
    """A sentence with the limit, its value and what was used; None: it speaks of none.

    What such an error speaks of was used whole, and more was wanted.
    """
    field = None
    # The types themselves: a class of the cell's own may do anything when it is looked at.
    if type(failure) is MemoryError:
        field = "memory_bytes"
    elif type(failure) is OSError:
        field = FIELDS.get(failure.errno or 0)
    elif type(failure) is RuntimeError and failure.args == (NO_THREAD,):
        field = "processes"
    value = None if field is None else getattr(limits, field)
    if field is None or value is None:
        return None
    return exceeded_text(field, value, None)
