"""The values that hosts see: output, tool calls, frontiers and events.

All are frozen, comparable and picklable; sequences are tuples. docs/PROTOCOL.md says when each is
returned.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from .classes import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text that a cell put out; `index` is its position in the cell's output."""

    text: str
    index: int


@dataclass(frozen=True, slots=True)
class Image:
    """An image that a cell put out, as a data URI; `index` is its position in the output."""

    url: str
    detail: str | None
    index: int


OutputItem: TypeAlias = Text | Image


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a cell waits for. `new`: it was not in the cell's previous frontier."""

    id: str
    tool: str
    arguments: Any
    new: bool


@dataclass(frozen=True, slots=True)
class Frontier:
    """A stable snapshot of one pause.

    Attributes:
        generation: 1, 2, 3, ..., never reused within a cell.
        output: what the cell put out and no acknowledged event had carried.
        tool_calls: every call that the cell waits for, in numeric order.
        next_timer: when the cell's next timer is due, in seconds since 1970; None without one.
        own_work: what the cell has under way by itself (threads, sockets, files), in words.
    """

    generation: int
    output: tuple[OutputItem, ...]
    tool_calls: tuple[ToolCall, ...]
    next_timer: float | None
    own_work: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Yielded:
    """The output so far; the cell goes on."""

    number: int
    output: tuple[OutputItem, ...]


@dataclass(frozen=True, slots=True)
class Pending:
    """The cell is paused at the frontier of this generation; see `Frontier` for the fields."""

    number: int
    output: tuple[OutputItem, ...]
    generation: int
    tool_calls: tuple[ToolCall, ...]
    next_timer: float | None
    own_work: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Completed:
    """The cell's code has ended.

    Attributes:
        error: None, or the text of the traceback.
        reason: "ended", "raised", "refused", "limit", "poison" or "lost".
        value: what the cell gave to `exit`, else None.
    """

    number: int
    output: tuple[OutputItem, ...]
    error: str | None
    reason: str
    value: Any


@dataclass(frozen=True, slots=True)
class Terminated:
    """A host ended the cell; its writes to stored values never became visible."""

    number: int
    output: tuple[OutputItem, ...]


Event: TypeAlias = Yielded | Pending | Completed | Terminated


@dataclass(frozen=True, slots=True)
class Resumed:
    """The worker has confirmed Continue, and the journal has it."""

    generation: int


@dataclass(frozen=True, slots=True)
class AlreadyRunning:
    """This generation was consumed before.

    Attributes:
        generation: the one that was asked for.
        state: the cell's true state: "paused", "continuing", "running", "completed" or
            "terminated".
        latest: the current generation of a paused cell, else the last one consumed.
    """

    generation: int
    state: str
    latest: int
