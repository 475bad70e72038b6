"""What the fleet lets go of: the journal has it, or nobody needs it any more."""

from __future__ import annotations

from collections.abc import Iterable

from .facts import Phase
from .fleet import Fleet

KEYS_MAX = 10_000  # idempotency keys that stay in memory; the journal has the others


def sweep(fleet: Fleet) -> None:
    """Forget visitors, whose Attach was refused, and the oldest finished cells.

    To be called when everything is committed and said: a beat may still be undone before.
    """
    for number in fleet.visitors:
        fleet.attachments.pop(number)
    fleet.visitors.clear()
    if len(fleet.keys) > KEYS_MAX:
        for key in list(fleet.keys):
            fleet.keys.pop(key)
    while len(fleet.finished) > fleet.world.finished_max:
        name = next(iter(fleet.finished))
        del fleet.finished[name]
        state = fleet.cells.get(name)
        if state is None or state.cell.phase is not Phase.FINISHED:
            continue  # its end was undone
        if state.waits.ending is None and not (state.cell.calls or state.cell.notices):
            _forget(fleet, name)


def forget_cells(fleet: Fleet, names: Iterable[str]) -> None:
    """These finished cells are no longer in the journal."""
    for name in names:
        fleet.finished.pop(name, None)
        _forget(fleet, name)


def _forget(fleet: Fleet, name: str) -> None:
    state = fleet.cells.pop(name)
    fleet.alarms.set(name, None)  # a worker that had yet to say Hello was waited for
    fleet.notices.pop(name)
    if state is not None:
        fleet.tokens.pop(state.token)
