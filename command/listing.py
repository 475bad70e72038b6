"""`tidemark ps`: many cells in a table that stays readable."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from .place import place_of
from .rendering import json_line, plain
from .terminal import Screen, Style, counted, cut, duration, printable, standard_screen

if TYPE_CHECKING:
    from .. import AsyncClient, CellInfo

_PAGE: Final = 1_000
_GAP: Final = "  "
_HEADER: Final = ("CELL", "SESSION", "NAME", "KIND", "STATE", "GEN", "CALLS", "AGE")
_NUMBERS: Final = {"GEN", "CALLS", "AGE"}
_STATE: Final = _HEADER.index("STATE")
# What gives way when a terminal is narrow, in this order, and the least that is left of it.
_GIVES_WAY: Final = (("NAME", 6), ("SESSION", 6), ("KIND", 4))
_STATE_STYLE: Final = {
    "paused": Style.YELLOW,
    "running": Style.GREEN,
    "continuing": Style.GREEN,
    "starting": Style.CYAN,
    "recovering": Style.CYAN,
    "completed": Style.DIM,
    "terminated": Style.DIM,
}


def list_cells(options: argparse.Namespace) -> int:
    """Print them; all are read, also those that are only counted."""
    found = asyncio.run(_fetch(options))
    screen = standard_screen()
    shown = found[: options.limit] if options.limit else found
    if options.json:
        for cell in shown:
            screen.line(json_line(**plain(cell)))
        return 0
    for line in table(shown, screen, time.time()):
        screen.line(line)
    for line in summary(found, len(shown)):
        screen.line(screen.styled(line, Style.DIM))
    return 0


async def _fetch(options: argparse.Namespace) -> list[CellInfo]:
    from .. import connect_async

    async with connect_async(place_of(options)) as client:
        # JSON has no summary, so what is beyond the limit need not be read.
        enough = options.limit if options.json and options.limit else None
        return await _pages(client, options.only, options.session, enough)


async def _pages(
    client: AsyncClient, state: str | None, session: str | None, enough: int | None
) -> list[CellInfo]:
    found: list[CellInfo] = []
    before: str | None = None
    while enough is None or len(found) < enough:
        page = await client.cells(session=session, state=state, limit=_PAGE, before=before)
        found += page
        if len(page) < _PAGE:
            break
        before = page[-1].id
    return found


def table(cells: Sequence[CellInfo], screen: Screen, now: float) -> Iterator[str]:
    """Header and rows, aligned, and cut to the width of the screen."""
    if not cells:
        return
    rows = [_row(cell, now) for cell in cells]
    widths = _widths([_HEADER, *rows], screen.width)
    yield screen.styled(_line(_HEADER, widths), Style.BOLD)
    for row in rows:
        style = _STATE_STYLE.get(row[_STATE])
        if style is Style.DIM:
            yield screen.styled(_line(row, widths), style)
        else:
            yield _line(row, widths, screen, style)


def _row(cell: CellInfo, now: float) -> tuple[str, ...]:
    return (
        cell.id,
        printable(cell.session),
        printable(cell.name),
        cell.kind,
        cell.state,
        str(cell.generation or "-"),
        str(cell.calls or "-"),
        duration(now - cell.created),
    )


def _widths(rows: Sequence[Sequence[str]], available: int) -> list[int]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - available
    for name, least in _GIVES_WAY:
        if over <= 0:
            break
        column = _HEADER.index(name)
        taken = max(min(over, widths[column] - least), 0)
        widths[column] -= taken
        over -= taken
    return widths


def _line(
    row: Sequence[str],
    widths: Sequence[int],
    screen: Screen | None = None,
    state_style: Style | None = None,
) -> str:
    parts = []
    for name, text, width in zip(_HEADER, row, widths, strict=True):
        shown = cut(text, width)
        padded = shown.rjust(width) if name in _NUMBERS else shown.ljust(width)
        if name == "STATE" and screen is not None and state_style is not None:
            padded = screen.styled(padded, state_style)
        parts.append(padded)
    return _GAP.join(parts).rstrip()


def summary(found: Sequence[CellInfo], shown: int) -> Iterator[str]:
    """What there is altogether, and how to see what was left out."""
    if len(found) > shown:
        yield f"{len(found) - shown:,} more: --limit 0 or --all shows them"
    counts = Counter(cell.state for cell in found)
    states = ", ".join(f"{count:,} {state}" for state, count in counts.most_common())
    yield f"{counted(len(found), 'cell')}: {states}" if found else "no cells"
