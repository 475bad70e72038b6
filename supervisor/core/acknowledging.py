"""When a worker is told what we have of its stream."""

from __future__ import annotations

from ...protocol.limits import UNACKNOWLEDGED_BYTES_MAX, UNACKNOWLEDGED_MESSAGES_MAX
from ...protocol.weights import item_bytes
from ...protocol.worker_messages import Said
from .effects import GiveAcknowledge
from .facts import Phase
from .fleet import Fleet
from .law import CellState

# At a quarter of the window: a worker never waits for what we could have said.
ACKNOWLEDGE_BYTES = UNACKNOWLEDGED_BYTES_MAX // 4
ACKNOWLEDGE_MESSAGES = UNACKNOWLEDGED_MESSAGES_MAX // 4


def acknowledge(fleet: Fleet, state: CellState, message: Said, now_ns: int) -> None:
    """Tell the worker what we have, now and then; most of it rides on other messages."""
    waits = state.waits
    unacked = waits.unacked + sum(item_bytes(item) for item in message.items)
    enough = state.have - waits.acked >= ACKNOWLEDGE_MESSAGES or unacked >= ACKNOWLEDGE_BYTES
    if enough and state.cell.phase is not Phase.FINISHED:
        fleet.speak(GiveAcknowledge(state.token, state.have))
        fleet.put(state.waiting(acked=state.have, unacked=0), now_ns)
    else:
        # Not `put`: no moment of the cell's depends on it, and every message comes here.
        fleet.cells[state.cell.id] = state.waiting(unacked=unacked)
