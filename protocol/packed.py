"""Values as they travel and as the journal keeps them: what users put in is still packed bytes.

The supervisor handles nothing else: it never decodes a user's value. `frontier.py` has what hosts
see after the client has unpacked it.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from . import limits
from .classes import dataclass
from .shape import Count, Line, Name, OutputText, Prose, Size, TimeNs, Value


class CellKind(Enum):
    """Continuing cells go on whenever an input arrives; pausable ones stop at every frontier."""

    CONTINUING = "continuing"
    PAUSABLE = "pausable"


class Stepping(Enum):
    """How many queued inputs one resume takes: all, or one."""

    DRAIN = "drain"
    ONE = "one"


class OutputKind(Enum):
    """What an output item is."""

    TEXT = "text"
    IMAGE = "image"


class EventKind(Enum):
    """What an observation returns."""

    YIELDED = "yielded"
    PENDING = "pending"
    COMPLETED = "completed"
    TERMINATED = "terminated"


class Reason(Enum):
    """Why a cell completed."""

    ENDED = "ended"
    RAISED = "raised"
    REFUSED = "refused"
    LIMIT = "limit"
    POISON = "poison"
    LOST = "lost"


class InputKind(Enum):
    """What can move a cell."""

    RESULT = "result"
    ERROR = "error"
    TIMER = "timer"


class ToolKind(Enum):
    """A function takes named arguments, a freeform tool one string."""

    FUNCTION = "function"
    FREEFORM = "freeform"


class OnUnknown(Enum):
    """What becomes of a call whose attachment ended without a result."""

    ASK = "ask"
    FAIL = "fail"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the holder describes it to the supervisor and the supervisor to cells.

    Attributes:
        exposed: the attribute of `tools` in a cell: the name with `_` for what no identifier has.
        signature: as shown to people, as in `(query: str, limit: int = 10) -> list[str]`.
        timeout_ns: how long one call may run in the host; 0 for ever.
    """

    name: Name
    exposed: Name
    description: Prose
    signature: Line
    kind: ToolKind
    on_unknown: OnUnknown
    external: bool
    timeout_ns: TimeNs


ToolSpecs = Annotated[tuple[ToolSpec, ...], Size(limits.TOOLS_MAX)]
OwnWork = Annotated[tuple[Line, ...], Size(64)]


@dataclass(frozen=True, slots=True)
class PackedOutput:
    """One output item; `content` is the text, or the image's data URI."""

    index: Count
    kind: OutputKind
    content: OutputText
    detail: Name | None


@dataclass(frozen=True, slots=True)
class PackedCall:
    """One tool call in a frontier; `number` is the N of `tool-N`."""

    number: Count
    tool: Name
    arguments: Value
    new: bool


@dataclass(frozen=True, slots=True)
class PackedEvent:
    """One event. Fields that its kind does not have are empty."""

    kind: EventKind
    number: Count
    output: Annotated[tuple[PackedOutput, ...], Size(limits.INTEGER_MAX)]
    generation: Count = 0
    calls: Annotated[tuple[PackedCall, ...], Size(limits.CALLS_OPEN_MAX)] = ()
    next_timer_ns: TimeNs | None = None
    own_work: OwnWork = ()
    reason: Reason | None = None
    error: Prose | None = None
    value: Value | None = None


@dataclass(frozen=True, slots=True)
class PackedInput:
    """One numbered input of a cell.

    Attributes:
        number: 1, 2, 3, ... per cell, in the order in which the cell takes them.
        call: the N of `tool-N`; 0 for a timer.
        content: a result's value; empty otherwise.
        message: an error's text; empty otherwise.
        unknown: an error that means: nobody knows whether the tool took effect.
        due_ns: a timer input fires every timer that is due by then; 0 for the others.
        stamp_ns: the cell's clock shows at least this when the input is handed over.
    """

    number: Count
    kind: InputKind
    call: Count
    content: Value
    message: Prose
    unknown: bool
    due_ns: TimeNs
    stamp_ns: TimeNs
