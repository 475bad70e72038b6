"""Hosts that wait for events: found by what they wait for, and by when their patience ends.

However many wait, an event costs those that wait for it, and a beat nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from ...protocol.classes import dataclass
from ...protocol.host_requests import AskEvents
from ...protocol.ids import RequestRef

if TYPE_CHECKING:
    from .fleet import Fleet

Place: TypeAlias = tuple[str, str]  # a session and "", or "" and a cell


@dataclass(frozen=True, slots=True)
class Watch:
    """A host that waits for events of a cell or a session."""

    ref: RequestRef
    session: str
    ask: AskEvents
    deadline_ns: int

    @property
    def place(self) -> Place:
        """What is waited for."""
        return ("", self.ask.cell) if self.ask.cell else (self.session, "")


def begin_watch(fleet: Fleet, watch: Watch) -> None:
    """It waits from now on; asking again is waiting once."""
    end_watch(fleet, watch.ref)
    fleet.watches[watch.ref] = watch
    fleet.watched[watch.place] = (*(fleet.watched.get(watch.place) or ()), watch.ref)
    fleet.patience.set(watch.ref, watch.deadline_ns)


def end_watch(fleet: Fleet, ref: RequestRef) -> None:
    """It waits no longer. Ignores those that do not wait."""
    watch = fleet.watches.pop(ref)
    if watch is None:
        return
    fleet.patience.set(ref, None)
    left = tuple(other for other in fleet.watched[watch.place] if other != ref)
    if left:
        fleet.watched[watch.place] = left
    else:
        fleet.watched.pop(watch.place)


def take_watches(fleet: Fleet, session: str, cell: str, *, is_yield: bool) -> list[Watch]:
    """Those that have waited for such an event of this cell; they wait no longer.

    A yield is the affair of its own cell, and none of the session's.
    """
    places: list[Place] = [("", cell)] if is_yield else [("", cell), (session, "")]
    taken = []
    for place in places:
        for ref in fleet.watched.pop(place) or ():
            taken.append(fleet.watches[ref])
            fleet.watches.pop(ref)
            fleet.patience.set(ref, None)
    return taken


def take_impatient(fleet: Fleet, now_ns: int) -> list[RequestRef]:
    """Those that have waited for as long as they wanted to."""
    refs = fleet.patience.due(now_ns)
    for ref in refs:
        end_watch(fleet, ref)
    return refs


def recount_patience(fleet: Fleet) -> None:
    """The watches were put back as they had been: so is their time."""
    fleet.patience.clear()
    for ref, watch in fleet.watches.items():
        fleet.patience.set(ref, watch.deadline_ns)
