"""A small world explored completely: every order in which everything can happen.

`python tests/simulation/small_world.py --hosts 2 --generations 2 --crashes 1 --asks 1` prints the
number of states. A broken promise is printed with its shortest story; exit status 1.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from tidemark.simulation.promise import Promise, PromiseBroken

from ..frozen_objects import Numbered
from .scene import Action, Scene, Size
from .stage import Stage

#: What somebody chooses to do; everything else happens by itself.
CHOSEN = ("asks", "dies")


class StoryOf(AssertionError):
    """A broken promise, with the shortest way to it."""


@dataclass(frozen=True)
class Explored:
    """A world without a broken promise, in numbers."""

    states: int
    transitions: int
    depth: int
    settled: int
    commits: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.states:,} states, {self.transitions:,} transitions, depth {self.depth}, "
            f"{self.settled:,} settled, {self.commits:,} different commits, {self.seconds:.1f} s"
        )


class Explorer:
    """Breadth first, so that the first way to a state is the shortest."""

    def __init__(self, size: Size) -> None:
        self.stage = Stage(size)
        self._tables = [Numbered() for _ in Scene._fields]
        self._journals = self._tables[Scene._fields.index("journal")]
        self._found: dict[tuple[int, ...], int] = {}
        self._scenes: list[tuple[int, ...]] = []
        self._from = array("q")
        self._by: list[Action | None] = []
        self._actions = Numbered()
        self._edges_from = array("q")
        self._edges_to = array("q")
        self._settled: list[int] = []
        self.transitions = 0

    def explore(self, on_layer: Callable[[int, int], None] | None = None) -> Explored:
        """Every state. `on_layer` is told of each depth that is done, and the states so far.

        Raises:
            StoryOf: a promise is broken.
        """
        began = time.perf_counter()
        first = self._add(self.stage.first(), -1, None)
        depth, layer = 0, [first]
        while layer:
            following: list[int] = []
            for number in layer:
                self._expand(number, following)
            if on_layer is not None:
                on_layer(depth, len(self._scenes))
            layer = following
            depth += bool(following)
        self._check_liveness()
        took = time.perf_counter() - began
        commits = self.stage.commits.count
        states, settled = len(self._scenes), len(self._settled)
        return Explored(states, self.transitions, depth, settled, commits, took)

    def _expand(self, number: int, following: list[int]) -> None:
        scene = self._scene(number)
        for action in self.stage.choices.actions(scene):
            try:
                after = self.stage.after(scene, action)
            except AssertionError as error:
                told = self.story(number, action)
                raise StoryOf(f"{told}\n{type(error).__name__}: {error}") from error
            known = len(self._scenes)
            reached = self._add(after, number, action)
            self.transitions += 1
            if reached == known:
                following.append(reached)
            if action[0] not in CHOSEN:
                self._edges_from.append(number)
                self._edges_to.append(reached)

    def _add(self, scene: Scene, came_from: int, by: Action | None) -> int:
        journal = self.stage.told_apart_by(scene)
        key = tuple(
            [
                table.number(value, journal if table is self._journals else None)
                for table, value in zip(self._tables, scene, strict=True)
            ]
        )
        found = self._found.setdefault(key, len(self._scenes))
        if found == len(self._scenes):
            self._scenes.append(key)
            self._from.append(came_from)
            self._by.append(None if by is None else self._actions[self._actions.number(by)])
            if self.stage.is_settled(scene):
                self._settled.append(found)
        return found

    def _scene(self, number: int) -> Scene:
        parts = zip(self._tables, self._scenes[number], strict=True)
        return Scene(*[table[value] for table, value in parts])

    def settled_scenes(self) -> Iterator[Scene]:
        """Every state in which nothing is under way."""
        return map(self._scene, self._settled)

    def _check_liveness(self) -> None:
        """From every state, what happens by itself can lead to rest."""
        before: dict[int, list[int]] = {}
        for start, stop in zip(self._edges_from, self._edges_to, strict=True):
            before.setdefault(stop, []).append(start)
        good = set(self._settled)
        waiting = list(self._settled)
        while waiting:
            for start in before.get(waiting.pop(), ()):
                if start not in good:
                    good.add(start)
                    waiting.append(start)
        for number in range(len(self._scenes)):
            if number not in good and not self._scene(number).lost:
                broken = PromiseBroken(Promise.LIVENESS, "from here nothing leads to rest")
                raise StoryOf(f"{self.story(number)}\n{broken}") from broken

    # -- stories ----------------------------------------------------------------------------------

    def story(self, number: int, last: Action | None = None) -> str:
        """The shortest way to a state, an action a line."""
        lines = [] if last is None else [self._line(number, last)]
        while (by := self._by[number]) is not None:
            number = self._from[number]
            lines.append(self._line(number, by))
        lines.reverse()
        told = [f"{place:3} {line}" for place, line in enumerate(lines, 1)]
        return "\n".join(["shortest story:", *told])

    def _line(self, number: int, action: Action) -> str:
        return _told(self._scene(number), action)


def _told(scene: Scene, action: Action) -> str:
    verb, *rest = action
    lines = dict(scene.lines)
    match verb:
        case "asks" | "returns":
            return f"host {'AB'[rest[0]]} {verb} {rest[1]}"
        case "reads":
            return f"supervisor reads of {_name(rest[0])}: {lines[rest[0]].to_supervisor[0]}"
        case "hears":
            return f"{_name(rest[0])} hears {lines[rest[0]].to_peer[0]}"
        case "obeys":
            return f"zygote obeys {scene.zygote.orders[0]}"
        case "is told":
            return f"supervisor is told {scene.zygote.news[0]}"
        case "thinks" | "dies" | "loses":
            return f"{_name(rest[0])} {verb}"
    return f"supervisor: {verb} {rest}"


def _name(who: Any) -> str:
    if isinstance(who, bytes):
        return f"worker {who.hex()[:4]}"
    return f"host {who}" if len(who) == 1 else str(who)


def explore(size: Size, on_layer: Callable[[int, int], None] | None = None) -> Explored:
    """The whole of a world of this size.

    Raises:
        StoryOf: a promise is broken; its text has the shortest story.
    """
    gc.collect()
    gc.freeze()  # what is there stays; and nothing that an explorer makes is circular
    gc.disable()
    try:
        return Explorer(size).explore(on_layer)
    finally:
        gc.enable()
        gc.unfreeze()


def _tell_layer(depth: int, states: int) -> None:
    print(f"depth {depth}: {states:,} states", file=sys.stderr, flush=True)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    for field in fields(Size):
        if field.type == "int":
            parser.add_argument(f"--{field.name}", type=int, default=field.default)
    parser.add_argument("--no-walker", action="store_true", help="the first host is as the others")
    parser.add_argument("--no-replay", action="store_true", help="a lost worker ends its cell")
    parser.add_argument("--progress", action="store_true", help="tell of each depth")
    parser.add_argument("--every-order", action="store_true", help="also orders that do not matter")
    options = vars(parser.parse_args())
    progress = options.pop("progress") or sys.stderr.isatty()
    eager, walker = not options.pop("every_order"), not options.pop("no_walker")
    size = Size(eager=eager, walker=walker, replay=not options.pop("no_replay"), **options)
    try:
        print(f"{size}: {explore(size, _tell_layer if progress else None)}")
    except StoryOf as error:
        print(error)
        return 1
    return 0
