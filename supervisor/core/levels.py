"""Which level of isolation a session gets: what was asked for, or nothing."""

from __future__ import annotations

from typing import Final

from ...protocol.host_requests import SessionAsk
from ...protocol.ids import RequestRef
from .effects import Refuse
from .facts import Cell
from .fleet import Fleet

LEVELS: Final = ("process", "restricted", "sealed")
BEST_FIRST: Final = ("sealed", "restricted")  # "process" is no boundary, and never chosen


def level_of_cell(fleet: Fleet, cell: Cell) -> str:
    """The level of the cell's session."""
    return fleet.sessions[cell.session].isolation


def missing_of(fleet: Fleet, level: str) -> tuple[str, ...] | None:
    """What this level lacks here; None: nobody has tried. "process" has nothing that could lack."""
    return () if level == "process" else fleet.levels.get(level)


def wanted(fleet: Fleet, ask: SessionAsk) -> tuple[str, ...]:
    """The levels that would do, the best first."""
    asked = ask.isolation or fleet.world.isolation
    return (asked,) if asked else BEST_FIRST


def level_of(fleet: Fleet, ask: SessionAsk) -> str | None:
    """The level that a new session gets; None: no level that would do can be had here."""
    for level in wanted(fleet, ask):
        if missing_of(fleet, level) == ():
            return level
    return None


def level_to_examine(fleet: Fleet, ask: SessionAsk | None) -> str | None:
    """A level that has to be tried before this session can be opened."""
    if ask is None or ask.name in fleet.sessions:
        return None
    for level in wanted(fleet, ask):
        if level in LEVELS and missing_of(fleet, level) is None:
            return level
        if missing_of(fleet, level) == ():
            return None
    return None


def best_known(fleet: Fleet) -> str:
    """The best level that is known to be had here."""
    for level in BEST_FIRST:
        if missing_of(fleet, level) == ():
            return level
    return "process"


def refuse_level(fleet: Fleet, ref: RequestRef, ask: SessionAsk) -> None:
    """Say what is missing, for each level that would have done."""
    tried = wanted(fleet, ask)
    missing = [f"{level}: {each}" for level in tried for each in missing_of(fleet, level) or ()]
    text = (
        f"isolation {' or '.join(tried)} cannot be had on this machine: {'; '.join(missing)}; "
        "`tidemark doctor` tells how to get it, and isolation='process' asks for none"
    )
    fleet.speak(Refuse(ref, "isolation_unavailable", text[:4_000], {"missing": missing}))


def refuse_other_level(fleet: Fleet, ref: RequestRef, ask: SessionAsk) -> bool:
    """Whether the session is there already and has another level than the one that is asked for."""
    session = fleet.sessions.get(ask.name)
    if session is None or ask.isolation in (None, session.isolation):
        return False
    text = (
        f"session {ask.name!r} has isolation {session.isolation!r}, which is never changed; open "
        f"it with that or none, or make another session for {ask.isolation!r}"
    )
    missing = [f"{ask.isolation}: the session was opened with {session.isolation}"]
    fleet.speak(Refuse(ref, "isolation_unavailable", text, {"missing": missing}))
    return True
