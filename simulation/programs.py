"""What simulated cells do: drawn from the seed, and always coming to an end."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..protocol.packed import CellKind, Stepping

Action: TypeAlias = tuple[Any, ...]
MS = 1_000_000

#: Every cell that writes, writes both, the same: so whoever reads one without the other has seen
#: half of a completion.
PAIR = ("left", "right")


@dataclass(frozen=True)
class Program:
    """A cell to be: its actions, and how they end."""

    name: str
    kind: CellKind
    stepping: Stepping
    actions: tuple[Action, ...]
    ending: str

    @property
    def source(self) -> bytes:
        return self.name.encode()

    @property
    def texts(self) -> int:
        """How many items of output a life that comes to its end puts out."""
        return _texts(self.actions)


def _texts(actions: tuple[Action, ...]) -> int:
    count = 0
    for action in actions:
        count += action[0] in ("text", "gather", "first")
        if action[0] == "spawn":
            count += _texts(action[1])
    return count


def draw(rng: random.Random, name: str) -> Program:
    """A program."""
    kind = CellKind.PAUSABLE if rng.random() < 0.65 else CellKind.CONTINUING
    stepping = Stepping.ONE if rng.random() < 0.25 else Stepping.DRAIN
    actions = _actions(rng, rng.randint(2, 6), depth=0)
    if rng.random() < 0.5:
        places = sorted(rng.randrange(len(actions) + 1) for _ in PAIR)
        for place, key in reversed(list(zip(places, PAIR, strict=True))):
            actions.insert(place, ("store", key))
    if rng.random() < 0.4:
        between = ("busy", rng.choice((1, 20, 120)) * MS)
        actions[:0] = [("load", PAIR[0]), between, ("load", PAIR[1])]
    ending = rng.choices(("end", "exit", "raise"), (6, 3, 1))[0]
    return Program(name, kind, stepping, tuple(actions), ending)


def _actions(rng: random.Random, count: int, depth: int) -> list[Action]:
    actions: list[Action] = []
    for _ in range(count):
        what = rng.choices(
            ("text", "gather", "first", "sleep", "busy", "yield", "notify", "spawn"),
            (6, 6, 1, 3, 1, 2, 1, 2 if depth < 1 else 0),
        )[0]
        if what == "gather":
            actions.append(("gather", rng.choices((1, 2, 3, 5), (6, 4, 2, 1))[0], _tool(rng)))
        elif what == "first":
            actions.append(("first", rng.randint(2, 3), _tool(rng)))
        elif what == "sleep":
            actions.append(("sleep", rng.choice((0, 1, 5, 40, 300)) * MS))
        elif what == "busy":
            actions.append(("busy", rng.choice((1, 20, 120)) * MS))
        elif what == "spawn":
            actions.append(("spawn", tuple(_actions(rng, rng.randint(1, 3), depth + 1))))
        else:
            actions.append((what,))
    return actions


def _tool(rng: random.Random) -> str:
    return rng.choices(("search", "retry_me", "fail_me", "slow"), (5, 2, 2, 1))[0]
