"""Exit statuses of a worker, and what they mean to whoever reads the zygote's log.

A status is a hint for people: whether a cell has completed is told by the journal alone.
"""

from __future__ import annotations

from typing import Final

EXIT_DONE: Final = 0
EXIT_COPY_FAILED: Final = 1  # as Python ends: a process that the cell forked raised an error
EXIT_DEFECT: Final = 70
EXIT_PROTOCOL: Final = 76
EXIT_ORPHAN: Final = 79
EXIT_UNSEALED: Final = 80
EXIT_CUT_OFF: Final = 81
EXIT_NO_MEMORY: Final = 82

MEANINGS: Final[dict[int, str]] = {
    EXIT_DEFECT: "a defect of the worker itself",
    EXIT_PROTOCOL: "the supervisor sent what no supervisor of this version can send",
    EXIT_ORPHAN: "the zygote was gone before the worker was confined",
    EXIT_UNSEALED: "the worker could not be confined",
    EXIT_CUT_OFF: "the supervisor is gone, and a worker at this level cannot connect again",
    EXIT_NO_MEMORY: "no memory was left to say how the cell has ended",
}
