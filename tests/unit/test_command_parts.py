"""The command's pure parts: what it understands, and how it shows things."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import sys
from contextvars import copy_context
from pathlib import Path

import pytest
import tidemark
from tidemark import CellInfo, Completed, Image, Pending, Terminated, Text, ToolCall
from tidemark.client._packages import Packages
from tidemark.client._places import PrivatePlace, begin_ahead, end_ahead, place_of
from tidemark.command import listing, rendering, run, terminal
from tidemark.command.columns import columns
from tidemark.command.entry import _private_run
from tidemark.command.failures import CommandError, UsageError
from tidemark.command.main import main
from tidemark.command.place import reachable
from tidemark.command.printing import JsonPrinter, TextPrinter
from tidemark.command.run import shown_name
from tidemark.command.terminal import Screen
from tidemark.command.tools_file import load_tools

NOW = 1_800_000_000.0


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def in_pipe() -> tuple[Screen, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return Screen(out, err), out, err


def on_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> tuple[Screen, Terminal]:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    return Screen(out, out), out


def calls(count: int, *, new: bool = False) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(f"tool-{n}", "search", {"query": "tide" * n}, new) for n in range(1, count + 1)
    )


def pending(**parts: object) -> Pending:
    fields: dict[str, object] = {
        "number": 3,
        "output": (),
        "generation": 2,
        "tool_calls": (),
        "next_timer": None,
        "own_work": (),
    }
    return Pending(**{**fields, **parts})  # type: ignore[arg-type]


def frontier(event: Pending, screen: Screen, **seen: float) -> list[str]:
    first = {name.replace("_", "-"): at for name, at in seen.items()}
    lines = rendering.frontier_lines(event, screen, at=NOW, now=NOW + 2, first_seen=first)
    return list(lines)


# -- usage ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["run"],
        ["run", "x.py", "--input", "word"],
        ["run", "x.py", "--input", "word=tide"],
        ["run", "x.py", "--input", "word=NaN"],
        ["run", "x.py", "--input", "1=2"],
        ["run", "x.py", "--isolation", "some"],
        ["run", "x.py", "--state", "a", "--endpoint", "ipc:///b"],
        ["ps"],
        ["ps", "--state", "a", "--limit", "-1"],
        ["ps", "--state", "a", "--only", "pausd"],
        ["resume", "c1", "two", "--state", "a"],
        ["serve"],
    ],
)
def test_wrong_usage_is_told_on_standard_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "usage: tidemark" in told.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "no such file.py"],
        ["run", "-", "--step"],
        ["run", __file__, "--tools", "no such file.py"],
        ["run", __file__, "--session", "name"],
        ["serve", "--state", "a", "--listen", "tcp://127.0.0.1:1"],
        ["ps", "--endpoint", "tcp://127.0.0.1:1"],
    ],
)
def test_what_cannot_work_is_wrong_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("tidemark: ")


def test_a_supervisor_that_was_launched_for_nothing_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[PrivatePlace] = []
    begin = PrivatePlace.begin
    monkeypatch.setattr(PrivatePlace, "begin", lambda place: (begun.append(place), begin(place)))
    # It is running by the time at which the run fails.
    monkeypatch.setattr(run, "load_tools", lambda _: refuse(begun[0].launch()))
    assert main(["run", __file__, "--tools", "a file.py"]) == 2
    (place,) = begun
    assert place._life is not None
    assert place._life.has_ended()
    assert place._directory is not None
    assert not place._directory.exists()


def refuse(_: object) -> list[object]:
    raise UsageError("these tools cannot be had")


def test_a_supervisor_that_was_launched_ahead_ends_with_a_session_that_was_never_opened() -> None:
    async def left() -> PrivatePlace:
        begin_ahead("process")
        session = tidemark.AsyncSession(isolation="process")
        place = session._opening._place
        assert isinstance(place, PrivatePlace)
        assert place.launch().endpoint
        await session.close()
        return place

    place = asyncio.run(left())
    assert place._life is not None
    assert place._life.has_ended()


def test_a_supervisor_that_was_launched_ahead_is_that_of_one_session() -> None:
    begin_ahead("process")
    try:
        taken, another = (
            copy_context().run(place_of, None, None, None, "process", Packages()) for _ in range(2)
        )
    finally:
        end_ahead()
    assert isinstance(taken, PrivatePlace)
    assert another is not taken
    assert taken.launch().endpoint  # it was not ended: somebody has it
    taken.end()


def test_only_a_run_that_is_certain_has_a_head_start(tmp_path: Path) -> None:
    file = str(tmp_path / "cell.py")
    Path(file).touch()
    assert _private_run(["run", file]) == {}
    assert _private_run(["run", "--step", "-", "--input", "--state"]) == {"--input": "--state"}
    assert _private_run(["run", "--isolation", "process", file]) == {"--isolation": "process"}
    for words in (
        [],
        ["ps"],
        ["run"],
        ["run", file, file],
        ["run", str(tmp_path / "nothing.py")],
        ["run", file, "--state", "here"],
        ["run", file, "--stat=here"],  # abbreviations are left to who knows all options
        ["run", file, "--endpoint", "ipc:///there"],
        ["run", file, "--isolation", "none"],
        ["run", file, "--help"],
        ["run", "--", file],
    ):
        assert _private_run(words) is None, words


@pytest.mark.parametrize(
    "command", ["run", "serve", "ps", "show", "history", "watch", "resume", "terminate", "doctor"]
)
def test_every_command_has_help_with_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"examples:\n  tidemark {command}" in text
    assert "--json" in text


def test_an_endpoint_that_nobody_listens_on_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no supervisor listens at ipc:///"):
        reachable(f"ipc://{tmp_path}/nobody.sock")
    with pytest.raises(UsageError):
        reachable("nobody.sock")


# -- ps -------------------------------------------------------------------------------------------


def cells(count: int) -> list[CellInfo]:
    states = ("paused", "running", "completed", "terminated")
    return [
        CellInfo(
            id=f"c{n:014x}-0000beef",
            session="nightly" if n % 2 else "a session with a rather long name",
            name=f"job {n}" + " with a name that goes on" * (n % 3),
            kind="pausable",
            state=states[n % 4],
            generation=n % 12,
            calls=n % 7,
            created=NOW - n * 60,
            since=NOW,
        )
        for n in range(count)
    ]


def test_a_thousand_cells_are_a_table() -> None:
    screen, _, _ = in_pipe()
    lines = list(listing.table(cells(1_000), screen, NOW))
    assert len(lines) == 1_001
    header = lines[0]
    assert header.split() == ["CELL", "SESSION", "NAME", "KIND", "STATE", "GEN", "CALLS", "AGE"]
    column = header.index("STATE")
    assert {line[column:].split()[0] for line in lines[1:]} == {
        "paused",
        "running",
        "completed",
        "terminated",
    }
    assert len({len(line) for line in lines}) == 1, "numbers end in the same column"


@pytest.mark.parametrize("columns", [80, 100, 160])
def test_a_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    screen, _ = on_terminal(monkeypatch, columns)
    monkeypatch.setenv("NO_COLOR", "1")
    lines = list(listing.table(cells(50), screen, NOW))
    assert max(map(len, lines)) <= columns
    assert all("c0" in line for line in lines[1:]), "ids are whole: they are what one copies"


def test_what_was_left_out_is_said() -> None:
    found = cells(1_000)
    more, counts = listing.summary(found, 50)
    assert more == "950 more: --limit 0 or --all shows them"
    assert counts == "1,000 cells: 250 paused, 250 running, 250 completed, 250 terminated"
    assert list(listing.summary([], 0)) == ["no cells"]


# -- frontiers ------------------------------------------------------------------------------------


def test_a_frontier_in_a_pipe_is_plain() -> None:
    screen, _, _ = in_pipe()
    first, second = calls(1, new=True)[0], ToolCall("tool-10", "slow", {"n": 1}, False)
    event = pending(tool_calls=(first, second), next_timer=NOW + 5, own_work=("thread 'reader'",))
    lines = frontier(event, screen, tool_10=NOW - 1)
    assert lines[0].startswith("generation 2: paused at ")
    assert lines[0].endswith(", waiting on 2 calls")
    assert lines[1:] == [
        "  tool-1   search(query='tide')  new",
        "  tool-10  slow(n=1)  for 3.0 s",
        "  next timer in 3.0 s",
        "  own work: thread 'reader'",
    ]


def test_many_calls_are_cut_and_counted() -> None:
    screen, _, _ = in_pipe()
    lines = frontier(pending(tool_calls=calls(400)), screen)
    assert len(lines) == 1 + rendering.CALLS_SHOWN + 1
    assert lines[-1] == "  … and 392 more"


def test_a_frontier_that_nothing_can_leave_says_so() -> None:
    screen, _, _ = in_pipe()
    assert "  stuck: nothing can ever wake this cell" in frontier(pending(), screen)


def test_long_arguments_are_shortened() -> None:
    call = ToolCall("tool-1", "put", {"text": "x" * 5_000_000, "rest": list(range(1000))}, True)
    shown = rendering.call_text(call)
    assert len(shown) <= 120
    assert shown.startswith("put(text='xxx")
    assert rendering.call_text(ToolCall("tool-1", "sql", "select 1", True)) == "sql('select 1')"


def test_a_frontier_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, _ = on_terminal(monkeypatch, 64)
    monkeypatch.setenv("NO_COLOR", "1")
    assert max(map(len, frontier(pending(tool_calls=calls(9)), screen))) <= 64


# -- output ---------------------------------------------------------------------------------------

IMAGE = Image("data:image/png;base64,AAAA", "high", 1)


def test_text_is_written_as_it_is_and_ends_with_a_new_line() -> None:
    screen, out, err = in_pipe()
    printer = TextPrinter(screen)
    printer.event(Completed(1, (Text("a\n", 0), IMAGE, Text("b", 2)), None, "ended", 5))
    assert out.getvalue() == "a\n[image: image/png, 3 bytes, high]\nb\n"
    assert err.getvalue() == ""


def test_an_error_goes_to_standard_error() -> None:
    screen, out, err = in_pipe()
    TextPrinter(screen).event(Completed(1, (), "Traceback\nE: x\n", "raised", None))
    TextPrinter(screen).event(Completed(1, (), None, "lost", None))
    assert out.getvalue() == ""
    assert err.getvalue() == "Traceback\nE: x\nthe cell completed with reason 'lost'\n"


def test_json_is_one_object_per_line() -> None:
    screen, out, _ = in_pipe()
    printer = JsonPrinter(screen)
    printer.created("c1", "pausable", "run-1", "process")
    printer.event(pending(output=(Text("a\nb", 0), IMAGE), tool_calls=calls(1)))
    printer.resumed(2)
    printer.notified(1, "half way")
    printer.event(Completed(4, (), "boom", "raised", {"raw": b"\x00"}))
    printer.event(Terminated(4, ()))
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [each["type"] for each in found] == [
        "created",
        "text",
        "image",
        "frontier",
        "resumed",
        "notification",
        "completed",
        "terminated",
    ]
    assert found[1] == {"type": "text", "text": "a\nb", "index": 0}
    assert found[3]["tool_calls"][0]["arguments"] == {"query": "tide"}
    assert found[6]["value"] == {"raw": "AA=="}


# -- terminal -------------------------------------------------------------------------------------


def test_nothing_but_text_goes_into_a_pipe() -> None:
    screen, out, err = in_pipe()
    screen.live("running for 3 s")
    screen.line(screen.styled("bold", terminal.Style.BOLD))
    assert (out.getvalue(), err.getvalue()) == ("bold\n", "")


def test_a_live_line_makes_room_for_output(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, out = on_terminal(monkeypatch, 40)
    screen.live("running for 3 s")
    screen.write("done\n")
    assert out.getvalue().endswith("\r\x1b[2Kdone\n")
    assert "\x1b[2mrunning for 3 s\x1b[0m" in out.getvalue()


def test_what_tools_print_comes_above_the_live_line(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, out = on_terminal(monkeypatch, 40)
    with screen.shared():
        screen.live("running for 3 s")
        print("from a tool")
    assert out.getvalue().endswith("\r\x1b[2Kfrom a tool\n")
    before = sys.stdout
    with in_pipe()[0].shared():
        assert sys.stdout is before, "in a pipe there is nothing to make room for"


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, _ = on_terminal(monkeypatch, 40)
    assert screen.styled("x", terminal.Style.RED) == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert screen.styled("x", terminal.Style.RED) == "x"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1m00s"),
        (200, "3m20s"),
        (7_500, "2h05m"),
        (400_000, "4d"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert terminal.duration(seconds) == shown


def test_names_cannot_move_the_cursor() -> None:
    assert (
        terminal.printable("a\x1b[2Jb\n")
        == "a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}"
    )


# -- tools ----------------------------------------------------------------------------------------


def names(path: Path) -> list[str]:
    return [getattr(tool, "__name__", None) or tool.name for tool in load_tools(path)]


def test_public_functions_of_the_file_are_tools(tmp_path: Path) -> None:
    path = tmp_path / "some_tools_one.py"
    path.write_text(
        "from __future__ import annotations\n"
        "import tidemark\nfrom textwrap import dedent\n"
        "def _own(): pass\ndef search(query: str): pass\nasync def fetch(): pass\n"
        "class NoTool: pass\nwell = tidemark.Tool(search, name='well')\n"
    )
    assert names(path) == ["search", "fetch", "well"]


def test_a_list_names_the_tools(tmp_path: Path) -> None:
    path = tmp_path / "some_tools_two.py"
    path.write_text("def a(): pass\ndef _b(): pass\nTOOLS = [_b]\n")
    assert names(path) == ["_b"]
    path.write_text("TOOLS = [3]\n")
    with pytest.raises(UsageError, match="3 in TOOLS is no function or Tool"):
        load_tools(path)


def test_a_file_without_tools_is_wrong_usage(tmp_path: Path) -> None:
    path = tmp_path / "some_tools_three.py"
    path.write_text("from textwrap import dedent\n")
    with pytest.raises(UsageError, match="no public function"):
        load_tools(path)


def test_a_file_that_raises_is_told_without_our_frames(tmp_path: Path) -> None:
    path = tmp_path / "some_tools_four.py"
    path.write_text("1 / 0\n")
    with pytest.raises(CommandError) as raised:
        load_tools(path)
    text = str(raised.value)
    assert "ZeroDivisionError" in text
    assert "tools_file.py" not in text
    assert "importlib" not in text


def test_a_files_name_is_escaped_and_cut() -> None:
    assert shown_name("a/b\udcff.py") == "b\\xff.py"
    assert len(shown_name("\udcff" * 200)) == 256
    assert shown_name("é" * 127) == "é" * 127


@pytest.mark.parametrize("given", ["", "50", "0", "-3", "wide", "9" * 5_000])
def test_a_width_is_what_the_standard_library_says(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("COLUMNS", given)
    assert columns() == shutil.get_terminal_size().columns
