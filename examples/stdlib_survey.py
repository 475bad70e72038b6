"""A survey of the standard library: the cell fetches every module from this host, in parallel.

python examples/stdlib_survey.py
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import tidemark
from stdlib_tools import list_modules, read_source

CELL = Path(__file__).with_name("stdlib_survey_cell.py")


async def main() -> int:
    started = time.perf_counter()
    # Level "process" is no security boundary. This cell is our own code.
    async with tidemark.AsyncSession(
        tools=[list_modules, read_source], isolation="process"
    ) as session:
        cell = await session.create_cell(CELL.read_text(encoding="utf-8"), name=CELL.name)
        event = await cell.observe(yield_after=600)
        for item in event.output:
            if isinstance(item, tidemark.Text):
                print(item.text.removesuffix("\n"))
    if not isinstance(event, tidemark.Completed) or event.reason != "ended":
        error = event.error if isinstance(event, tidemark.Completed) else None
        print(error or f"the survey did not end: {event!r:.200}", file=sys.stderr)
        return 1
    seconds = time.perf_counter() - started
    print(
        f"{event.value / seconds:,.0f} modules/s: {event.value} tool calls in {seconds:.1f} s, "
        "with the start of supervisor and worker"
    )
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
