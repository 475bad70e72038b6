"""Hosts that wait for events: found by what they wait for, and by when their patience ends.

However many wait, an event costs those that wait for it, and a beat that none has begun or ended
nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from ...protocol.classes import dataclass
from ...protocol.host_requests import AskEvents
from ...protocol.ids import RequestRef
from .effects import Read

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
    end_watches(fleet, [watch.ref])
    fleet.watches[watch.ref] = watch
    fleet.watched[watch.place] = (*(fleet.watched.get(watch.place) or ()), watch.ref)
    fleet.patience.set(watch.ref, watch.deadline_ns)


def end_watches(fleet: Fleet, refs: Iterable[RequestRef]) -> None:
    """They wait no longer. Ignores those that do not wait."""
    gone: dict[Place, set[RequestRef]] = {}
    for ref in refs:
        if (watch := fleet.watches.pop(ref)) is not None:
            fleet.patience.set(ref, None)
            gone.setdefault(watch.place, set()).add(ref)
    for place, ended in gone.items():
        left = tuple(ref for ref in fleet.watched[place] if ref not in ended)
        if left:
            fleet.watched[place] = left
        else:
            fleet.watched.pop(place)


def never_watch(fleet: Fleet, attachment: int, request: int | None = None) -> None:
    """Nobody wants to know any more: neither what is waited for, nor what was asked in this beat.

    Without `request` it is about all that this attachment has asked.
    """

    def is_meant(ref: RequestRef) -> bool:
        return ref.attachment == attachment and request in (None, ref.number)

    if request is None:
        end_watches(fleet, [ref for ref in fleet.watches if is_meant(ref)])
    else:
        end_watches(fleet, [RequestRef(attachment, request)])
    fleet.effects = [
        effect
        for effect in fleet.effects
        if not (isinstance(effect, Read) and isinstance(effect.ask, AskEvents))
        or not is_meant(effect.to)
    ]


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
    end_watches(fleet, refs)
    return refs


def recount_patience(fleet: Fleet) -> None:
    """The watches were put back as they had been: so is their time."""
    fleet.patience.clear()
    for ref, watch in fleet.watches.items():
        fleet.patience.set(ref, watch.deadline_ns)
