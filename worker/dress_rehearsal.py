"""A spare worker lives a cell of nobody, so that what its own will touch is touched already.

Most of a young process's time goes into its first touch of pages that it shares with the zygote.
Nothing that a cell can see may stay behind: its life has to be that of a worker made for it.
"""

from __future__ import annotations

import functools
import gc
import linecache
import sys
import threading
from typing import Final, NoReturn, cast

from ..protocol import codec, limits
from ..protocol.ids import Incarnation
from ..protocol.limits import Limits
from ..protocol.packed import CellKind, Reason, Stepping
from ..protocol.worker_messages import Finished, Item, Said, Start
from . import real, signals
from .bell import Bell
from .clock import CellClock
from .gate import CellLoop
from .link import Link
from .reproducible import Reproducible
from .runner import Run
from .stream import Stream

NAME: Final = "<rehearsal>"
SOURCE: Final = """
async def part(number):
    return number
text("rehearsed", await part(1))
"""
NO_INPUTS: Final = b"\x80"  # a packed dict
SEED_BYTES: Final = 32


class _Over(BaseException):
    """The cell of nobody has ended."""


class _Listener:
    """What a cell needs of its speaker."""

    def __init__(self) -> None:
        self.stream = Stream()
        self.clock: CellClock | None = None


class _NoHearing:
    """What a loop needs of a link's hearing."""

    def __init__(self) -> None:
        self.gate_bell = Bell()

    def watched(self) -> tuple[int, ...]:
        return (self.gate_bell.fileno(),)


class _NoLink:
    """A link that leads nowhere; see `Link`."""

    is_copy = False

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.remembered: dict[int, int] = {}
        self.hearing = _NoHearing()
        self.speaker = _Listener()

    def say(self, item: Item) -> None:
        self.speaker.stream.add(item)

    def flush(self) -> None:
        """Nobody hears it."""

    def finish(
        self, reason: Reason, error: str | None = None, value: bytes | None = None
    ) -> NoReturn:
        stream = self.speaker.stream
        stream.add(Finished(reason, error, value, 0))
        clock = self.speaker.clock
        ticks, readings = ((), 0) if clock is None else clock.drain()
        said = stream.take(ticks, readings)
        if isinstance(said, Said):
            codec.FROM_WORKER.encode(said)
        raise _Over


class Stage:
    """Where one rehearsal takes place: a link that leads nowhere and a loop, without descriptors.

    Made in the zygote, as what the worker's own cell needs is: to make it and to free it would
    touch what no later part of the worker's life does.
    """

    def __init__(self) -> None:
        self._link = _NoLink()
        self.link = cast(Link, cast(object, self._link))
        self.loop = CellLoop(self.link)

    def open(self) -> None:
        """Take descriptors. Raises OSError: none is left."""
        self._link.hearing.gate_bell.open()
        self.loop.open()

    def close(self) -> None:
        """Give them back, and no more: closing the loop would touch what no cell needs."""
        self.loop.give_back()
        self._link.hearing.gate_bell.close()


def rehearse_cell(reproducible: Reproducible, stage: Stage) -> None:
    """Live it. To be called in the forked child, before it has another thread.

    `stage` is used up; whoever has it should keep it.
    """
    start = cast(Start, codec.TO_WORKER.decode(start_frames()))
    standard = sys.stdin, sys.stdout, sys.stderr
    interrupted = signals.called()
    main, arguments = sys.modules["__main__"], sys.argv
    stage.open()
    try:
        Run(start, stage.link, stage.loop, reproducible).to_the_end()
    except _Over:
        stage.close()
    finally:
        reproducible.pause()
        signals.restore(interrupted)
        sys.stdin, sys.stdout, sys.stderr = standard
        sys.modules["__main__"], sys.argv = main, arguments
        linecache.cache.pop(NAME, None)
    gc.collect()  # and what is counted until the next collection begins at nothing again


@functools.cache
def start_frames() -> list[bytes]:
    """How the cell of nobody begins. Packed in the zygote: workers never pack such a message."""
    monotonic_ns = real.monotonic_ns()
    start = Start(
        epoch=1,
        cell="",
        incarnation=Incarnation(1, 1),
        kind=CellKind.CONTINUING,
        stepping=Stepping.DRAIN,
        name=NAME,
        source=SOURCE,
        inputs=NO_INPUTS,
        tools=(),
        limits=Limits(output_bytes=limits.KIB),
        seed=bytes(SEED_BYTES),
        now_ns=monotonic_ns,
        monotonic_ns=monotonic_ns,
        began_ns=monotonic_ns,
        journal=0,
    )
    return codec.TO_WORKER.encode(start)
