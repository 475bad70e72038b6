"""`tidemark run`: a file as a cell, from its source to its last output."""

from __future__ import annotations

import asyncio
import codecs
import gc
import os
import signal
import sys
from contextlib import redirect_stdout, suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..client._places import end_ahead
from ..protocol.classes import dataclass
from ..protocol.frontier import Completed, Event, Pending, Resumed, Terminated
from ..protocol.limits import NAME_BYTES_MAX, SOURCE_BYTES_MAX
from .attendant import Attendant
from .failures import BY_SIGNAL, FAILED, CommandError, UsageError
from .keys import Answer, Answers
from .place import reachable
from .printing import JsonPrinter, Printer, TextPrinter
from .streams import OutputError, kept_for_us
from .terminal import Screen, Style, standard_screen
from .tools_file import load_tools

if TYPE_CHECKING:
    from .. import AsyncCell, AsyncPausableCell, AsyncSession, Notification

STANDARD_INPUT: Final = "-"
# Output is asked for this often: soon while there is some, seldom while there is none.
_OBSERVE_SECONDS_MIN: Final = 0.05
_OBSERVE_SECONDS_MAX: Final = 0.25
_END_SECONDS_MAX: Final = 5.0
_STOPS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Pace(Enum):
    """Who lets the cell go on."""

    BY_ITSELF = "a continuing cell"
    EVERY_FRONTIER = "pausable; each frontier is shown and resumed"
    ASKING = "pausable; each frontier is shown, and resumed when the user says so"


