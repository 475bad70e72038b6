"""Documents: links lead somewhere, and Python in them is Python."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

import pytest

from fakes import source_tree

DOCUMENTS = [
    *(source_tree.ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((source_tree.ROOT / "docs").glob("*.md")),
]
LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
ABROAD = re.compile(r"^[a-z]+:")

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def anchors(text: str) -> set[str]:
    """What a heading is reached by: lower case, spaces as dashes, no punctuation."""
    titles = re.findall(r"^#+ +(.*?) *$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    for link in LINK.findall(text):
        if ABROAD.match(link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{document.name}: {link} leads nowhere"
        if anchor and target.suffix == ".md":
            found = anchors(target.read_text(encoding="utf-8"))
            assert anchor in found, f"{document.name}: {link}: no such heading"


@every_document
def test_python_in_documents_compiles(document: Path) -> None:
    for _, language, block in FENCE.findall(document.read_text(encoding="utf-8")):
        if language in {"python", "py"}:
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
            compile(textwrap.dedent(block), document.name, "exec", flags)


@every_document
def test_documents_have_one_title(document: Path) -> None:
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
