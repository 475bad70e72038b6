"""Prints what a cell does, as it happens: text for people, or one JSON object per line."""

from __future__ import annotations

import time
from typing import Protocol

from ..protocol.frontier import Completed, Event, Pending, Terminated
from .rendering import frontier_lines, json_line, output_json, output_text, plain
from .terminal import Screen, Style


class Printer(Protocol):
    """What can be printed of a cell's life."""

    def created(self, cell: str, kind: str, session: str, isolation: str | None) -> None:
        """The cell is in the journal."""

    def event(self, event: Event) -> None:
        """Its output, and what the event says beside that."""

    def resumed(self, generation: int) -> None:
        """A generation was consumed."""

    def notified(self, number: int, text: str) -> None:
        """The cell has called `notify`."""


class TextPrinter:
    """For people: output as it is, frontiers in a few lines, errors on standard error."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._first_seen: dict[str, float] = {}

    def created(self, cell: str, kind: str, session: str, isolation: str | None) -> None:
        """Nothing: a person wants the output."""

    def event(self, event: Event) -> None:
        """Output, then the frontier or the error."""
        self._screen.write("".join(map(output_text, event.output)))
        if isinstance(event, Pending):
            self._frontier(event)
        elif isinstance(event, Completed):
            _complain(event, self._screen)

    def resumed(self, generation: int) -> None:
        """Nothing: the next frontier or the output shows it."""

    def notified(self, number: int, text: str) -> None:
        """Beside the output: on standard error."""
        self._screen.complain(f"{self._screen.styled_error('notify:', Style.CYAN)} {text}")

    def _frontier(self, event: Pending) -> None:
        now = time.time()
        seen = {call.id: self._first_seen.get(call.id, now) for call in event.tool_calls}
        self._first_seen = seen
        for line in frontier_lines(event, self._screen, at=now, now=now, first_seen=seen):
            self._screen.line(line)


class JsonPrinter:
    """For programs: every fact is an object with a `type`."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def created(self, cell: str, kind: str, session: str, isolation: str | None) -> None:
        """The first object."""
        self._screen.line(
            json_line(type="created", cell=cell, kind=kind, session=session, isolation=isolation)
        )

    def event(self, event: Event) -> None:
        """An object for each item of output, then one for a frontier or the end."""
        self._screen.write("".join(output_json(item) + "\n" for item in event.output))
        if isinstance(event, (Pending, Completed, Terminated)):
            self._screen.line(event_json(event))
        if isinstance(event, Completed):
            _complain(event, self._screen)

    def resumed(self, generation: int) -> None:
        """A generation was consumed."""
        self._screen.line(json_line(type="resumed", generation=generation))

    def notified(self, number: int, text: str) -> None:
        """The cell has called `notify`."""
        self._screen.line(json_line(type="notification", number=number, text=text))


def event_json(event: Pending | Completed | Terminated) -> str:
    """An event without its output, which has objects of its own."""
    parts = plain(event)
    parts.pop("output")
    kind = "frontier" if isinstance(event, Pending) else type(event).__name__.lower()
    return json_line(type=kind, **parts)


def _complain(event: Completed, screen: Screen) -> None:
    if event.error:
        screen.complain(event.error.rstrip("\n"))
    elif event.reason != "ended":
        screen.complain(f"the cell completed with reason {event.reason!r}")
