"""The `tidemark-simulate` command: worlds by their seeds, and trouble at every port call."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Final

from .everywhere import Moment, Plot, Stage, Trouble
from .plants import PLANTS, planted_bug
from .runs import Row, WorldFailed, run
from .world import World

HELD, BROKEN, INTERRUPTED, READER_GONE = 0, 1, 130, 141
PROGRESS_SECONDS: Final = 0.5

_DESCRIPTION: Final = """
Runs Tidemark's own loop, core, worker stream and client on a simulated machine (clock, disk,
wires, processes) on which everything goes wrong that can, and checks what Tidemark promises.
Every run is told by its number alone and is the same each time.
"""
_STATUS: Final = (
    "Exit status: 0 if every promise held, 1 if one was broken, 2 for wrong usage, 130 for Ctrl-C."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)
    if options.plants:
        for name in PLANTS:
            print(name)
        return HELD
    with ExitStack() as stack:
        if options.plant:
            stack.enter_context(planted_bug(options.plant))
        try:
            return _Report(options.story).run(_worlds(options))
        except BrokenPipeError:
            # Whoever read has had enough, as `head` does; nothing may be flushed at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return READER_GONE


def parser() -> argparse.ArgumentParser:
    """What the command understands."""
    known = argparse.ArgumentParser(
        prog="tidemark-simulate", description=_DESCRIPTION, epilog=_STATUS
    )
    known.add_argument(
        *("--seeds", "-n"), type=_count, metavar="N", help="how many seeds (default: 2000)"
    )
    known.add_argument(
        "--first", type=int, default=1, metavar="SEED", help="the first seed (default: 1)"
    )
    known.add_argument(
        "--story", action="store_true", help="tell the story of every run, not only of a failure"
    )
    known.add_argument(
        "--crash-everywhere",
        action="store_true",
        help="no seeds: one fixed story, with trouble before and after every single port call",
    )
    known.add_argument(
        "--trouble", choices=[each.option for each in Trouble], help="only this kind of trouble"
    )
    known.add_argument("--plot", choices=[each.option for each in Plot], help="only this story")
    known.add_argument(
        "--at", type=_moment, metavar="POINT", help="only at this point (as a failure named it)"
    )
    known.add_argument(
        "--plant", choices=list(PLANTS), metavar="BUG", help="run with this bug planted"
    )
    known.add_argument("--plants", action="store_true", help="list the bugs that can be planted")
    return known


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("give at least 1")
    return number


def _moment(text: str) -> Moment:
    try:
        return Moment.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError("give a point as 17, or as 17+4 for two crashes") from None


def _worlds(options: argparse.Namespace) -> Iterator[World]:
    narrowed = options.trouble or options.plot or options.at
    if not (options.crash_everywhere or narrowed):
        seeds = range(options.first, options.first + (options.seeds or 2_000))
        yield from (World(seed) for seed in seeds)
        return
    for plot in Plot:
        for trouble in Trouble:
            if options.plot in (None, plot.option) and options.trouble in (None, trouble.option):
                if options.at:
                    yield Stage(plot, trouble, options.at)
                else:
                    yield from Row(plot, trouble).stages()


class _Report:
    """What is printed: stories on standard output, progress on a terminal."""

    def __init__(self, story: bool) -> None:  # noqa: FBT001 - the option, as it was given
        self.story = story
        self.done = self.broken = 0
        self._began = time.perf_counter()
        self._shown = 0.0
        self._width = 0

    def run(self, worlds: Iterable[World]) -> int:
        """Run them all, or until Ctrl-C; returns the exit status."""
        status = HELD
        try:
            for world in worlds:
                self._run(world)
        except KeyboardInterrupt:
            status = INTERRUPTED
        self._clear()
        took = time.perf_counter() - self._began
        print(f"{self.done} runs, {self.broken} broken, {took:.1f} s", flush=True)
        if status == INTERRUPTED:
            print("stopped by Ctrl-C before the last one", flush=True)
            return status
        return BROKEN if self.broken else HELD

    def _run(self, world: World) -> None:
        try:
            run(world)
        except WorldFailed as failed:
            self.broken += 1
            self._clear()
            # One whole story is enough to begin with; the others are a command away.
            told = self.broken == 1 or self.story
            print(failed if told else f"{failed.world}: {failed.why:.200}; again: {failed.again}")
        else:
            if self.story:
                print(world.told())
        self.done += 1
        self._progress(world)

    def _progress(self, world: World) -> None:
        now = time.perf_counter()
        if now - self._shown < PROGRESS_SECONDS or not sys.stderr.isatty():
            return
        self._shown = now
        self._clear()
        line = f"{self.done} runs, {self.broken} broken; {world}"
        self._width = len(line)
        print(line, end="", file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=sys.stderr, flush=True)
            self._width = 0
