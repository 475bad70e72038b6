"""Tools as a cell sees them, and its calls that are under way."""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..protocol import ids, limits, values
from ..protocol.errors import ToolError
from ..protocol.packed import InputKind, PackedInput, ToolKind, ToolSpec
from ..protocol.worker_messages import Abandoned, Called
from .link import Link
from .own_work import OwnWork
from .plain import bounded, end_by_limit

# In a cell it is one of the names that are just there, and its tracebacks say so.
ToolError.__module__ = "builtins"


class ToolInfo(NamedTuple):
    """One entry of `ALL_TOOLS`."""

    name: str
    description: str
    signature: str


class Open(NamedTuple):
    """A call that the cell waits for."""

    future: Future[Any]
    tool: str
    size: int


class Calls:
    """The cell's tool calls, from `Called` until their input is handed over."""

    def __init__(
        self,
        link: Link,
        loop: AbstractEventLoop,
        own: OwnWork,
        cell: str,
        flush: Callable[[], None],
    ) -> None:
        """`flush` puts out text that was kept back, so that the order of items is true."""
        self._link = link
        self._loop = loop
        self._own = own
        self._cell = cell
        self._flush = flush
        self._main = threading.get_ident()
        self._last = 0
        self._is_unsure = False
        self._open: dict[int, Open] = {}
        self._open_bytes = 0

    def call(self, tool: str, arguments: object, path: str) -> Future[Any]:
        """Say the call; the future gets the result, or a `ToolError`.

        Raises:
            TypeError: arguments that are not plain data, named by path.
            RuntimeError: called from another thread.
        """
        if threading.get_ident() != self._main:
            self._own.flag("a tool call from another thread")
            raise RuntimeError(
                f"tool {tool!r} was called from a thread; call tools from the cell's own code, or"
                " hand the call over with asyncio.run_coroutine_threadsafe"
            )
        if self._link.is_copy:
            raise RuntimeError("a process that the cell forked cannot call tools")
        packed = bounded(self._link, arguments, path, "argument_bytes")
        self._count(len(packed))
        self._flush()
        number = self._next_number()
        future: Future[Any] = self._loop.create_future()
        self._open[number] = Open(future, tool, len(packed))
        line = self._own.step_line()
        self._is_unsure = True  # until it is said: what a signal calls can raise anywhere in there
        self._link.say(Called(number, tool, packed, values.digest(packed), line))
        self._last = number
        self._is_unsure = False
        future.add_done_callback(lambda done: self._on_done(number, done))
        return future

    def _next_number(self) -> int:
        """One more than that of the last call that was said; one that was not is nobody's."""
        if self._is_unsure:
            self._last = self._link.last_call()
            self._is_unsure = False
            self._close(self._last + 1)
        return self._last + 1

    def settle(self, taken: PackedInput) -> None:
        """Hand the outcome of a call to whoever awaits it."""
        call = self._close(taken.call)
        if call is None or call.future.done():
            return
        if taken.kind is InputKind.ERROR:
            call.future.set_exception(
                self._error(taken.message, call.tool, taken.call, unknown=taken.unknown)
            )
            return
        try:
            result = values.decode(taken.content, "result")
        except values.NotPlainData as error:
            message = f"tool {call.tool!r} gave what is not plain data: {error}"
            call.future.set_exception(self._error(message, call.tool, taken.call, unknown=False))
        else:
            call.future.set_result(result)

    def _error(self, message: str, tool: str, number: int, *, unknown: bool) -> ToolError:
        key = ids.call_key(self._cell, number)
        return ToolError(message, tool=tool, key=key, outcome_unknown=unknown)

    def _on_done(self, number: int, done: Future[Any]) -> None:
        if done.cancelled() and self._close(number) is not None:
            self._link.say(Abandoned(number))

    def _close(self, number: int) -> Open | None:
        call = self._open.pop(number, None)
        if call is not None:
            self._open_bytes -= call.size
        return call

    def _count(self, size: int) -> None:
        self._open_bytes += size
        bounds = (
            ("calls_open", limits.CALLS_OPEN_MAX, len(self._open) + 1),
            ("calls_open_bytes", limits.CALLS_OPEN_BYTES_MAX, self._open_bytes),
        )
        for limit, value, used in bounds:
            if used > value:
                end_by_limit(self._link, limit, value, used)


class ToolFunction:
    """One tool; calling it gives an awaitable."""

    def __init__(self, calls: Calls, spec: ToolSpec) -> None:
        self._calls = calls
        self._spec = spec
        self.__name__ = spec.exposed
        self.__doc__ = spec.description

    def __call__(self, *positional: object, **named: object) -> Future[Any]:
        spec = self._spec
        shown = f"{spec.exposed}{spec.signature}"
        if spec.kind is ToolKind.FREEFORM:
            if len(positional) != 1 or named or not isinstance(positional[0], str):
                raise ToolError(f"takes exactly one string: {shown}", tool=spec.name)
            return self._calls.call(spec.name, positional[0], "argument")
        if positional:
            raise ToolError(f"takes named arguments only: {shown}", tool=spec.name)
        return self._calls.call(spec.name, named, "arguments")

    def __repr__(self) -> str:
        return f"<tool {self._spec.name}{self._spec.signature}>"


class Tools:
    """`tools` in a cell: `tools.NAME(**arguments)`, or `tools["any name"]`."""

    def __init__(self, calls: Calls, specs: Iterable[ToolSpec]) -> None:
        functions = [(spec, ToolFunction(calls, spec)) for spec in specs]
        self.__by_name = {spec.name: function for spec, function in functions}
        self.__by_attribute = {spec.exposed: function for spec, function in functions}

    def __getattr__(self, name: str) -> ToolFunction:
        if name.startswith("__") or name.startswith("_Tools__"):
            raise AttributeError(name)  # asked by copy and the like, also before __init__
        function = self.__by_attribute.get(name)
        if function is None:
            raise AttributeError(
                f"there is no tool {name!r}; there is {self.__listed()}", name=name
            )
        return function

    def __getitem__(self, name: str) -> ToolFunction:
        function = self.__by_name.get(name) or self.__by_attribute.get(name)
        if function is None:
            raise KeyError(f"there is no tool {name!r}; there is {self.__listed()}")
        return function

    def __dir__(self) -> list[str]:
        return sorted(self.__by_attribute)

    def __repr__(self) -> str:
        return f"<tools: {self.__listed()}>"

    def __listed(self) -> str:
        return ", ".join(sorted(self.__by_name)) or "none"


def tool_list(specs: Iterable[ToolSpec]) -> list[ToolInfo]:
    """`ALL_TOOLS`."""
    return [ToolInfo(spec.name, spec.description, spec.signature) for spec in specs]
