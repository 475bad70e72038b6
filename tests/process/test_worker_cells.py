"""What a cell's code sees, in a real worker: names, tools, output, stored values."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tidemark.protocol import limits, values
from tidemark.protocol.limits import FLUSH_ITEMS, Limits
from tidemark.protocol.packed import OutputKind, Reason
from tidemark.protocol.worker_messages import (
    Abandoned,
    Called,
    Emitted,
    Fetch,
    Fetched,
    Finished,
    Flagged,
    Notified,
    Waited,
    Wrote,
    YieldAsked,
)

from fakes.supervisor_end import CellEnd, ZygoteEnd, failure, result


@pytest.fixture(scope="module")
def zygote() -> Iterator[ZygoteEnd]:
    with tempfile.TemporaryDirectory(prefix="tm") as directory:
        end = ZygoteEnd(Path(directory))
        yield end
        end.close()


@pytest.fixture
def cell(zygote: ZygoteEnd) -> CellEnd:
    return zygote.fork()


def run(cell: CellEnd, source: str, **options: Any) -> tuple[list[str], Finished]:
    cell.start(source, **options)
    return cell.finish()


def test_output_and_value(cell: CellEnd) -> None:
    source = """
print("hello", word, 5, None)
text("a", {"b": [1, True]}, 2.5)
text()
exit({"n": [1, 2]})
print("never")
"""
    output, finished = run(cell, source, inputs={"word": "tide"})
    assert output == ["hello tide 5 null\n", 'a {"b": [1, true]} 2.5', ""]
    assert finished.reason is Reason.ENDED
    assert finished.value is not None
    assert values.decode(finished.value) == {"n": [1, 2]}


def test_everything_between_two_waits_travels_in_one_message(cell: CellEnd) -> None:
    count = FLUSH_ITEMS - 2  # with the call one less than a message is sent at
    cell.start(f"for n in range({count}): print(n)\nawait tools.search(q=1)\nprint('x')")
    before, _ = cell.until(Waited)
    assert len(before) == count + 1
    assert cell.said == 1
    cell.deliver(result(1, 1))
    assert cell.finish()[0] == ["x\n"]
    assert cell.said == 2


def test_lines_that_are_not_ended_are_kept_back(cell: CellEnd) -> None:
    source = """
import sys
print("a", end="")
print("b")
print("c", end="")
text("d")
print("e\\nf", end="")
sys.stdout.write("g\\n")
sys.stderr.write("h")
print("i", end="", flush=True)
sys.stdout.buffer.write("ü\\n".encode())
print("j", "k", sep="-", end="!")
"""
    output, _ = run(cell, source)
    assert output == ["ab\n", "c", "d", "e\n", "fg\n", "hi", "ü\n", "j-k!"]


def test_print_to_another_file_is_the_real_one(cell: CellEnd) -> None:
    source = 'import io\nf = io.StringIO()\nprint({"a": 1}, file=f)\ntext(f.getvalue())'
    assert run(cell, source)[0] == ["{'a': 1}\n"]


def test_tools_in_every_form(cell: CellEnd) -> None:
    source = """
