"""Runs a cell: compiles the source, drives its loop to the end, and says how it ended."""

from __future__ import annotations

import ast
import asyncio
import builtins
import inspect
import sys
import types
from collections.abc import Callable
from typing import Any, Final, NoReturn

from ..protocol import limits, values
from ..protocol.packed import Reason
from ..protocol.worker_messages import Start
from . import signals, traces
from .cell_names import CellNames
from .clock import CellClock
from .exceeded import exceeded
from .gate import CellLoop
from .link import Link
from .own_work import OwnWork
from .reproducible import Reproducible

NO_NAME: Final = "<cell>"


class Run:
    """One cell, from its source to its completion."""

    def __init__(
        self, start: Start, link: Link, loop: CellLoop, reproducible: Reproducible
    ) -> None:
        self._start = start
        self._link = link
        self._loop = loop
        self._filename = start.name or NO_NAME
        self._failure: BaseException | None = None
        earlier = start.earlier
        readings = 0 if earlier is None else earlier.readings
        clock = CellClock(
            start.now_ns, start.monotonic_ns, start.began_ns, link.remembered, readings
        )
        clock.on_crowded = link.flush
        link.speaker.clock = clock
        own = OwnWork(self._filename, link.say)
        own.tells_lines = earlier is not None
        loop.equip(clock, own)
        reproducible.begin(start.seed, clock, own.flag)
        self._names = CellNames(start, link, loop, own)

    def to_the_end(self) -> NoReturn:
        """Run the cell; the process ends when the journal has its completion."""
        self._names.take_standard_files()
        traces.keep_source(self._filename, self._start.source)
        try:
            code = compile(
                self._start.source,
                self._filename,
                "exec",
                flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
                dont_inherit=True,
            )
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            self._names.output.flush_partial()
            self._link.finish(Reason.REFUSED, traces.describe_refusal(error))
        main = types.FunctionType(code, self._module().__dict__)
        self._drive(main)
        # The traceback is made before the clean-up, which runs code of the cell again.
        reason, error_text, value = self._outcome()
        self._clean_up()
        self._names.output.flush_partial()
        self._link.finish(reason, error_text, value)

    def _module(self) -> types.ModuleType:
        module = types.ModuleType("__main__")
        # Every module has it; without it warnings made for this module fail.
        module.__dict__["__builtins__"] = builtins
        module.__dict__.update(self._names.namespace())
        sys.modules["__main__"] = module
        sys.argv = [self._filename]
        return module

    def _drive(self, main: Callable[[], Any]) -> None:
        task = self._loop.create_task(self._run_main(main), name="main")
        # Until no signal calls anything of the cell's: what is raised by such a call before that is
        # raised here, and nowhere where it would be a defect of the worker.
        runs = is_heard = True
        while is_heard:
            try:
                if runs:
                    runs = False
                    self._loop.run_forever()
                signals.silence()
                is_heard = False
            except BaseException as error:  # noqa: BLE001 - foreign code: exits, signals' functions
                self._failure = self._failure or error
        if not (task.done() or self._failure):
            # What `asyncio.run` says to a program that stops its own loop.
            self._failure = RuntimeError("Event loop stopped before Future completed.")
        # Nobody asks this task for its outcome: ours is in `_failure`.
        task._log_destroy_pending = False  # type: ignore[attr-defined]

    async def _run_main(self, main: Callable[[], Any]) -> None:
        # Errors are caught here and not by asyncio, whose callbacks ask the exception for its
        # class: one with a hostile `__getattribute__` would hang the loop for ever.
        try:
            result = main()
            if inspect.iscoroutine(result):
                await result
        except BaseException as error:  # noqa: BLE001 - foreign code
            self._failure = error
        if not self._loop.is_ending:
            self._loop.stop()

    def _outcome(self) -> tuple[Reason, str | None, bytes | None]:
        failure = self._failure
        if failure is None:
            return Reason.ENDED, None, None
        if type(failure) is SystemExit:
            code = failure.code
            if code is None or (type(code) is int and abs(code) < limits.INTEGER_MAX):
                return Reason.ENDED, None, None if code is None else values.encode(code)
        traces.keep_source(self._filename, self._start.source)
        text = traces.describe(failure)
        over = exceeded(failure, self._link.fork.limits)
        if over is not None:
            return Reason.LIMIT, f"{over}\n{text}", None
        return Reason.RAISED, text, None

    def _clean_up(self) -> None:
        """Cancel the cell's other tasks and close its async generators; nothing is waited for."""
        loop = self._loop
        loop.end_when_idle()
        try:
            # asyncio keeps them in a set of addresses; named in the order in which they were made.
            tasks = sorted(asyncio.all_tasks(loop), key=lambda task: _natural(task.get_name()))
            for task in tasks:
                task.cancel()
            if tasks:
                loop.run_forever()
            for task in tasks:
                if task.done() and not task.cancelled() and task.exception() is not None:
                    what = "an exception in a task that was cancelled at the end of the cell"
                    loop.call_exception_handler(
                        {"message": what, "exception": task.exception(), "task": task}
                    )
            if loop._asyncgens:  # type: ignore[attr-defined]
                loop.create_task(loop.shutdown_asyncgens())
                loop.run_forever()
        except BaseException as error:  # noqa: BLE001 - foreign code; the outcome stands
            print(traces.describe(error), end="", file=sys.stderr)


def _natural(name: str) -> tuple[int, str]:
    return len(name), name
