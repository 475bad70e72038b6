"""The tables of docs/PROTOCOL.md are those of the code; `--rewrite` writes them anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tidemark.protocol import codec

from fakes.protocol_tables import tables

BEGIN = "<!-- generated: begin (pytest tests/tidy --rewrite) -->"
END = "<!-- generated: end -->"


def test_the_tables_are_those_of_the_code(root: Path, expected: Any) -> None:
    path = root / "docs/PROTOCOL.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    assert after, f"{path} has lost its markers"
    expected.check(path, f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}")


def test_the_version_is_named(root: Path) -> None:
    text = (root / "docs/PROTOCOL.md").read_text(encoding="utf-8")
    assert f"This is version {codec.PROTOCOL_VERSION} of the protocol." in text