print(await tools.search(query="x", n=[1, (2,)]))
print(await tools["fetch-page"](url="u"))
print(await tools.fetch_page(url="v"))
print(await tools.shell("ls"))
print(sorted(dir(tools)), [name for name, description, signature in ALL_TOOLS])
"""
    cell.start(source)
    calls: list[Called] = []
    output: list[str] = []
    for number, answer in enumerate(["r", {"a": None}, b"bytes", 2.5], 1):
        before, _ = cell.until(Waited)
        calls += [item for item in before if isinstance(item, Called)]
        output += [item.content for item in before if isinstance(item, Emitted)]
        cell.deliver(result(number, number, answer))
    output += cell.finish()[0]
    assert [(call.number, call.tool, values.decode(call.arguments)) for call in calls] == [
        (1, "search", {"query": "x", "n": [1, [2]]}),
        (2, "fetch-page", {"url": "u"}),
        (3, "fetch-page", {"url": "v"}),
        (4, "shell", "ls"),
    ]
    assert output == [
        "r\n",
        '{"a": null}\n',
        '"Ynl0ZXM="\n',
        "2.5\n",
        '["fetch_page", "search", "shell"] ["search", "fetch-page", "shell"]\n',
    ]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("tools.search(filters=[1, 2, {3}])", "TypeError: arguments.filters[2]: set is not plain"),
        ("tools.search(n=float('nan'))", "TypeError: arguments.n: a float must be finite"),
        ("tools.search(n=2**63)", "TypeError: arguments.n: an int must fit in 64 bits"),
        ("tools.search('x')", "ToolError: takes named arguments only: search(...)"),
        ("tools.shell(x='ls')", "ToolError: takes exactly one string: shell(...)"),
        ("tools.nothing()", "AttributeError: there is no tool 'nothing'; there is fetch-page,"),
        ("tools['no thing']", "KeyError: \"there is no tool 'no thing'; there is fetch-page,"),
        ("store(5, 1)", "TypeError: key: a key must be str, not int"),
        ("store('k', {'a': object()})", "TypeError: value.a: object is not plain data"),
        ("store('k' * 1025, 1)", "ValueError: key: 1,025 bytes, at most 1,024"),
        ("image('https://example.org/x.png')", "ValueError: image() takes a data URI"),
        ("exit(object())", "TypeError: value: object is not plain data"),
    ],
)
def test_wrong_use_raises_at_the_call(cell: CellEnd, expression: str, message: str) -> None:
    _, finished = run(cell, f"x = 1\n{expression}\n")
    assert finished.reason is Reason.RAISED
    assert finished.error is not None
    lines = finished.error.splitlines()
    assert lines[1:3] == ['  File "cell.py", line 2, in <module>', f"    {expression}"]
    assert lines[-1].startswith(message), lines[-1]
    assert "tidemark" not in finished.error


def test_a_failed_tool_raises_in_the_cell(cell: CellEnd) -> None:
    source = """
try:
    await tools.search(query="x")
except ToolError as error:
    print(error, error.message, error.tool, error.key, error.outcome_unknown)
await tools.search(query="y")
"""
    cell.start(source)
    cell.until(Waited)
    cell.deliver(failure(1, 1, "no such corpus", unknown=True), failure(2, 2, "again"))
    output, finished = cell.finish()
    assert output == [f"no such corpus no such corpus search {cell.cell}/tool-1 true\n"]
    assert finished.error is not None
    assert finished.error.splitlines()[-1].endswith("ToolError: again")


def test_a_result_that_is_not_plain_data_is_an_error_of_the_tool(cell: CellEnd) -> None:
    cell.start("await tools.search()")
    cell.until(Waited)
    cell.deliver(replace(result(1, 1), content=b"\xc1"))
    _, finished = cell.finish()
    assert finished.error is not None
    assert "gave what is not plain data" in finished.error


def test_a_cancelled_call_is_abandoned(cell: CellEnd) -> None:
    source = """
task = asyncio.ensure_future(tools.search())
other = tools.search()
task.cancel()
print(await other)
"""
    cell.start(source)
    before, _ = cell.until(Waited)
    assert [item.number for item in before if isinstance(item, Abandoned)] == [1]
    cell.deliver(result(1, 1, "late"), result(2, 2, "fine"))
    assert cell.finish()[0] == ["fine\n"]


def test_a_call_that_nobody_awaits_is_left_to_the_supervisor(cell: CellEnd) -> None:
    cell.start("tools.search()\nprint('done')")
    before, finished = cell.until(Finished)
    assert [type(item) for item in before] == [Called, Emitted]
    assert finished.reason is Reason.ENDED
    cell.bye()


def test_images(cell: CellEnd) -> None:
    source = r"""
class Chart:
    def savefig(self, file, format):
        file.write(b"\x89PNG\r\n\x1a\nsaved")
class Shown:
    def _repr_png_(self):
        return b"\x89PNG\r\n\x1a\nshown"
image(b"GIF89a", detail="high")
image("data:image/png;base64,AAAA")
image(Chart())
image(Shown())
"""
    cell.start(source)
    before, _ = cell.until(Finished)
    cell.bye()
    images = [item for item in before if isinstance(item, Emitted)]
    assert {item.kind for item in images} == {OutputKind.IMAGE}
    assert [item.detail for item in images] == ["high", None, None, None]
    assert images[1].content == "data:image/png;base64,AAAA"


def test_stored_values(cell: CellEnd) -> None:
    source = """
