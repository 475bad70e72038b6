"""Where the tools of a session run: async ones in a task each, sync ones in a thread each.

This is one of the places that run foreign code: whatever it raises becomes the call's error.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import logging
import threading
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, TypeVar

from ..protocol import ids, values
from ..protocol.errors import ToolError
from ..protocol.host_answers import CallOffered, NoticeOffered
from ..protocol.host_requests import CallRef
from ..protocol.limits import CANCEL_GRACE_MS, TEXT_BYTES_MAX
from ..protocol.packed import InputKind
from ._held import Outcome
from ._tools import OfferedTool, WrongCall, bounded
from ._values import CurrentCall, Notification

_LOG: Final = logging.getLogger("tidemark")
_CURRENT: Final[contextvars.ContextVar[CurrentCall]] = contextvars.ContextVar("tidemark.call")

T = TypeVar("T")
Finish = Callable[[CallRef, int, Outcome], None]
OnNotify = Callable[[Notification], Any]


def current_call() -> CurrentCall:
    """The call that the running tool was called for; also in threads that it was run in.

    Raises:
        RuntimeError: no tool is running here.
    """
    try:
        return _CURRENT.get()
    except LookupError:
        raise RuntimeError("current_call() is only for tools, while a cell's call runs") from None


async def in_thread(function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """The result of a blocking function, run in a daemon thread of its own.

    When this is cancelled the thread is left to itself, and what it returns is dropped.
    """
    return await _in_thread(_AtExit.ABANDON, function, args, kwargs)


async def in_joined_thread(function: Callable[..., T], /, *args: Any) -> T:
    """As `in_thread`, but the interpreter waits for the thread before it exits."""
    return await _in_thread(_AtExit.JOIN, function, args, {})


class _AtExit(Enum):
    ABANDON = "abandon"
    JOIN = "join"


async def _in_thread(
    at_exit: _AtExit, function: Callable[..., T], args: Any, kwargs: dict[str, Any]
) -> T:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        elif isinstance(error, StopIteration):
            future.set_exception(RuntimeError("StopIteration"))  # a future cannot carry it
        else:
            future.set_exception(error)

    def work() -> None:
        result, raised = None, None
        try:
            result = context.run(function, *args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - foreign code; it is raised to the awaiter
            raised = error
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits
            loop.call_soon_threadsafe(settle, result, raised)

    name = getattr(function, "__name__", "function")
    daemon = at_exit is _AtExit.ABANDON
    threading.Thread(target=work, name=f"tidemark-{name}", daemon=daemon).start()
    return await future


class ToolBench:
    """The calls that run in this host now. All methods are for the loop's thread.

    Args:
        tools: the session's tools by name.
        finish: told how each call ended, once per call and attempt.
    """

    def __init__(self, tools: Mapping[str, OfferedTool], finish: Finish) -> None:
        self._tools = tools
        self._finish = finish
        self._tasks: dict[CallRef, asyncio.Task[Outcome]] = {}
        self._unfinished: dict[asyncio.Task[Outcome], CallOffered] = {}

    def start(self, offered: CallOffered) -> None:
        """Run a call; a former attempt of it is cancelled, and does not count any more."""
        self.cancel(offered.call)
        task = asyncio.get_running_loop().create_task(self._run(offered))
        self._tasks[offered.call] = task
        self._unfinished[task] = offered
        task.add_done_callback(lambda task: self._ended(offered.call, task))

    def cancel(self, call: CallRef) -> None:
        """Cancel a call: its coroutine gets CancelledError, a thread is left to itself."""
        task = self._tasks.get(call)
        if task is not None:
            task.cancel()
            loop = asyncio.get_running_loop()
            loop.call_later(CANCEL_GRACE_MS / 1_000, self._abandon, task)

    def _abandon(self, task: asyncio.Task[Outcome]) -> None:
        """A coroutine that does not end takes no place of those that wait to be called."""
        self._tell(task, failed("CancelledError: it went on, and was abandoned"))

    async def close(self) -> None:
        """Cancel every call and give them a moment to end."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_GRACE_MS / 1_000)

    def _ended(self, call: CallRef, task: asyncio.Task[Outcome]) -> None:
        if self._tasks.get(call) is task:
            del self._tasks[call]
        if task.cancelled():
            outcome = failed("CancelledError: nobody waits for this call any more")
        else:
            error = task.exception()
            outcome = task.result() if error is None else failed_by(error)
        self._tell(task, outcome)

    def _tell(self, task: asyncio.Task[Outcome], outcome: Outcome) -> None:
        offered = self._unfinished.pop(task, None)
        if offered is not None:  # else it has been told before
            self._finish(offered.call, offered.attempt, outcome)

    async def _run(self, offered: CallOffered) -> Outcome:
        call = offered.call
        key = ids.call_key(call.cell, call.number)
        _CURRENT.set(CurrentCall(key, call.cell, offered.session, offered.attempt))
        outcome = await self._outcome(offered)
        task = asyncio.current_task()
        if task is not None:
            # Now, and not in the loop's next turn: so it is there before the cell is resumed.
            self._tell(task, outcome)
        return outcome

    async def _outcome(self, offered: CallOffered) -> Outcome:
        tool = self._tools.get(offered.tool)
        if tool is None or tool.function is None:
            return failed(f"the host does not offer the tool {offered.tool!r} any more")
        try:
            args, kwargs = tool.bind(values.decode(offered.arguments, "arguments"))
            async with asyncio.timeout(tool.spec.timeout_ns / 1e9 or None) as limit:
                result = await _called(tool.function, args, kwargs)
        except asyncio.CancelledError:
            if _was_cancelled_by_us():
                raise
            return failed("CancelledError")  # of the tool's own making
        except TimeoutError as error:
            if limit.expired():
                allowed = tool.spec.timeout_ns / 1e9
                return failed(f"TimeoutError: {tool.spec.name} took longer than {allowed:g} s")
            return failed_by(error)
        except GeneratorExit:
            raise  # this was abandoned, and its loop is closed
        except BaseException as error:
            if _is_for_the_program(error):
                raise
            return failed_by(error)
        return result_of(tool, result)


