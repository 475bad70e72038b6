"""What the README shows is what is there, and it runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.command_line import environment, program, tidemark

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(root: Path, language: str) -> list[str]:
    text = (root / "README.md").read_text(encoding="utf-8")
    return [body for kind, body in FENCE.findall(text) if kind == language]


def ran(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=55, env=environment(), cwd="/"
    )


def test_the_host_program_is_the_example(root: Path) -> None:
    (block,) = blocks(root, "python")
    assert block == (root / "examples/twenty_lines.py").read_text(encoding="utf-8")
    assert len([line for line in block.splitlines() if line.strip()]) <= 22


def test_the_host_program_prints_what_the_readme_says(root: Path) -> None:
    (printed,) = blocks(root, "text")
    result = ran(sys.executable, root / "examples/twenty_lines.py")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == printed


def check_survey(lines: list[str]) -> int:
    """The number of modules that a survey of this standard library says it found."""
    assert lines[0].split() == ["module", "lines", "functions", "classes"]
    largest = [line.split() for line in lines[1:16]]
    counts = [int(row[1].replace(",", "")) for row in largest]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 1_000
    assert lines[17].split()[:2] == ["most", "imported"]
    imported = dict(line.split() for line in lines[18:28])
    assert {"sys", "os"} <= imported.keys()
    found = re.match(r"([\d,]+) modules: [\d,]+ lines, [\d,]+ functions, [\d,]+ classes", lines[29])
    assert found is not None
    return int(found[1].replace(",", ""))


@pytest.mark.timeout(120)
def test_the_main_job(root: Path) -> None:
    result = ran(sys.executable, root / "examples/stdlib_survey.py")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert check_survey(lines) > 200
    assert re.match(r"[\d,]+ modules/s: \d+ tool calls in [\d.]+ s", lines[-1])


@pytest.mark.timeout(120)
def test_the_main_job_by_the_command(root: Path) -> None:
    folder = root / "examples"
    result = ran(
        program(), "run", folder / "stdlib_survey_cell.py", "--tools", folder / "stdlib_tools.py"
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert check_survey(result.stdout.splitlines()) > 200


def test_every_command_line_of_the_readme_is_understood(root: Path) -> None:
    """Each subcommand and option that the README shows is in that subcommand's help."""
    lines = [line for block in blocks(root, "sh") for line in block.splitlines()]
    shown = [shlex.split(line, comments=True) for line in lines if line.startswith("tidemark ")]
    assert {words[1] for words in shown} >= {"run", "serve", "ps", "show", "watch", "resume"}
    for words in shown:
        text = tidemark(words[1], "--help").stdout
        assert text, words
        for option in [word for word in words if word.startswith("--")]:
            assert option in text, words


def test_the_two_commands_name_what_is_there(root: Path) -> None:
    first, second, *_ = blocks(root, "sh")
    assert "python3 -m venv .venv && .venv/bin/pip install . &&" in first
    assert (root / first.split()[-1]).is_file()
    assert second.strip().endswith(".venv/bin/pip install tox && .venv/bin/tox")
