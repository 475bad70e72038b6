"""What the command says of one cell that somebody made, and does to it."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from ..protocol.errors import WrongCellKindError
from ..protocol.frontier import Completed, Frontier, Resumed, Terminated
from .failures import UsageError
from .place import place_again, place_of
from .printing import JsonPrinter, Printer, TextPrinter
from .rendering import frontier_lines, json_line, plain
from .terminal import (
    Screen,
    Style,
    clock_time,
    counted,
    cut,
    duration,
    printable,
    size,
    standard_screen,
)

if TYPE_CHECKING:
    from .. import AsyncCell, AsyncPausableCell, HistoryEntry, Status

    AnyCell = AsyncCell | AsyncPausableCell

_PAGE: Final = 1_000
_LABEL_WIDTH: Final = 12
_ENDED: Final = ("completed", "terminated")


def about_one_cell(options: argparse.Namespace) -> int:
    """Do what the verb says; the exit status."""
    if options.verb == "resume" and not (options.timeout >= 0):
        raise UsageError(f"--timeout {options.timeout:g}: give seconds, 0 or more")
    return asyncio.run(_about(options, standard_screen()))


async def _about(options: argparse.Namespace, screen: Screen) -> int:
    from .. import connect_async

    async with connect_async(place_of(options)) as client:
        cell = await client.cell(options.cell)
        match options.verb:
            case "show":
                return await _show(cell, options, screen)
            case "history":
                return await _history(cell, options, screen)
            case "watch":
                return await _watch(cell, options, screen)
            case "resume":
                return await _resume(cell, options, screen)
            case "hibernate":
                return await _hibernate(cell, options, screen)
            case _:
                return await _terminate(cell, options, screen)


# -- show -----------------------------------------------------------------------------------------


async def _show(cell: AnyCell, options: argparse.Namespace, screen: Screen) -> int:
    from .. import AsyncPausableCell

    status = await cell.status()
    frontier = await cell.frontier() if isinstance(cell, AsyncPausableCell) else None
    if options.json:
        shown = None if frontier is None else plain(frontier)
        screen.line(json_line(id=cell.id, **plain(status), frontier=shown))
        return 0
    for label, text in _facts(cell.id, status):
        screen.line(f"{screen.styled(label.ljust(_LABEL_WIDTH), Style.DIM)}{text}")
    for line in _frontier_part(frontier, status, screen):
        screen.line(line)
    for line in _next_steps(cell.id, status, options):
        screen.line(screen.styled(line, Style.DIM))
    return 0


def _facts(cell: str, status: Status) -> Iterator[tuple[str, str]]:
    now = time.time()
    yield "cell", cell + (f"  {printable(status.name)}" if status.name else "")
    yield "session", printable(status.session)
    stuck = ", stuck: nothing can ever wake it" if status.stuck else ""
    age = duration(now - status.since)
    ended = status.state in _ENDED
    yield "state", f"{status.state} {age} ago" if ended else f"{status.state} for {age}{stuck}"
    if status.reason:
        yield "reason", status.reason
    yield "kind", status.kind
    yield "isolation", status.isolation
    if status.kind == "pausable":
        yield "generation", f"{status.generation} (last resumed: {status.consumed_generation})"
    if status.waiting_on:
        yield "waiting on", ", ".join(map(printable, status.waiting_on))
    if status.next_timer is not None:
        left = status.next_timer - now
        yield "next timer", f"in {duration(left)}" if left > 0 else f"due for {duration(-left)}"
    yield "worker", _worker(status)
    yield "replayable", "yes" if status.replayable else "no"


def _worker(status: Status) -> str:
    if status.pid is None:
        return "none just now"
    parts = [f"process {status.pid}", f"incarnation {status.incarnation}"]
    if status.memory_bytes is not None:
        parts.append(size(status.memory_bytes))
    if status.cpu_seconds is not None:
        parts.append(f"{status.cpu_seconds:.2f} s of CPU")
    if status.restarts:
        parts.append(counted(status.restarts, "restart"))
    return ", ".join(parts)


def _frontier_part(frontier: Frontier | None, status: Status, screen: Screen) -> Iterator[str]:
    if frontier is None:
        return
    now = time.time()
    if frontier.generation > status.consumed_generation and status.state == "paused":
        lines = frontier_lines(frontier, screen, at=status.since, now=now, first_seen={})
        yield ""
        yield from lines
        return
    calls = counted(len(frontier.tool_calls), "call")
    yield ""
    yield f"the last frontier was generation {frontier.generation}, with {calls}"


def _next_steps(cell: str, status: Status, options: argparse.Namespace) -> Iterator[str]:
    if status.state in _ENDED:
        yield f"its output: tidemark watch {cell} {place_again(options)}"
    elif status.state == "paused":
        yield f"next: tidemark resume {cell} {status.generation} {place_again(options)}"


# -- history and watch ----------------------------------------------------------------------------


async def _history(cell: AnyCell, options: argparse.Namespace, screen: Screen) -> int:
    after = 0
    while True:
        page = await cell.history(after, _PAGE)
        for entry in page:
            screen.line(json_line(**plain(entry)) if options.json else _entry(entry, screen))
            after = entry.number
        if len(page) < _PAGE:
            return 0


def _entry(entry: HistoryEntry, screen: Screen) -> str:
    moment = f"{clock_time(entry.at)}.{int(entry.at % 1 * 1_000):03}"
    start = f"{entry.number:>6}  {moment}  {entry.what:<20}"
    detail = printable(" ".join(entry.detail.split()))
    return f"{start}  {cut(detail, screen.width - len(start) - 2)}".rstrip()


async def _watch(cell: AnyCell, options: argparse.Namespace, screen: Screen) -> int:
    printer: Printer = JsonPrinter(screen) if options.json else TextPrinter(screen)
    async for event in cell.watch():
        printer.event(event)
        if isinstance(event, Terminated) and not options.json:
            screen.complain("the cell was terminated")
    return 0


# -- resume and terminate -------------------------------------------------------------------------


async def _resume(cell: AnyCell, options: argparse.Namespace, screen: Screen) -> int:
    from .. import AsyncPausableCell

    if not isinstance(cell, AsyncPausableCell):
        raise WrongCellKindError(
            f"cell {cell.id} is continuing: it goes on by itself, and nothing is to be resumed",
            kind="continuing",
        )
    outcome = await cell.resume(options.generation, timeout=options.timeout)
    if options.json:
        screen.line(json_line(type=type(outcome).__name__, **plain(outcome)))
    elif isinstance(outcome, Resumed):
        screen.line(f"Resumed: generation {outcome.generation} of {cell.id}")
    else:
        screen.line(
            f"AlreadyRunning: generation {outcome.generation} had been resumed before; the cell is "
            f"{outcome.state}, latest generation {outcome.latest}"
        )
    return 0


async def _hibernate(cell: AnyCell, options: argparse.Namespace, screen: Screen) -> int:
    why = await cell.hibernate()
    if options.json:
        screen.line(json_line(id=cell.id, hibernates=why is None, reason=why))
    elif why is None:
        screen.line(f"{cell.id} has no worker now; it is run again when something moves it")
    else:
        screen.complain(f"{cell.id} keeps its worker: {why}")
    return 0 if why is None else 1


async def _terminate(cell: AnyCell, options: argparse.Namespace, screen: Screen) -> int:
    event = await cell.terminate()
    if options.json:
        JsonPrinter(screen).event(event)
        return 0
    if isinstance(event, Completed):
        screen.line(f"{cell.id} had already completed ({event.reason})")
    else:
        screen.line(f"{cell.id} is terminated")
    if event.output:
        items = counted(len(event.output), "item")
        again = f"tidemark watch {cell.id} {place_again(options)}"
        screen.line(f"{items} of output that nobody had read: {again}")
    return 0
