"""Tools: described by their functions, run in the host, in parallel; failures are ToolErrors."""

from __future__ import annotations

import asyncio
import math
import threading
from typing import Any

import pytest
import tidemark
from tidemark import Tool

from fakes.cells import calls, completed, pending, run_through, shown
from fakes.doors import Doors

CAUGHT = """
try:
    exit(await {call})
except ToolError as error:
    exit([error.message, error.tool, error.key, error.outcome_unknown])
"""


def add(first: int, second: int = 10) -> int:
    """Add two numbers."""
    return first + second


async def shout(words: list[str], *, mark: str = "!") -> dict[str, str]:
    """Say it louder."""
    await asyncio.sleep(0)
    return {word: word.upper() + mark for word in words}


def fail(how: str) -> None:
    """Fail."""
    if how == "own":
        raise tidemark.ToolError("in my own words")
    if how == "interrupt":
        raise SystemExit(3)
    if how == "generator":
        raise StopIteration(1)
    raise ValueError(f"cannot {how}")


async def fail_later() -> None:
    """Fail in a coroutine."""
    await asyncio.sleep(0)
    raise LookupError("nowhere")


def give(what: str) -> Any:
    """Return what cannot be given to a cell."""
    return {
        "nan": math.nan,
        "deep": {"a": [0, {"b": math.inf}]},
        "set": {1, 2},
        "key": {1: 2},
        "big": 2**70,
        "large": "x" * (4 * 2**20 + 1),
        "object": object(),
    }[what]


TOOLS = [add, shout, fail, fail_later, give]


@pytest.fixture
def host(open_session: Any) -> tidemark.Session:
    session: tidemark.Session = open_session(tools=TOOLS)
    return session


def told(session: tidemark.Session, call: str) -> Any:
    """What a cell that makes this one call exits with."""
    end = completed(session.create_cell(CAUGHT.format(call=call)))
    assert end.error is None, end.error
    return end.value


def test_sync_and_async_tools(host: tidemark.Session) -> None:
    assert told(host, "tools.add(first=1)") == 11
    assert told(host, "tools.add(first=1, second=-3)") == -2
    assert told(host, "tools['shout'](words=['a', 'b'], mark='?')") == {"a": "A?", "b": "B?"}


def test_tools_are_described_by_their_functions(host: tidemark.Session) -> None:
    cell = host.create_cell("exit([list(tool) for tool in ALL_TOOLS])")
    listed = completed(cell).value
    assert listed[0] == ["add", "Add two numbers.", "(first: int, second: int = 10) -> int"]
    assert listed[1][2] == "(words: list[str], *, mark: str = '!') -> dict[str, str]"
    assert [name for name, _, _ in listed] == ["add", "shout", "fail", "fail_later", "give"]


@pytest.mark.parametrize(
    ("call", "tool", "message"),
    [
        ("tools.fail(how='go on')", "fail", "ValueError: cannot go on"),
        ("tools.fail(how='own')", "fail", "in my own words"),
        ("tools.fail(how='interrupt')", "fail", "SystemExit: 3"),
        ("tools.fail(how='generator')", "fail", "StopIteration"),
        ("tools.fail_later()", "fail_later", "LookupError: nowhere"),
    ],
)
def test_a_failure_arrives_as_a_tool_error(
    host: tidemark.Session, call: str, tool: str, message: str
) -> None:
    cell = host.create_cell(CAUGHT.format(call=call))
    said, name, key, unknown = completed(cell).value
    assert message in said
    assert (name, key, unknown) == (tool, f"{cell.id}/tool-1", False)


@pytest.mark.parametrize(
    "call",
    [
        "tools.add()",
        "tools.add(first=1, third=3)",
        "tools.add(first='one')",
        "tools.add(first=1.5)",
        "tools.shout(words='not a list of words')",
        "tools.shout(words=[1])",
    ],
)
def test_a_wrong_call_is_a_tool_error_that_shows_the_signature(
    host: tidemark.Session, call: str
) -> None:
    message = told(host, call)[0]
    assert "(first: int, second: int = 10)" in message or "(words: list[str]" in message


def test_positional_arguments_are_refused_at_the_call(host: tidemark.Session) -> None:
    end = completed(host.create_cell("text('x')\nawait tools.add(1, 2)"))
    assert end.error is not None
    assert "ToolError" in end.error
    assert "(first: int, second: int = 10)" in end.error
    assert "line 2" in end.error


def test_a_tool_that_does_not_exist(host: tidemark.Session) -> None:
    for source in ("tools.subtract()", "tools['subtract']"):
        end = completed(host.create_cell(source))
        assert end.error is not None
        assert "subtract" in end.error
        assert "add" in end.error


@pytest.mark.parametrize("what", ["nan", "deep", "set", "key", "big", "large", "object"])
def test_a_result_that_cannot_travel_is_a_tool_error(host: tidemark.Session, what: str) -> None:
    message = told(host, f"tools.give(what={what!r})")[0]
    assert message.startswith("give returned what cannot be given to a cell")
    assert {"deep": ".b", "key": "str", "large": "4,194,304"}.get(what, "") in message


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("{1, 2}", "arguments.words"),
        ("[1, {'x': [object()]}]", "arguments.words[1].x[0]"),
        ("float('nan')", "arguments.words"),
        ("{1: 2}", "arguments.words"),
        ("2**64", "arguments.words"),
        ("'\\ud800'", "arguments.words"),
    ],
)
def test_arguments_that_are_not_plain_raise_at_the_call_with_their_path(
    host: tidemark.Session, argument: str, path: str
) -> None:
    source = f"try:\n    tools.shout(words={argument})\nexcept TypeError as error:\n    text(error)"
    end = completed(host.create_cell(source))
    assert end.error is None
    assert path in shown(end)


