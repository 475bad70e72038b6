"""What one handle of a cell has received: its last event, and the output handed out. Pure.

A handle never hands an output item out twice. The event that it received last, asked for again, is
the same event, equal to the one that it gave before.
"""

from __future__ import annotations

from ..protocol.classes import dataclass
from ..protocol.frontier import Completed, Event, Terminated, Yielded
from ..protocol.host_requests import Resume, Step
from ..protocol.packed import PackedEvent
from ._unpack import event_of


@dataclass(frozen=True, slots=True)
class Parked:
    """A resume or step whose answer this handle gave up waiting for; its number stays its own."""

    ask: Resume | Step
    number: int


class HandleState:
    """One handle.

    Attributes:
        cell: the cell's id.
        last: the number of the last event received; None before the first.
        parked: a resume or step that is not known to have happened.
    """

    def __init__(self, cell: str, after: int | None = None) -> None:
        self.cell = cell
        self.last = after
        self.parked: Parked | None = None
        self._next_index = 0
        self._given: Event | None = None

    def received(self, packed: PackedEvent) -> Event:
        """The event as this handle hands it out."""
        if self._given is not None and self._given.number == packed.number == self.last:
            return self._given
        event = event_of(packed, self._next_index)
        if packed.output:
            self._next_index = max(self._next_index, packed.output[-1].index + 1)
        self.last = max(self.last or 0, packed.number) or None
        # A Yielded is never asked for again, and one without output has its predecessor's number.
        self._given = None if isinstance(event, Yielded) else event
        return event


def is_final(event: Event) -> bool:
    """Whether nothing follows this event."""
    return isinstance(event, (Completed, Terminated))
