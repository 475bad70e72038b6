"""Steps of a worker's stream as the journal keeps them: without contents."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from ...protocol.classes import dataclass
from ...protocol.packed import OutputKind, OwnWork
from ...protocol.shape import Count, Digest, Line, Name, Notice, StoredKey, TimeNs


@dataclass(frozen=True, slots=True)
class Put:
    """An output item."""

    CODE: ClassVar[int] = 1
    kind: OutputKind
    size: Count
    digest: Digest


@dataclass(frozen=True, slots=True)
class CallMade:
    """A tool call."""

    CODE: ClassVar[int] = 2
    number: Count
    tool: Name
    size: Count
    external: bool
    digest: Digest


@dataclass(frozen=True, slots=True)
class CallDropped:
    """The cell's code no longer waits for this call."""

    CODE: ClassVar[int] = 3
    number: Count


@dataclass(frozen=True, slots=True)
class NoticeMade:
    """A notification for the holder."""

    CODE: ClassVar[int] = 4
    text: Notice
    digest: Digest


@dataclass(frozen=True, slots=True)
class ValueWritten:
    """A stored value, not yet visible; size None: deleted."""

    CODE: ClassVar[int] = 5
    key: StoredKey
    size: Count | None
    digest: Digest


@dataclass(frozen=True, slots=True)
class YieldWished:
    """The cell asked for a yield."""

    CODE: ClassVar[int] = 6


@dataclass(frozen=True, slots=True)
class WaitBegun:
    """The loop had nothing ready, having taken inputs up to `taken`."""

    CODE: ClassVar[int] = 7
    taken: Count
    next_timer_ns: TimeNs | None
    own_work: OwnWork


@dataclass(frozen=True, slots=True)
class OwnWorkBegun:
    """From here on the cell cannot be replayed."""

    CODE: ClassVar[int] = 8
    why: Line
    line: Count


StreamStep: TypeAlias = (
    Put
    | CallMade
    | CallDropped
    | NoticeMade
    | ValueWritten
    | YieldWished
    | WaitBegun
    | OwnWorkBegun
)