def test_an_argument_nested_a_hundred_deep(host: tidemark.Session) -> None:
    end = completed(
        host.create_cell(
            "deep = []\nfor _ in range(99): deep = [deep]\nawait tools.shout(words=deep)"
        )
    )
    assert end.reason == "raised"
    assert end.error is not None
    assert "TypeError: arguments.words[0][0]" in end.error
    assert "64" in end.error
    assert "line 3" in end.error


def test_calls_run_in_parallel(open_session: Any) -> None:
    meeting = threading.Barrier(4, timeout=20)
    met = 0

    def meet() -> int:
        return meeting.wait()

    async def meet_async() -> int:
        nonlocal met
        met += 1
        while met < 4:
            await asyncio.sleep(0.001)
        return met

    session = open_session(tools=[meet, meet_async])
    cell = session.create_cell("""
exit(sorted(await asyncio.gather(*(tools.meet() for _ in range(4)))))
""")
    assert completed(cell).value == [0, 1, 2, 3]
    cell = session.create_cell("await asyncio.gather(*(tools.meet_async() for _ in range(4)))")
    assert completed(cell).error is None


def test_a_tool_knows_which_call_it_runs_for(open_session: Any) -> None:
    seen: list[tidemark.CurrentCall] = []

    def look() -> str:
        seen.append(tidemark.current_call())
        return seen[-1].key

    async def look_async() -> str:
        await asyncio.sleep(0)
        seen.append(await asyncio.to_thread(tidemark.current_call))
        return seen[-1].key

    session = open_session(tools=[look, look_async])
    cell = session.create_cell("exit([await tools.look(), await tools.look_async()])")
    assert completed(cell).value == [f"{cell.id}/tool-1", f"{cell.id}/tool-2"]
    assert {(call.cell_id, call.session, call.attempt) for call in seen} == {
        (cell.id, session.name, 1)
    }
    with pytest.raises(RuntimeError, match="only for tools"):
        tidemark.current_call()


def test_freeform_tools_take_one_string(open_session: Any) -> None:
    session = open_session(tools=[Tool(str.upper, name="upper", kind="freeform")])
    assert told(session, "tools.upper('some\\nlines')") == "SOME\nLINES"
    for call in (
        "tools.upper()",
        "tools.upper(text='x')",
        "tools.upper(1)",
        "tools.upper('a', 'b')",
    ):
        end = completed(session.create_cell(call))
        assert end.error is not None
        assert "exactly one string" in end.error


def test_names_that_are_no_identifiers(open_session: Any) -> None:
    tools = [Tool(add, name="math/add-up"), Tool(add, name="größe"), Tool(add, name="2nd try")]
    session = open_session(tools=tools)
    cell = session.create_pausable_cell("""
exit([
    await tools.math_add_up(first=1),
    await tools["math/add-up"](first=2),
    await tools.größe(first=3),
    await tools._nd_try(first=4),
])
""")
    assert pending(cell).tool_calls[0].tool == "math/add-up"
    assert run_through(cell).value == [11, 12, 13, 14]


def test_colliding_names_are_refused_when_the_session_is_opened() -> None:
    with pytest.raises(ValueError, match="'a-b' and 'a_b'"):
        tidemark.Session(tools=[Tool(add, name="a-b"), Tool(add, name="a_b")])
    with pytest.raises(ValueError, match="'add' and 'add'"):
        tidemark.Session(tools=[add, add])


def test_two_hundred_calls_at_once(open_session: Any) -> None:
    running = 0
    most = 0
    lock = threading.Lock()

    async def count(n: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        await asyncio.sleep(0.002)
        with lock:
            running -= 1
        return n

    session = open_session(tools=[count])
    cell = session.create_cell(
        "exit(await asyncio.gather(*(tools.count(n=n) for n in range(200))))"
    )
    assert completed(cell).value == list(range(200))
    assert 1 < most <= 64
    paused = session.create_pausable_cell(
        "exit(await asyncio.gather(*(tools.count(n=n) for n in range(200))))"
    )
    event = pending(paused)
    assert calls(event) == [f"tool-{n}" for n in range(1, 201)]
    assert run_through(paused).value == list(range(200))


def test_a_tool_may_use_the_session_that_it_belongs_to(open_session: Any) -> None:
    sessions: list[tidemark.Session] = []

    def nested(source: str) -> Any:
        return completed(sessions[0].create_cell(source)).value

    sessions.append(open_session(tools=[nested]))
    cell = sessions[0].create_cell("exit(await tools.nested(source='exit(6 * 7)'))")
    assert completed(cell).value == 42


def test_a_tool_has_its_own_time_limit(open_session: Any, doors: Doors) -> None:
    session = open_session(tools=[Tool(doors.knock, timeout=0.05)])
    assert "took longer than 0.05 s" in told(session, "tools.knock(door='x')")[0]


def test_arguments_and_results_of_nearly_four_mebibytes(open_session: Any) -> None:
    def echo(text: str) -> str:
        return text

    session = open_session(tools=[echo])
    cell = session.create_cell(
        "big = 'x' * (4 * 2**20 - 100)\nexit(len(await tools.echo(text=big)))"
    )
    assert completed(cell).value == 4 * 2**20 - 100
    over = completed(session.create_cell("await tools.echo(text='x' * (4 * 2**20))"))
    assert over.reason == "limit"
    assert over.error is not None
    assert "4,194,304" in over.error