def _is_for_the_program(error: BaseException) -> bool:
    """Whether this is Ctrl-C, which Python raises in the main thread only."""
    in_main = threading.current_thread() is threading.main_thread()
    return isinstance(error, KeyboardInterrupt) and in_main


def _was_cancelled_by_us() -> bool:
    """Whether a CancelledError of this task is one that somebody here asked for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _called(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    call_it = getattr(function, "__call__", None)  # noqa: B004 - an object may be async by it
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call_it):
        return await function(*args, **kwargs)
    result = await in_thread(function, *args, **kwargs)
    # Such as a lambda, or a decorator's wrapper, around an async function.
    return await result if inspect.isawaitable(result) else result


def result_of(tool: OfferedTool, result: Any) -> Outcome:
    """A tool's result, or the error of a result that cannot travel."""
    try:
        return Outcome(InputKind.RESULT, values.encode(result, "result"))
    except (values.NotPlainData, values.ValueTooLarge) as error:
        return failed(f"{tool.spec.name} returned what cannot be given to a cell: {error}")


def failed(message: str) -> Outcome:
    """An error with this text."""
    return Outcome(InputKind.ERROR, message=bounded(message, TEXT_BYTES_MAX))


def failed_by(error: BaseException) -> Outcome:
    """What a cell is told of an exception: the tool's own words, or the type and its text."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - foreign code
        text = "(its text could not be had)"
    if isinstance(error, (ToolError, WrongCall)):
        return failed(text)
    name = type(error).__name__
    return failed(f"{name}: {text}" if text else name)


class NoticeDesk:
    """Gives the host its notifications, one after the other. All methods are for the loop's thread.

    Args:
        on_notify: the host's callback, sync or async; None takes them without looking.
        handled: told when the callback is through with one.
    """

    def __init__(
        self,
        on_notify: OnNotify | None,
        handled: Callable[[str, int], None],
    ) -> None:
        self._on_notify = on_notify
        self._handled = handled
        self._queue: asyncio.Queue[NoticeOffered] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def put(self, notice: NoticeOffered) -> None:
        """Hand out this notification after those before it."""
        if self._on_notify is None:
            self._handled(notice.cell, notice.number)
            return
        self._queue.put_nowait(notice)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._serve(self._on_notify))

    def close(self) -> None:
        """Stop; what was not handed out will be offered to the next holder."""
        if self._task is not None:
            self._task.cancel()

    async def _serve(self, on_notify: OnNotify) -> None:
        while True:
            notice = await self._queue.get()
            notification = Notification(notice.cell, notice.number, notice.text)
            try:
                result = on_notify(notification)
                if inspect.isawaitable(result):
                    await result
            except GeneratorExit:
                raise  # this was abandoned, and its loop is closed
            except BaseException as error:
                cancelled = isinstance(error, asyncio.CancelledError) and _was_cancelled_by_us()
                if cancelled or _is_for_the_program(error):
                    raise
                # Foreign code: its failure is neither the cell's nor that of later notifications.
                _LOG.exception("on_notify failed on %r", notification)
            self._handled(notice.cell, notice.number)
