"""Tools: what they are known by, how they are called, and what becomes of what they do."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal, Optional

import pytest
from tidemark.client._fit import Misfit, fit
from tidemark.client._held import Outcome
from tidemark.client._loop_thread import LoopThread
from tidemark.client._running import ToolBench, current_call, in_thread
from tidemark.client._tools import Tool, WrongCall, bounded, exposed_name, offered_tools
from tidemark.protocol import values
from tidemark.protocol.errors import LimitExceededError, ToolError
from tidemark.protocol.host_answers import CallOffered
from tidemark.protocol.host_requests import CallRef
from tidemark.protocol.packed import InputKind, OnUnknown


def search(query: str, limit: int = 10, *, exact: bool = False) -> list[str]:
    """Find lines.

    All of them.
    """
    return [query] * limit if not exact else []


# -- what a tool is known by ----------------------------------------------------------------------


def test_a_function_is_described_by_its_name_docstring_and_annotations() -> None:
    spec = offered_tools([search])["search"].spec
    assert spec.description == "Find lines.\n\nAll of them."
    assert spec.signature == "(query: str, limit: int = 10, *, exact: bool = False) -> list[str]"
    assert (spec.exposed, spec.on_unknown, spec.timeout_ns) == ("search", OnUnknown.ASK, 0)


def test_annotations_that_are_text_are_shown_as_they_were_written() -> None:
    def tool(a: NotThere[int], b: Optional[int] = None, c: Any = object()) -> None: ...  # type: ignore[name-defined]  # noqa: B008, F821, UP045

    spec = offered_tools([tool])["tool"].spec
    assert spec.signature == "(a: NotThere[int], b: Optional[int] = None, c: Any = ...) -> None"


@pytest.mark.parametrize(
    ("name", "exposed"),
    [("a-b", "a_b"), ("2x", "_x"), ("x2", "x2"), ("größe", "größe"), ("a b.c", "a_b_c")],
)
def test_names_are_exposed_as_identifiers(name: str, exposed: str) -> None:
    assert exposed_name(name) == exposed


def test_a_collision_names_both_tools() -> None:
    with pytest.raises(ValueError, match=r"'a-b' and 'a_b'.*tools\.a_b"):
        offered_tools([Tool(search, name="a-b"), Tool(search, name="a_b")])


def test_idempotent_means_retry() -> None:
    assert offered_tools([Tool(search, idempotent=True)])["search"].spec.on_unknown is (
        OnUnknown.RETRY
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: Tool(search, kind="other"),
        lambda: Tool(search, on_unknown="never"),
        lambda: Tool(search, timeout=0),
        lambda: Tool(external=True),
        lambda: offered_tools([lambda: 1]),
        lambda: offered_tools([Tool(search, name="a\nb")]),
        lambda: offered_tools([divmod]),
    ],
)
def test_tools_that_cannot_be_offered_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        make()


def test_a_tool_needs_a_function() -> None:
    with pytest.raises(TypeError):
        offered_tools([3])  # type: ignore[list-item]


def test_a_tools_description_is_text() -> None:
    with pytest.raises(TypeError, match="description must be str or None, not int"):
        Tool(search, description=5)  # type: ignore[arg-type]


def test_too_many_tools_are_refused() -> None:
    with pytest.raises(LimitExceededError):
        offered_tools(Tool(search, name=f"t{index}") for index in range(1_025))


def test_a_partial_is_known_by_its_function() -> None:
    assert "search" in offered_tools([functools.partial(search, limit=1)])


# -- arguments ------------------------------------------------------------------------------------


def bind(function: Callable[..., Any], arguments: Any) -> Any:
    args, kwargs = offered_tools([function])[function.__name__].bind(arguments)
    return function(*args, **kwargs)


def test_arguments_are_checked_against_the_signature_first() -> None:
    assert bind(search, {"query": "a", "limit": 2}) == ["a", "a"]
    for wrong in ({}, {"query": "a", "other": 1}, {"query": 1}, {"query": "a", "limit": "2"}, []):
        with pytest.raises(WrongCall, match=r"search\(query: str, limit: int = 10"):
            bind(search, wrong)


def test_a_freeform_tool_takes_one_string() -> None:
    tool = offered_tools([Tool(search, kind="freeform")])["search"]
    assert tool.spec.signature == "(text: str)"
    assert tool.bind("hello") == (("hello",), {})
    with pytest.raises(WrongCall):
        tool.bind({"query": "a"})


@pytest.mark.parametrize(
    ("value", "annotation", "fitted"),
    [
        (1, float, 1),
        (True, int, True),
        (None, None, None),
        (None, int | None, None),
        ([1, 2], list[int], [1, 2]),
        ([1, "a"], tuple[int, str], (1, "a")),
        ([1, 2], tuple[int, ...], (1, 2)),
        ({"a": [1]}, dict[str, list[int]], {"a": [1]}),
        ("x", Literal["x", 1], "x"),
        (object, Any, object),
        (3, "a class that is not there", 3),
    ],
)
def test_what_fits(value: Any, annotation: Any, fitted: Any) -> None:
    assert fit(value, annotation, "v") == fitted


@pytest.mark.parametrize(
    ("value", "annotation", "path"),
    [
        ("1", int, "v"),
        (1, str, "v"),
        (1.5, int, "v"),
        (1, bool, "v"),
        ([1, "a"], list[int], r"v\[1\]"),
        ([1], tuple[int, int], "v"),
        ({"a": {"b": "x"}}, dict[str, dict[str, int]], r"v\.a\.b"),
        ("z", Literal["x"], "v"),
        ("z", int | None, "v"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(value: Any, annotation: Any, path: str) -> None:
    with pytest.raises(Misfit, match=rf"^{path} must be "):
        fit(value, annotation, "v")


def test_long_texts_are_cut_in_the_middle() -> None:
    text = bounded("ä" * 10_000 + "end", 1_000)
    assert len(text.encode()) <= 1_000
    assert text.startswith("ä")
    assert text.endswith("end")
    assert bounded("\ud800", 10) == "?"


# -- running --------------------------------------------------------------------------------------


class Bench:
    """A bench whose calls can be waited for."""

    def __init__(self, *tools: Any) -> None:
        self.ended: asyncio.Queue[tuple[CallRef, int, Outcome]] = asyncio.Queue()
        self.bench = ToolBench(offered_tools(tools), self._finish)
        self._numbers: Iterator[int] = iter(range(1, 100))

    def _finish(self, call: CallRef, attempt: int, outcome: Outcome) -> None:
        self.ended.put_nowait((call, attempt, outcome))

    def start(self, tool: str, **arguments: Any) -> CallRef:
        call = CallRef("c00000000000000-00000000", next(self._numbers))
        self.bench.start(CallOffered(call, "s", tool, values.encode(arguments), 1))
        return call

    async def run(self, tool: str, **arguments: Any) -> Any:
        self.start(tool, **arguments)
        _, _, outcome = await asyncio.wait_for(self.ended.get(), 10)
        if outcome.kind is InputKind.RESULT:
            return values.decode(outcome.content)
        return outcome.message


def run(test: Callable[[], Any]) -> None:
    asyncio.run(test())


def test_sync_tools_run_in_threads_and_async_ones_in_tasks() -> None:
    def where() -> str:
        return threading.current_thread().name

    async def here() -> str:
        return threading.current_thread().name

    async def test() -> None:
        bench = Bench(where, here)
        assert await bench.run("where") == "tidemark-where"
        assert await bench.run("here") == threading.main_thread().name

    run(test)


def test_a_tool_knows_its_call_also_in_a_thread() -> None:
    def call() -> list[Any]:
        current = current_call()
        return [current.key, current.cell_id, current.session, current.attempt]

    async def test() -> None:
        cell = "c00000000000000-00000000"
        assert await Bench(call).run("call") == [f"{cell}/tool-1", cell, "s", 1]
        with pytest.raises(RuntimeError):
            current_call()

    run(test)


def test_failures_become_messages() -> None:
    def raises() -> None:
        raise KeyError("x")

    def chosen() -> None:
        raise ToolError("my words")

    def nan() -> float:
        return float("nan")

    def leaves() -> None:
        raise SystemExit(3)

    async def own_cancel() -> None:
        raise asyncio.CancelledError

    async def slow() -> None:
        await asyncio.Event().wait()

    async def test() -> None:
        bench = Bench(raises, chosen, nan, leaves, own_cancel, Tool(slow, timeout=0.01))
        assert await bench.run("raises") == "KeyError: 'x'"
        assert await bench.run("chosen") == "my words"
        assert "result: a float must be finite" in await bench.run("nan")
        assert await bench.run("leaves") == "SystemExit: 3"
        assert await bench.run("own_cancel") == "CancelledError"
        assert await bench.run("slow") == "TimeoutError: slow took longer than 0.01 s"
        assert "not offer" in await bench.run("other")
        assert await bench.run("raises", x=1) == (
            "got an unexpected keyword argument 'x'; the tool is raises() -> None"
        )

    run(test)


def test_no_tool_ends_the_thread_of_a_blocking_session() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    async def interrupt_here() -> None:
        raise KeyboardInterrupt

    async def test() -> list[str]:
        bench = Bench(interrupt, interrupt_here)
        return [await bench.run("interrupt"), await bench.run("interrupt_here")]

    thread = LoopThread()
    assert thread.run(test()) == ["KeyboardInterrupt"] * 2
    thread.stop()


def test_a_cancelled_call_reaches_its_coroutine_and_ends_once() -> None:
    seen: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def test() -> None:
        bench = Bench(wait)
        call = bench.start("wait")
        await asyncio.sleep(0)
        bench.bench.cancel(call)
        ended, _, outcome = await asyncio.wait_for(bench.ended.get(), 10)
        assert (ended, outcome.kind, seen) == (call, InputKind.ERROR, ["cancelled"])
        assert bench.ended.empty()

    run(test)


def test_a_coroutine_that_does_not_end_is_abandoned() -> None:
    async def test() -> None:
        begun, leave, left = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def stubborn() -> str:
            begun.set()
            while not leave.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await leave.wait()
            left.set()
            return "late"

        here = Bench(stubborn)
        call = here.start("stubborn")
        await asyncio.wait_for(begun.wait(), 10)
        here.bench.cancel(call)
        ended = await asyncio.wait_for(here.ended.get(), 10)
        assert (ended[0], ended[2].kind) == (call, InputKind.ERROR)
        leave.set()
        await asyncio.wait_for(left.wait(), 10)
        await here.bench.close()
        assert here.ended.empty(), "a call ends once"

    run(test)


def test_a_call_that_is_cancelled_before_it_began_is_finished_too() -> None:
    async def never() -> None:
        raise AssertionError("it must not run")

    async def test() -> None:
        bench = Bench(never)
        bench.bench.cancel(bench.start("never"))
        _, _, outcome = await asyncio.wait_for(bench.ended.get(), 10)
        assert outcome.message.startswith("CancelledError")

    run(test)


def test_the_result_of_a_thread_that_was_given_up_is_dropped() -> None:
    gate = threading.Event()

    def wait() -> str:
        gate.wait(10)
        return "late"

    async def test() -> None:
        bench = Bench(wait)
        call = bench.start("wait")
        await asyncio.sleep(0)
        bench.bench.cancel(call)
        _, _, outcome = await asyncio.wait_for(bench.ended.get(), 10)
        assert outcome.kind is InputKind.ERROR
        gate.set()
        assert await in_thread(lambda: "another") == "another"
        assert bench.ended.empty()

    run(test)


def test_an_object_and_a_wrapper_may_be_async() -> None:
    class Asker:
        async def __call__(self, x: int) -> int:
            return x + 1

    async def inner(x: int) -> int:
        return x + 2

    async def test() -> None:
        bench = Bench(Tool(Asker(), name="asker"), Tool(lambda x: inner(x), name="wrapper"))
        assert await bench.run("asker", x=1) == 2
        assert await bench.run("wrapper", x=1) == 3

    run(test)
