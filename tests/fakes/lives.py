"""Runs a cell in a real worker, keeps what a journal would, and lives it again in another one."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field, replace

from tidemark.protocol import values
from tidemark.protocol.packed import CellKind, PackedInput
from tidemark.protocol.worker_messages import (
    Abandoned,
    Called,
    Confirmed,
    EarlierLife,
    Emitted,
    Finished,
    Flagged,
    Item,
    Notified,
    Paused,
    Waited,
    Wrote,
)

from fakes.supervisor_end import CellEnd, ZygoteEnd, failure, result, timer

TRIES_MAX = 10_000


@dataclass
class Life:
    """What a journal has of a cell."""

    source: str
    seed: bytes
    began_ns: int = 0
    ticks: tuple[tuple[int, int], ...] = ()
    readings: int = 0
    inputs: list[PackedInput] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)

    @property
    def trace(self) -> list[object]:
        """What must be the same in every life: digests stand for contents."""
        return [_essence(item) for item in self.items]

    @property
    def is_flagged(self) -> bool:
        return any(isinstance(item, Flagged) for item in self.items)

    @property
    def text(self) -> str:
        return "".join(item.content for item in self.items if isinstance(item, Emitted))

    @property
    def error(self) -> str | None:
        last = self.items[-1]
        assert isinstance(last, Finished)
        return last.error

    def up_to(self, inputs: int) -> Life:
        """What the journal had when the cell had paused after so many inputs.

        The clock's record has more than was known then; it only tells what was not seen yet.
        """
        return replace(self, inputs=self.inputs[:inputs])


def _essence(item: Item) -> object:
    if isinstance(item, Emitted):
        return (item.kind, item.digest)
    if isinstance(item, Called):
        return (item.number, item.tool, item.digest)
    if isinstance(item, (Wrote, Notified)):
        return replace(item, line=0)
    if isinstance(item, Finished):
        error = None if item.error is None else values.digest(item.error.encode())
        return (item.reason, error, item.value, item.taken)
    return item


def live(zygote: ZygoteEnd, source: str, order: random.Random, kill_after: int = -1) -> Life:
    """Run a cell with inputs in random order; after so many inputs its worker is killed."""
    life = Life(source, order.randbytes(32), time.time_ns())
    return _run(zygote, life, order, kill_after)


def relive(zygote: ZygoteEnd, past: Life, order: random.Random, kill_after: int = -1) -> Life:
    """Run it again with what is known, and then on with inputs in random order."""
    return _run(zygote, replace(past, items=[], inputs=list(past.inputs)), order, kill_after)


def _run(zygote: ZygoteEnd, life: Life, order: random.Random, kill_after: int) -> Life:
    cell = zygote.fork()
    earlier = EarlierLife(len(life.ticks), life.readings, 0, 0, 0, 0) if life.readings else None
    cell.start(
        life.source,
        CellKind.PAUSABLE,
        inputs={"n": 4},
        seed=life.seed,
        began_ns=life.began_ns,
        ticks=life.ticks,
        earlier=earlier,
    )
    life.began_ns = cell.began_ns
    calls: dict[int, Called] = {}
    for turn in range(TRIES_MAX):
        item = _next(cell, life, calls)
        if isinstance(item, Finished):
            cell.bye()
            break
        if turn == kill_after:
            os.kill(zygote.pids[cell.token], 9)
            zygote.end_of(cell.token)
            break
        if len(life.inputs) == turn:
            life.inputs.append(_input(turn + 1, item, calls, order))
        given = life.inputs[turn]
        calls.pop(given.call, None)
        cell.continue_(item.generation, turn + 1, given)
    life.ticks += tuple(cell.ticks)
    life.readings = max(life.readings, cell.readings)
    return life


def _next(cell: CellEnd, life: Life, calls: dict[int, Called]) -> Paused | Finished:
    while True:
        item = cell.item()
        if isinstance(item, Waited):
            continue  # told in a later life only, where a life before may have waited
        if not isinstance(item, Confirmed):
            life.items.append(item)
        if isinstance(item, Called):
            calls[item.number] = item
        elif isinstance(item, Abandoned):
            calls.pop(item.number, None)
        elif isinstance(item, (Paused, Finished)):
            return item


def _input(
    number: int, paused: Paused, calls: dict[int, Called], order: random.Random
) -> PackedInput:
    """One of those that could come now; a result never comes after a timer that was due before."""
    now_ns = time.time_ns()
    due_ns = paused.next_timer_ns
    choices: list[int | None] = [*calls]
    if due_ns is not None:
        choices.append(None)
    assert choices, f"the cell waits for nothing: {paused}"
    chosen = order.choice(choices)
    if chosen is None:
        assert due_ns is not None
        return timer(number, due_ns)
    stamp_ns = now_ns if due_ns is None else min(now_ns, due_ns - 1)
    arguments = values.decode(calls[chosen].arguments)
    if isinstance(arguments, dict) and arguments.get("fails"):
        return replace(failure(number, chosen, f"failed {chosen}"), stamp_ns=stamp_ns)
    return replace(result(number, chosen, chosen * 10), stamp_ns=stamp_ns)