print(load("a"), load("a"), load("none", "default"))
store("a", [1]); store("b", {"x": b"y"}); delete("c"); delete("c")
got = load("a"); got.append(2)
print(load("a"), load("c", "gone"), keys())
"""
    cell.start(source)
    for key, content, keys in [
        ("a", values.encode("old"), None),
        ("none", None, None),
        (None, None, ("a", "c", "z")),
    ]:
        fetch = cell.receive(Fetch)
        assert fetch.key == key
        cell.send(Fetched(1, fetch.number, content, keys))
    before, _ = cell.until(Finished)
    cell.bye()
    assert [item.content for item in before if isinstance(item, Emitted)] == [
        "old old default\n",
        '[1] gone ["a", "b", "z"]\n',
    ]
    assert [(item.key, item.content) for item in before if isinstance(item, Wrote)] == [
        ("a", values.encode([1])),
        ("b", values.encode({"x": b"y"})),
        ("c", None),
        ("c", None),
    ]


def test_notifications_and_yields_are_sent_at_once(cell: CellEnd) -> None:
    cell.start("notify('n')\nyield_control()\nwhile True: pass")
    assert isinstance(cell.item(), Notified)
    assert isinstance(cell.item(), YieldAsked)


def test_output_of_a_busy_cell_is_sent_soon(cell: CellEnd) -> None:
    cell.start("print('x')\nwhile True: pass")
    assert isinstance(cell.item(), Emitted)


def test_surrogates_are_replaced(cell: CellEnd) -> None:
    assert run(cell, "text('a\\ud800b'); print('\\udfff')")[0] == ["a?b", "?\n"]


@pytest.mark.parametrize(
    ("source", "limit", "used"),
    [
        ("text('x' * (4 * 1024**2 + 1))", "output_item_bytes", 4 * 1024**2 + 1),
        ("while True: text('x' * 1000)", "output_bytes", 5000),
        ("for _ in range(2000): tools.search()", "calls_open", limits.CALLS_OPEN_MAX + 1),
        ("tools.search(x='y' * 5_000_000)", "argument_bytes", 5_000_008),
        ("store('k', 'y' * 5_000_000)", "stored_value_bytes", 5_000_005),
        ("notify('y' * 70_000)", "notification_bytes", 70_000),
        ("exit('y' * 5_000_000)", "value_bytes", 5_000_005),
    ],
)
def test_a_limit_ends_the_cell(zygote: ZygoteEnd, source: str, limit: str, used: int) -> None:
    cell = zygote.fork(Limits(output_bytes=4_500))
    guarded = f"try:\n    {source}\nexcept BaseException:\n    print('caught')"
    if ":" in source.split("(")[0]:
        guarded = source
    output, finished = run(cell, guarded)
    assert finished.reason is Reason.LIMIT
    assert "caught\n" not in output
    assert finished.error is not None
    assert finished.error.startswith(f"LimitExceededError: {limit}: at most ")
    assert f"{used:,} were used" in finished.error


def test_a_cell_waits_for_the_journal_when_it_says_too_much(cell: CellEnd) -> None:
    cell.start("for n in range(40): text('x' * 100_000)\nexit()")
    for _ in range(10):
        assert isinstance(cell.item(), Emitted)
    cell.zygote.router.poll(100)
    assert not any(isinstance(item, Finished) for item in cell.items)
    assert len(cell.items) <= 2
    count = 10
    while not isinstance(cell.item(), Finished):
        count += 1
        cell.acknowledge()
    assert count == 40
    cell.bye()


def test_output_from_a_thread_is_flagged_once(cell: CellEnd) -> None:
    source = """
import threading
def speak():
    print("from a thread")
    try:
        tools.search()
    except RuntimeError as error:
        print("refused:", "from a thread" in str(error))
thread = threading.Thread(target=speak)
thread.start(); thread.join()
"""
    cell.start(source)
    before, _ = cell.until(Finished)
    cell.bye()
    flags = [item for item in before if isinstance(item, Flagged)]
    assert flags == [Flagged("output from another thread", 4)]
    contents = [item.content for item in before if isinstance(item, Emitted)]
    assert contents == ["from a thread\n", "refused: true\n"]