class Format(Enum):
    """Who reads the output."""

    TEXT = "people"
    JSON = "programs"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says about a run."""

    file: str
    tools: Path | None
    inputs: dict[str, Any]
    pace: Pace
    format: Format
    isolation: str | None
    state: str | None
    endpoint: str | None
    session: str | None


def run(options: RunOptions) -> int:
    """Run it; the exit status."""
    gc.enable()
    try:
        return _run(options)
    finally:
        end_ahead()


def _run(options: RunOptions) -> int:
    if options.pace is Pace.ASKING and options.file == STANDARD_INPUT:
        raise UsageError("--step reads answers from standard input: give a FILE instead of -")
    source = _source(options.file)
    if options.format is Format.TEXT:
        screen = standard_screen()
        with screen.shared():
            return _run_on(options, source, screen)
    with kept_for_us() as out:  # a program reads it, and tools may print
        screen = Screen(out, sys.stderr)
        with screen.shared(), redirect_stdout(sys.stderr):
            return _run_on(options, source, screen)


def _run_on(options: RunOptions, source: bytes, screen: Screen) -> int:
    tools = [] if options.tools is None else load_tools(options.tools)
    return asyncio.run(_Run(options, source, tools, screen).to_the_end())


def _source(file: str) -> bytes:
    """At most one byte more than a cell's source may have, so that too much is refused as such."""
    try:
        if file == STANDARD_INPUT:
            source = sys.stdin.buffer.read(SOURCE_BYTES_MAX + 1)
        else:
            with open(file, "rb") as opened:
                source = opened.read(SOURCE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from None
    return source.removeprefix(codecs.BOM_UTF8)  # Python runs such a file too


def shown_name(file: str) -> str:
    """A file's name as a cell's: what is not UTF-8 in it is escaped."""
    name = os.fsencode(os.path.basename(file)).decode(errors="backslashreplace")
    return name.encode()[:NAME_BYTES_MAX].decode(errors="ignore")


class _Run:
    """One run, its cell and its session."""

    def __init__(self, options: RunOptions, source: bytes, tools: list[Any], screen: Screen):
        self._options = options
        self._source = source
        self._tools = tools
        self._screen = screen
        self._printer: Printer = (
            JsonPrinter(screen) if options.format is Format.JSON else TextPrinter(screen)
        )
        self._answers = Answers(sys.stdin.fileno()) if options.pace is Pace.ASKING else None
        self._attendant = Attendant(screen)
        self._stopped_by = 0

    async def to_the_end(self) -> int:
        """Until the cell has ended, however it ends; then nothing of it is left."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        for number in _STOPS:
            loop.add_signal_handler(number, self._on_stop, number, task)
        try:
            async with self._session() as session:
                return await self._in_session(session)
        except asyncio.CancelledError:
            if not self._stopped_by:
                raise
            name = signal.Signals(self._stopped_by).name
            self._screen.complain(f"tidemark: {name}: the cell was terminated")
            return BY_SIGNAL + self._stopped_by
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from error  # inputs, tools or a name that cannot be
        finally:
            self._restore()

    def _on_stop(self, number: int, task: asyncio.Task[Any]) -> None:
        """The first signal ends everything in order; the second at once.

        A private supervisor sees the end of this process and ends what it has started.
        """
        if self._stopped_by:
            self._restore()
            os._exit(BY_SIGNAL + number)
        self._stopped_by = number
        task.cancel()

    def _restore(self) -> None:
        self._screen.clear()
        if self._answers is not None:
            self._answers.restore()

    def _session(self) -> AsyncSession:
        from .. import AsyncSession

        options = self._options
        lasting = options.state is not None or options.endpoint is not None
        return AsyncSession(
            options.session or (f"run-{os.urandom(4).hex()}" if lasting else None),
            tools=self._tools,
            on_notify=self._on_notify,
            endpoint=None if options.endpoint is None else reachable(options.endpoint),
            state=options.state,
            isolation=options.isolation,
        )

    def _on_notify(self, notification: Notification) -> None:
        self._printer.notified(notification.number, notification.text)

    async def _in_session(self, session: AsyncSession) -> int:
        options = self._options
        pausable = options.pace is not Pace.BY_ITSELF
        make = session.create_pausable_cell if pausable else session.create_cell
        file = options.file
        name = "<stdin>" if file == STANDARD_INPUT else shown_name(file)
        cell = await make(self._source, inputs=options.inputs, name=name)
        self._printer.created(cell.id, cell.kind, session.name, session.isolation)
        try:
            return await self._to_its_end(cell)
        except BaseException:
            self._screen.live("ending the cell; another Ctrl-C ends it at once", Style.YELLOW)
            await self._terminate(cell)
            raise

    async def _to_its_end(self, cell: AsyncCell | AsyncPausableCell) -> int:
        """Follow the cell; one that nothing can wake is ended."""
        following = asyncio.ensure_future(self._follow(cell))
        attending = asyncio.ensure_future(self._attendant.until_stuck(cell))
        try:
            await asyncio.wait({following, attending}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                return following.result()
            attending.result()
        finally:
            await _ended(following, attending)
            self._screen.clear()
        raise CommandError(  # and for whatever is raised here, the cell is terminated
            "the cell is stuck: nothing that it waits for can ever happen; it was terminated. "
            "Look for an await on something that nobody sets"
        )

    async def _follow(self, cell: AsyncCell | AsyncPausableCell) -> int:
        from .. import AsyncPausableCell

        if isinstance(cell, AsyncPausableCell):
            return await self._follow_frontiers(cell)
        seconds = _OBSERVE_SECONDS_MIN
        while True:
            event = await cell.observe(yield_after=seconds)
            self._printer.event(event)
            if isinstance(event, (Completed, Terminated)):
                return self._status(event)
            longer = min(seconds * 2, _OBSERVE_SECONDS_MAX)
            seconds = _OBSERVE_SECONDS_MIN if event.output else longer

    async def _follow_frontiers(self, cell: AsyncPausableCell) -> int:
        event: Event = await cell.wait_to_pending()
        while isinstance(event, Pending):
            self._printer.event(event)
            if self._answers is not None:
                answer = await self._answer(self._answers, event)
                if answer is not Answer.RESUME:
                    return await self._give_up(cell, event.generation, answer)
            if isinstance(await cell.resume(event.generation, timeout=None), Resumed):
                self._printer.resumed(event.generation)
            self._attendant.resumed(event)
            event = await cell.wait_to_pending()
        self._printer.event(event)
        return self._status(event)

    async def _answer(self, answers: Answers, event: Pending) -> Answer:
        if answers.is_terminal and not self._screen.is_lively:
            self._screen.complain(f"generation {event.generation}: Enter resumes, q quits")
        self._attendant.asking(event)
        return await answers.next()

    async def _give_up(self, cell: AsyncPausableCell, generation: int, answer: Answer) -> int:
        by_person = self._answers is not None and self._answers.is_terminal
        why = "you quit" if answer is Answer.QUIT else "standard input has ended"
        await self._terminate(cell)
        self._screen.complain(f"terminated at generation {generation}: {why}")
        return 0 if by_person or answer is Answer.QUIT else FAILED

    def _status(self, event: Event) -> int:
        if isinstance(event, Completed):
            return 0 if event.reason == "ended" else FAILED
        self._screen.complain("the cell was terminated by somebody else")
        return FAILED

    async def _terminate(self, cell: AsyncCell | AsyncPausableCell) -> None:
        """End the cell and show what it had still to say; a supervisor that is gone ended it."""
        from .. import TidemarkError

        with suppress(TidemarkError, TimeoutError):
            async with asyncio.timeout(_END_SECONDS_MAX):
                event = await cell.terminate()
            with suppress(BrokenPipeError, OutputError):
                self._printer.event(event)


async def _ended(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what has not ended, and wait for it; errors of what was cancelled are dropped."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
