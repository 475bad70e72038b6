"""What a disk may hold when the power fails: what was synced, and any part of the rest."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fakes.sqlite_files import Delete, Step, Sync, Truncate, Write

SECTOR = 512  # bytes that a disk writes whole or not at all


@dataclass
class _File:
    """`durable` is None when the disk need not know the file at all."""

    durable: bytes | None = None
    unsynced: list[Step] = field(default_factory=list)


class Disk:
    """Takes steps in their order, and says at any moment what could be left."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}

    def take(self, steps: Iterable[Step]) -> None:
        """These were done."""
        for step in steps:
            file = self._files.setdefault(step.path, _File())
            if isinstance(step, Sync):
                file.durable = _done(file.durable or b"", file.unsynced) or b""
                file.unsynced = []
                if step.directory:
                    self._keep_names()
            elif isinstance(step, Delete) and step.synced:
                file.durable, file.unsynced = None, []
            else:
                file.unsynced.append(step)

    def _keep_names(self) -> None:
        """Which files there are is on the disk now; not what is in them."""
        for file in self._files.values():
            deletions = [n for n, step in enumerate(file.unsynced) if isinstance(step, Delete)]
            if deletions:
                file.durable, file.unsynced = None, file.unsynced[deletions[-1] + 1 :]
            if file.unsynced and file.durable is None:
                file.durable = b""

    def after_a_power_cut(self, chance: random.Random) -> dict[str, bytes]:
        """Files by name; each time another possibility."""
        left = {}
        for path, file in self._files.items():
            content = _done(file.durable, _survivors(file.unsynced, chance))
            if content is not None:
                left[path] = content
        return left


def _done(content: bytes | None, steps: Iterable[Step]) -> bytes | None:
    image = None if content is None else bytearray(content)
    for step in steps:
        if isinstance(step, Delete):
            image = None
        elif isinstance(step, Write):
            image = bytearray() if image is None else image
            image.extend(bytes(max(0, step.offset - len(image))))
            image[step.offset : step.offset + len(step.content)] = step.content
        elif isinstance(step, Truncate):
            image = bytearray() if image is None else image
            del image[step.size :]
    return None if image is None else bytes(image)


def _survivors(steps: Sequence[Step], chance: random.Random) -> list[Step]:
    """Some of what was not synced: nothing, all, the first part, or sectors in any order."""
    # A new file of the same name is another file: what is done to it does not touch the old one.
    for place, step in enumerate(steps):
        if isinstance(step, Delete):
            if chance.random() < 0.5:
                return _survivors(steps[:place], chance)
            return [step, *_survivors(steps[place + 1 :], chance)]
    match chance.choice(["nothing", "all", "first", "any", "any"]):
        case "nothing":
            return []
        case "all":
            return list(steps)
        case "first":
            kept = list(steps[: chance.randint(0, len(steps))])
            return kept[:-1] + _sectors(kept[-1:], chance, 0.5)
        case _:
            pieces = _sectors(steps, chance, chance.choice([0.1, 0.5, 0.9]))
            if chance.random() < 0.5:
                chance.shuffle(pieces)
            return pieces


def _sectors(steps: Sequence[Step], chance: random.Random, keep: float) -> list[Step]:
    pieces: list[Step] = []
    for step in steps:
        if not isinstance(step, Write):
            pieces.append(step)
            continue
        start, end = step.offset, step.offset + len(step.content)
        while start < end:
            stop = min(end, (start // SECTOR + 1) * SECTOR)
            part = step.content[start - step.offset : stop - step.offset]
            pieces.append(Write(step.path, start, part))
            start = stop
    return [piece for piece in pieces if chance.random() < keep]
