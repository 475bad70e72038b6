"""What docs/TESTING.md says of the simulator is so; `--rewrite` writes its lists anew."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from tidemark.simulation import main
from tidemark.simulation.everywhere import RECOVERY_POINTS
from tidemark.simulation.plants import PLANTS
from tidemark.simulation.promise import Promise


def _promises() -> str:
    return "\n".join(f"- {promise}." for promise in Promise)


def _plants() -> str:
    rows = [f"| {each.name} | {each.seeds_max} | {each.by} |" for each in PLANTS.values()]
    return "\n".join(
        ["| bug | found within so many seeds | by the promise |", "|---|---|---|", *rows]
    )


@pytest.mark.parametrize(("name", "text"), [("promises", _promises()), ("plants", _plants())])
def test_its_lists_are_those_of_the_code(name: str, text: str, root: Path, expected: Any) -> None:
    path = root / "docs/TESTING.md"
    parts = re.split(
        rf"(<!-- generated: {name}\b.*?-->\n).*(\n<!-- generated: end of {name} -->)",
        path.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    assert len(parts) == 4, f"{path} has lost its markers"
    before, begin, end, after = parts
    expected.check(path, f"{before}{begin}\n{text}\n{end}{after}")


def test_its_commands_are_understood(root: Path) -> None:
    text = (root / "docs/TESTING.md").read_text(encoding="utf-8")
    commands = re.findall(r"^tidemark-simulate .*$", text, re.MULTILINE)
    commands += re.findall(r"`(tidemark-simulate [^`]*)`", text)
    assert len(commands) > 5
    for command in commands:
        words = shlex.split(command.replace("SEED", "7"), comments=True)
        main.parser().parse_args(words[1:])


def test_its_numbers_are_those_of_the_code(root: Path) -> None:
    text = (root / "docs/TESTING.md").read_text(encoding="utf-8")
    assert f"the first {RECOVERY_POINTS} points of the next" in text.replace("\n", " ")
