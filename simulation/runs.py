"""Whole runs: one world from beginning to end, and rows of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from .everywhere import RECOVERY_POINTS, Moment, Plot, Stage, Trouble
from .world import World


class WorldFailed(AssertionError):
    """A world that was not as promised, or failed by itself. Its cause is what went wrong.

    Attributes:
        world: its number or moment, in words.
        why: the broken promise with its evidence.
        again: the command that shows it again.
    """

    def __init__(self, world: World, error: Exception) -> None:
        self.world, self.again = str(world), world.again
        self.why = f"{type(error).__name__}: {error}"
        super().__init__(f"{world.told()}\n{self.why}")


def run(world: World) -> World:
    """This world from its beginning to its end.

    Raises:
        WorldFailed: something was not as promised; its text is the story.
    """
    try:
        world.run()
    except Exception as error:
        raise WorldFailed(world, error) from error
    return world


def run_seed(seed: int) -> World:
    """See `run`."""
    return run(World(seed))


@dataclass(frozen=True, slots=True)
class Row:
    """Trouble of one kind in one story, at every moment, or at every `stride`th."""

    plot: Plot
    trouble: Trouble
    stride: int = 1

    def __str__(self) -> str:
        return f"{self.trouble.value}, {self.plot.value}"

    def stages(self) -> Iterator[Stage]:
        """Stages to be run, one after the other, until trouble comes too late to strike."""
        for point in count(1, self.stride):
            last = None
            for moment in self._moments(point):
                last = Stage(self.plot, self.trouble, moment)
                yield last
                if last.struck is None or (moment.then and not last.twice):
                    break
            if last is None or last.struck is None:
                return

    def _moments(self, point: int) -> list[Moment]:
        if self.trouble is not Trouble.CRASH_TWICE:
            return [Moment(point)]
        return [Moment(point, then) for then in range(1, RECOVERY_POINTS + 1)]
