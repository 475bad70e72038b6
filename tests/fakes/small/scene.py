"""One state of the small world, as a value.

Messages of one connection keep their order, and whatever else can be late, is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from tidemark.protocol.ids import Incarnation
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.events import (
    FleetEvent,
    WorkerEnded,
)

from ..frozen_objects import Frozen, Numbered
from . import oblivion as oblivion
from . import promises as promises
from .supervisor import Mind

Action: TypeAlias = tuple[Any, ...]
PID = os.getpid()


@dataclass(frozen=True)
class Size:
    """How small the world is.

    Attributes:
        walker: the first host follows the cell to its end, one `Step` per frontier that it sees.
        asks: how many requests the others make, any of them, at any time.
        hasty: how many timers may run out while messages are on their way.
        replay: whether a lost worker's cell is run again.
        eager: leave out orders that make no difference (see `Choices.first_things`).
    """

    hosts: int = 2
    generations: int = 2
    crashes: int = 1
    walker: bool = True
    asks: int = 1
    hasty: int = 0
    replay: bool = True
    eager: bool = True


class Line(NamedTuple):
    """One connection: what is on its way, oldest first."""

    to_supervisor: tuple[Any, ...] = ()
    to_peer: tuple[Any, ...] = ()


class Zygote(NamedTuple):
    """What it was told, what it has to tell, who lives, and which ends nobody has noted."""

    orders: tuple[Any, ...] = ()
    news: tuple[FleetEvent, ...] = ()
    living: tuple[tuple[bytes, Incarnation], ...] = ()
    ends: tuple[WorkerEnded, ...] = ()


class Scene(NamedTuple):
    """A state of the world.

    Attributes:
        journal: the numbers of its commits.
        lines: by the host's name or the worker's token.
        crashes, asks, hasty: how many are left.
        resumed: the highest generation of which a host was told that it was resumed.
        received: which output items some host has had, as bits.
        left: the highest generation that a worker has left.
        lost: hosts to which nothing comes through any more before the supervisor dies.
    """

    epoch: int
    mind: Mind | None
    journal: tuple[int, ...]
    lines: tuple[tuple[Any, Line], ...]
    hosts: tuple[Frozen, ...]
    workers: tuple[tuple[bytes, Frozen], ...]
    zygote: Zygote
    crashes: int
    asks: int
    hasty: int
    resumed: int = 0
    received: int = 0
    left: int = 0
    lost: tuple[str, ...] = ()


class Commits:
    """Every commit that was ever made, by number; and every entry of them."""

    def __init__(self) -> None:
        self._batches = Numbered()
        self._entries = Numbered()
        self._of_batch: list[tuple[int, ...]] = []
        self._checked: set[tuple[int, ...]] = set()

    @property
    def count(self) -> int:
        """How many different ones there were."""
        return len(self._of_batch)

    def number(self, batch: tuple[r.Entry, ...]) -> int:
        """The commit's number."""
        found = self._batches.number(batch)
        if found == len(self._of_batch):
            self._of_batch.append(tuple([self._entries.number(entry) for entry in batch]))
        return found

    def entries(self, journal: tuple[int, ...]) -> list[r.Entry]:
        """A whole journal."""
        return [entry for number in journal for entry in self._batches[number]]

    def written(self, journal: tuple[int, ...], is_over: oblivion.IsOver) -> frozenset[int]:
        """What a journal tells, in whatever order and in how many commits it was written.

        What order has done to the facts is in the facts.
        """
        return frozenset(
            [self._plain(each, is_over) for number in journal for each in self._of_batch[number]]
        )

    def _plain(self, number: int, is_over: oblivion.IsOver) -> int:
        entry = self._entries[number]
        record = oblivion.record_without(entry.record, is_over)
        same = record is entry.record
        return number if same else self._entries.number(entry.__class__("", record, ()))

    def check(self, journal: tuple[int, ...]) -> None:
        """Look at a journal that has grown."""
        if journal not in self._checked:
            promises.check_journal([self._batches[number] for number in journal])
            self._checked.add(journal)


def in_order(lines: dict[Any, Line]) -> tuple[tuple[Any, Line], ...]:
    """The lines that have something on them, always in the same order."""
    busy = [(name, line) for name, line in lines.items() if line.to_supervisor or line.to_peer]
    return tuple(sorted(busy, key=lambda each: (isinstance(each[0], bytes), each[0])))
