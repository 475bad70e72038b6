"""Every bound of Tidemark: its name carries the unit, the comment one reason.

A bound that a host may choose for its cells is a field of `Limits`; all others are constants, and
part of the protocol: both sides of a connection know the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from .classes import dataclass

KIB: Final = 1024
MIB: Final = 1024 * KIB

# -- what crosses a process boundary --------------------------------------------------------------
SOURCE_BYTES_MAX: Final = 1 * MIB  # a cell is a program, not a data set: data comes through inputs
MESSAGE_BYTES_MAX: Final = 16 * MIB  # what one side must be ready to hold for the other at once
ANSWER_PART_BYTES: Final = 128 * KIB  # an answer that is larger travels in parts of this size
OUTPUT_ITEM_BYTES_MAX: Final = 4 * MIB  # a quarter of a message: an item never has to be split
VALUE_BYTES_MAX: Final = 4 * MIB  # one call's arguments, one result, one stored value, all inputs
NESTING_MAX: Final = 64  # deep enough for JSON that people write; shallow enough for every C stack
INTEGER_MIN: Final = -(2**63)  # what msgpack, SQLite and other languages agree on
INTEGER_MAX: Final = 2**63 - 1
TEXT_BYTES_MAX: Final = 64 * KIB  # errors, descriptions, reasons: what is read by a person
NAME_BYTES_MAX: Final = 256  # names, ids and keys fit on one line
STORED_KEY_BYTES_MAX: Final = 1 * KIB
TOOLS_MAX: Final = 1_024
TOOLS_BYTES_MAX: Final = 4 * MIB  # the whole list travels in one Start beside source and inputs
ITEMS_MAX: Final = 100_000  # list items in one message; beyond this a message is an attack
PARTS_MAX: Final = 1_200_000  # fields and items in one message together: each is an object to build
PAGE_MAX: Final = 1_000  # rows in one answer to a list or history request

# -- one cell -------------------------------------------------------------------------------------
CELL_OUTPUT_BYTES_MAX: Final = 64 * MIB
CALLS_OPEN_MAX: Final = 1_024
CALLS_OPEN_BYTES_MAX: Final = 16 * MIB
INPUTS_MAX: Final = 100_000
NOTIFICATION_BYTES_MAX: Final = 64 * KIB
NOTIFICATIONS_KEPT_MAX: Final = 1_000  # that wait for a holder, per cell
OUTPUT_KEPT_BYTES: Final = 1 * MIB  # acknowledged output of a running cell, kept for watchers
TRACEBACK_BYTES_MAX: Final = 20 * KIB

# -- one session ----------------------------------------------------------------------------------
CELLS_UNFINISHED_MAX: Final = 10_000
STORED_BYTES_MAX: Final = 64 * MIB
STORED_KEYS_MAX: Final = 50_000  # of a session, and that one cell writes or deletes
STORED_KEYS_BYTES_MAX: Final = 8 * MIB  # of their names together: a list of them is one message

# -- flow -----------------------------------------------------------------------------------------
UNACKNOWLEDGED_BYTES_MAX: Final = 1 * MIB  # what a worker may have said that the journal has not
UNACKNOWLEDGED_MESSAGES_MAX: Final = 1_000
UNDERWAY_MAX: Final = 64  # calls and notifications under way per attachment
FLUSH_BYTES: Final = 64 * KIB  # a worker sends what it has when it waits, or at either of these
FLUSH_ITEMS: Final = 100  # each is something to decide: a beat hears a few messages of a worker
SAID_ITEMS_MAX: Final = 4_096  # of a worker that does not keep to that
FLUSH_MS: Final = 50
CANCEL_GRACE_MS: Final = 100  # how long a host's cancelled call can hold up an end
REQUESTS_IN_FLIGHT_MAX: Final = 4_096  # per attachment

_WHOLE: Final[tuple[type[int | float], ...]] = (int,)
_NUMBER: Final[tuple[type[int | float], ...]] = (int, float)
_FRACTIONS: Final[frozenset[str]] = frozenset({"wall_seconds", "lifetime_seconds"})


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for a cell that the host may choose. None means the default of its isolation level.

    Attributes:
        memory_bytes: what the cell may have beside its worker's own: address space, and the sum of
            all memory where there are cgroups.
        cpu_seconds: CPU time of the worker.
        wall_seconds: time since the cell's creation, without that in which it waited for tools.
        output_bytes: sum of all output items; at most and by default 64 MiB.
        open_files: file descriptors.
        processes: processes and threads, where the system counts them per cell.
        file_bytes: size of one file that the cell writes.
        work_bytes: all files of the cell together, where it has a work directory of its own.
        lifetime_seconds: time since the cell's creation, whatever it did.
    """

    memory_bytes: int | None = None
    cpu_seconds: int | None = None
    wall_seconds: float | None = None
    output_bytes: int | None = None
    open_files: int | None = None
    processes: int | None = None
    file_bytes: int | None = None
    work_bytes: int | None = None
    lifetime_seconds: float | None = None

    def __post_init__(self) -> None:
        for name in self.__match_args__:
            value = getattr(self, name)
            if value is None:
                continue
            kinds = _NUMBER if name in _FRACTIONS else _WHOLE
            if isinstance(value, bool) or not isinstance(value, kinds):
                types = " or ".join(kind.__name__ for kind in kinds)
                raise TypeError(f"Limits.{name} must be {types}, got {type(value).__name__}")
            if not 0 < value <= INTEGER_MAX:
                raise ValueError(f"Limits.{name} must be above 0, got {value!r}")

    def over(self, base: Limits) -> Limits:
        """These limits, with those of `base` where this one says None."""
        own = {name: getattr(self, name) for name in self.__match_args__}
        return Limits(
            **{name: getattr(base, name) if value is None else value for name, value in own.items()}
        )


def exceeded_text(limit: str, value: int | float, used: int | float | None) -> str:
    """What a person reads of an exceeded limit: its name, its value, and what was used.

    `used` None: all of it, and more was asked for.
    """
    what = "all of it was used, and more was asked for"
    if used is not None:
        what = f"{used:,} were used"
    text = f"LimitExceededError: {limit}: at most {value:,} are allowed, {what}"
    chosen = limit in Limits.__match_args__
    return f"{text}; a host can set it with Limits({limit}=...)" if chosen else text


# Names of levels are what `isolation` says everywhere. `process` protects from accidents only, and
# the machine is the limit.
LIMITS_OF_LEVEL: Final[Mapping[str, Limits]] = MappingProxyType(
    {
        "process": Limits(),
        "restricted": Limits(
            memory_bytes=2048 * MIB,  # address space: each thread and library takes much of it
            cpu_seconds=3_600,
            open_files=128,
            processes=64,
            file_bytes=256 * MIB,
        ),
        "sealed": Limits(
            memory_bytes=2048 * MIB,
            cpu_seconds=3_600,
            open_files=128,
            processes=64,
            file_bytes=256 * MIB,
            work_bytes=256 * MIB,
        ),
    }
)
