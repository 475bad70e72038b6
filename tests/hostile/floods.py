"""Attacks by saying too much, through the names that cells are given."""

from __future__ import annotations

import tidemark
from tidemark import Limits

from hostile.attack import Attack, Family, not_by_limit

MIB = 2**20
_WINDOW = "the worker waits for the journal; each gets its share of a turn"
OPEN_CALLS = (tidemark.Tool(name="wait", external=True),)


SLOWS = (
    "a defect to be mended: a worker's share of a turn is counted in messages and bytes and not in "
    "items, so that siblings can wait for many times their usual cycle, and the supervisor take "
    "more than 64 MiB"
)


SLOW = frozenset(
    {
        "flood of output",
        "flood of large output",
        "flood of empty output",
        "flood of notifications",
        "flood of abandoned calls",
        "flood of yields",
        "flood of stored values",
        "flood of threads that speak",
        "output without waiting for the journal",
        "messages of a hundred thousand items",
        "what was said before, without end",
        "questions whose answers it does not read",
    }
)


def endless(name: str, source: str, by: str = _WINDOW) -> Attack:
    """One that goes on while the sibling's speed is measured."""
    return Attack(name, source, by, floods=name, unsettled=SLOWS if name in SLOW else "")


def _bounded(name: str, source: str, limit: str, limits: Limits | None = None) -> Attack:
    by = "limits, counted outside"
    return Attack(name, source, by, not_by_limit(limit), limits=limits, tools=OPEN_CALLS)


ATTACKS = (
    endless("flood of output", "ready()\nwhile True: print('x' * 100)"),
    endless("flood of large output", "ready()\nwhile True: text('x' * 4_000_000)"),
    endless("flood of empty output", "ready()\nwhile True: text('')"),
    endless("flood of notifications", "ready()\nwhile True: notify('x' * 100)"),
    endless(
        "flood of tool calls",
        """
ready()
while True:
    await asyncio.gather(*[tools.echo(value=number) for number in range(100)])
""",
    ),
    endless(
        "flood of abandoned calls",
        """
ready()
while True:
    tasks = [asyncio.create_task(tools.echo(value=number)) for number in range(100)]
    await asyncio.sleep(0)
    for task in tasks: task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
""",
    ),
    endless("flood of yields", "ready()\nwhile True: yield_control()"),
    endless("flood of stored values", "ready()\nn = 0\nwhile True:\n    n += 1\n    store('k', n)"),
    endless("flood of reads", "ready()\nwhile True: load(os.urandom(4).hex()); keys()"),
    endless(
        "flood of timers",
        "ready()\nwhile True: await asyncio.gather(*[asyncio.sleep(0.001) for _ in range(1000)])",
    ),
    endless(
        "flood of threads that speak",
        """
def speak():
    while True: print("x" * 1000)
for _ in range(10):
    threading.Thread(target=speak, daemon=True).start()
ready()
await asyncio.sleep(100)
""",
    ),
    _bounded(
        "output without end",
        "while True: text('x' * 100_000)",
        "output_bytes",
        Limits(output_bytes=4 * MIB),
    ),
    _bounded(
        "calls without end",
        "tasks = [asyncio.ensure_future(tools.wait(value=0)) for _ in range(2000)]\n"
        "await asyncio.sleep(60)",
        "calls_open",
    ),
    _bounded(
        "large calls without end",
        """
tasks = [asyncio.ensure_future(tools.wait(value="x" * 4_000_000)) for _ in range(20)]
await asyncio.sleep(60)
""",
        "calls_open_bytes",
    ),
    _bounded(
        "stored values without end",
        "for n in range(20): store(str(n), 'x' * 4_000_000)",
        "stored_bytes",
    ),
)
FAMILY = Family("Floods", ATTACKS)
