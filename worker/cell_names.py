"""The names that a cell's code is given."""

from __future__ import annotations

import asyncio
import builtins
import io
import sys
from typing import Any, NoReturn

from ..protocol import values
from ..protocol.errors import ToolError
from ..protocol.packed import Reason
from ..protocol.worker_messages import Start, YieldAsked
from .gate import CellLoop
from .link import SPARE_FRAMES, Link
from .output import Output, OutputFile
from .own_work import OwnWork
from .plain import bounded
from .stored import Stored
from .tool_calls import Calls, Tools, tool_list


class CellNames:
    """Everything that a cell can do to the world through us."""

    def __init__(self, start: Start, link: Link, loop: CellLoop, own: OwnWork) -> None:
        self._start = start
        self._link = link
        self.output = Output(link, own, start.limits.output_bytes)
        self._calls = Calls(link, loop, own, start.cell, self.output.flush_partial)
        self._stored = Stored(link, self.output.seen_from_thread, own.step_line)
        loop.settle = self._calls.settle
        loop.before_wait = self.output.flush_partial

    def namespace(self) -> dict[str, Any]:
        """The names and the inputs, for the cell's module."""
        names: dict[str, Any] = {
            "ALL_TOOLS": tool_list(self._start.tools),
            "ToolError": ToolError,
            "asyncio": asyncio,
            "delete": self._stored.delete,
            "exit": self.exit,
            "image": self.output.image,
            "keys": self._stored.keys,
            "load": self._stored.load,
            "notify": self.output.notify,
            "print": self.print,
            "store": self._stored.store,
            "text": self.output.text,
            "tools": Tools(self._calls, self._start.tools),
            "yield_control": self.yield_control,
        }
        names.update(values.decode(self._start.inputs, "inputs"))
        return names

    def take_standard_files(self) -> None:
        """Make `sys.stdout` and `sys.stderr` output of the cell, and `sys.stdin` empty."""
        sys.stdin = io.StringIO()
        sys.stdout = OutputFile(self.output, "<stdout>")
        sys.stderr = OutputFile(self.output, "<stderr>")

    def print(
        self,
        *items: object,
        sep: str | None = " ",
        end: str | None = "\n",
        file: Any = None,
        flush: bool = False,
    ) -> None:
        """Like the built-in, but plain data that is not a string is shown as JSON.

        What goes elsewhere (`file`, `contextlib.redirect_stdout`) is left to the built-in.
        """
        target = sys.stdout if file is None else file
        if not isinstance(target, OutputFile):
            builtins.print(*items, sep=sep, end=end, file=target, flush=flush)
            return
        for name, part in (("sep", sep), ("end", end)):
            if part is not None and not isinstance(part, str):
                raise TypeError(f"{name} must be None or a string, not {type(part).__name__}")
        between = " " if sep is None else sep
        after = "\n" if end is None else end
        self.output.write(between.join([values.as_text(item) for item in items]) + after)
        if flush:
            self.output.flush_partial()

    def yield_control(self) -> None:
        """Ask for the output so far to be handed over to who observes; the code goes on."""
        self.output.flush_partial()
        self.output.seen_from_thread("a yield from another thread")
        self._link.say(YieldAsked())
        self._link.flush()

    def exit(self, value: object = None) -> NoReturn:
        """End the cell now, successfully; cannot be caught, from whatever thread or place.

        Raises:
            TypeError: a value that is not plain data; the cell goes on.
        """
        sys.setrecursionlimit(sys.getrecursionlimit() + SPARE_FRAMES)
        packed = None if value is None else bounded(self._link, value, "value", "value_bytes")
        self.output.flush_partial()
        self.output.seen_from_thread("an exit from another thread")
        self._link.finish(Reason.ENDED, None, packed)
