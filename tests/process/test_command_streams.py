"""The command with files that are closed, full, narrow, or not quite what one expects."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fakes.command_line import SECONDS_MAX, environment, objects, program, tidemark


def in_shell(line: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a line of `sh` in which $TIDEMARK is the command."""
    return subprocess.run(
        ["sh", "-c", line],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env=environment(TIDEMARK=program(), **more),
    )


@pytest.fixture
def cell(place: Path) -> Path:
    """A cell that says something outside of ASCII."""
    path = place / "cell.py"
    path.write_text("print('é 漢 🌊')\n", encoding="utf-8")
    return path


def test_what_the_encoding_lacks_is_escaped(cell: Path) -> None:
    ran = tidemark("run", cell, env=environment(PYTHONIOENCODING="ascii"))
    assert (ran.returncode, ran.stdout) == (0, "\\xe9 \\u6f22 \\U0001f30a\n")


def test_json_is_utf8_in_every_locale(cell: Path) -> None:
    ran = tidemark("run", cell, "--json", env=environment(PYTHONIOENCODING="ascii"))
    texts = [item["text"] for item in objects(ran.stdout) if item["type"] == "text"]
    assert texts == ["é 漢 🌊\n"]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_file_is_an_empty_one(cell: Path, closed: str) -> None:
    ran = in_shell(f'"$TIDEMARK" run {cell} {closed}')
    assert (ran.returncode, ran.stderr) == (0, "")


def test_no_standard_input_is_an_empty_cell() -> None:
    ran = in_shell('"$TIDEMARK" run - <&-')
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.parametrize("what", ["run {cell}", "run {cell} --json", "doctor"])
def test_a_full_disk_is_one_line_and_a_failure(cell: Path, what: str) -> None:
    ran = in_shell(f'"$TIDEMARK" {what.format(cell=cell)} > /dev/full')
    assert ran.returncode == 1
    told = "tidemark: standard output cannot be written: No space left on device\n"
    assert ran.stderr == told


def test_a_file_may_begin_with_a_byte_order_mark(place: Path) -> None:
    path = place / "bom.py"
    path.write_bytes(b"\xef\xbb\xbfprint('tide')\n")
    ran = tidemark("run", path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "tide\n", "")


def test_a_stuck_cell_is_said_to_be_terminated_once(place: Path) -> None:
    path = place / "stuck.py"
    path.write_text("text('begins')\nawait asyncio.Future()\n")
    ran = tidemark("run", path, "--json")
    assert ran.returncode == 1
    assert [item["type"] for item in objects(ran.stdout)] == ["created", "text", "terminated"]


def test_tools_that_exit_are_a_failure_that_is_told(place: Path) -> None:
    (place / "cell.py").write_text("print('never')\n")
    (place / "tools.py").write_text("import sys\n\nsys.exit(4)\n")
    ran = in_shell(f'cd {place} && "$TIDEMARK" run cell.py --tools tools.py')
    assert (ran.returncode, ran.stdout) == (1, "")
    assert 'tools.py", line 3, in <module>' in ran.stderr
    assert "command/tools_file.py" not in ran.stderr
    assert ran.stderr.endswith("SystemExit: 4\n--tools tools.py raised this\n")


def test_json_is_json_whatever_tools_print(place: Path) -> None:
    (place / "tools.py").write_text(
        "import os, subprocess\n"
        "print('loaded')\n"
        "def shout(word: str) -> str:\n"
        "    print('printed')\n"
        "    os.write(1, b'written\\n')\n"
        "    subprocess.run(['echo', 'echoed'], check=True)\n"
        "    return word.upper()\n"
    )
    (place / "cell.py").write_text("text(await tools.shout(word='tide'))\n")
    run = tidemark("run", "--json", place / "cell.py", "--tools", place / "tools.py")
    assert run.returncode == 0
    assert "TIDE" in str(objects(run.stdout))
    said = sorted(run.stderr.split())
    assert said == ["echoed", "loaded", "printed", "written"]
