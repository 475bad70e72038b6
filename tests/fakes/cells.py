"""What nearly every test asks of a cell, with a deadline and the right type."""

from __future__ import annotations

from tidemark import (
    Cell,
    Completed,
    OutputItem,
    PausableCell,
    Pending,
    Status,
    Terminated,
    Text,
    Yielded,
)

from fakes.waiting import until

SECONDS = 20.0


def pending(cell: PausableCell) -> Pending:
    """The cell's current frontier."""
    event = cell.wait_to_pending(timeout=SECONDS)
    assert isinstance(event, Pending), event
    return event


def completed(cell: Cell | PausableCell) -> Completed:
    """The completion of a cell that gets there by itself."""
    event: object
    if isinstance(cell, PausableCell):
        event = cell.wait_to_pending(timeout=SECONDS)
    else:
        event = cell.observe(SECONDS)
        while isinstance(event, Yielded):
            event = cell.observe(SECONDS)
    assert isinstance(event, Completed), event
    return event


def run_through(cell: PausableCell) -> Completed:
    """Resume every frontier until the cell has completed."""
    event = cell.wait_to_pending(timeout=SECONDS)
    while isinstance(event, Pending):
        cell.resume(event.generation)
        event = cell.wait_to_pending(timeout=SECONDS)
    assert isinstance(event, Completed), event
    return event


def texts(output: tuple[OutputItem, ...]) -> list[str]:
    """The texts in an output."""
    return [item.text for item in output if isinstance(item, Text)]


def shown(event: Yielded | Pending | Completed | Terminated) -> str:
    """All text that an event carries."""
    return "".join(texts(event.output))


def calls(event: Pending) -> list[str]:
    """The ids of the calls that a frontier lists."""
    return [call.id for call in event.tool_calls]


def in_state(cell: Cell | PausableCell, *states: str) -> Status:
    """The cell's status, once it is in one of these states."""

    def look() -> Status | None:
        status = cell.status()
        return status if status.state in states else None

    return until(look, what=f"{cell.id} in {states}") or cell.status()


def pid_of(cell: Cell | PausableCell) -> int:
    """The cell's worker, once it has one."""
    return until(lambda: cell.status().pid, what=f"a worker of {cell.id}") or 0


def queued(cell: Cell | PausableCell, inputs: int) -> None:
    """Wait until the journal has so many results of calls for the cell."""

    def count() -> bool:
        entries = cell.history()
        return sum(entry.what in ("call finished", "timer due") for entry in entries) >= inputs

    until(count, what=f"{inputs} inputs of {cell.id}")


def consumed(cell: PausableCell) -> list[str]:
    """What the journal says of generations that were consumed."""
    return [entry.detail for entry in cell.history() if entry.what == "generation consumed"]
