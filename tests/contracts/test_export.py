"""`export`: every record of a cell with what was written beside it, as values that JSON has."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tidemark.protocol.errors import CellNotFoundError
from tidemark.protocol.ids import cell_id
from tidemark.supervisor.shell.journal_export import exported
from tidemark.supervisor.shell.snapshot import Snapshot

from fakes.journals import AT_NS, ENDED, GONE, PAUSED, write_journal

Line = dict[str, Any]


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "journal.db"
    write_journal(path)
    return path


def lines(journal: Path, cell: str) -> list[Line]:
    with Snapshot(journal) as snapshot:
        return [json.loads(json.dumps(line)) for line in exported(snapshot, cell)]


def of_kind(found: list[Line], kind: str) -> list[Line]:
    return [line for line in found if line["kind"] == kind]


def test_every_record_comes_in_its_order(journal: Path) -> None:
    for cell, count in ((PAUSED, 9), (ENDED, 12), (GONE, 4)):
        found = lines(journal, cell)
        with closing(sqlite3.connect(journal)) as sql:
            query = "SELECT n, hex(chain) FROM records WHERE scope = ? ORDER BY n"
            there = sql.execute(query, (cell,)).fetchall()
        assert [(line["number"], line["chain"].upper()) for line in found] == there
        assert len(found) == count
        assert {line["cell"] for line in found} == {cell}


def test_what_a_user_gave_is_decoded(journal: Path) -> None:
    first, *rest = lines(journal, PAUSED)
    assert first["kind"] == "cell created"
    assert first["at_ns"] == AT_NS + 1
    assert first["time"] == "2023-11-14T22:13:20+00:00"
    assert first["record"]["source"] == "text(word)"
    assert first["record"]["inputs"] == {"word": "tide", "raw": {"base64": "/wA="}}
    assert first["record"]["request"] == "1:9"
    assert first["record"]["ask_digest"] == "00" * 16
    (finished,) = of_kind(rest, "call finished")
    (given,) = finished["contents"]
    assert given["kind"] == "input"
    assert (given["type"], given["call"]) == ("result", 1)
    assert given["value"] == ["found", {"base64": "gA=="}]
    (end,) = of_kind(lines(journal, ENDED), "cell completed")
    assert end["record"]["event"]["value"] == "done"
    assert end["record"]["event"]["reason"] == "ended"


def test_contents_are_beside_the_record_that_mentions_them(journal: Path) -> None:
    one, two = of_kind(lines(journal, PAUSED), "worker said")
    assert [step["step"] for step in one["record"]["steps"]] == ["put", "call made", "wait begun"]
    assert one["contents"] == [
        {"kind": "output", "number": 0, "type": "text", "content": "one"},
        {"kind": "arguments", "number": 1, "value": {"q": "mark"}},
    ]
    assert two["contents"] == [
        {"kind": "output", "number": 1, "type": "text", "content": "two"},
        {"kind": "written value", "number": 1, "key": "depth", "value": 7},
    ]


def test_what_is_not_kept_is_named(journal: Path) -> None:
    said = of_kind(lines(journal, ENDED), "worker said")
    contents = [content for line in said for content in line["contents"]]
    assert [(each["kind"], each["number"], each.get("removed", False)) for each in contents] == [
        ("output", 0, True),
        ("output", 1, False),
        ("written value", 1, True),
        ("output", 2, False),
    ]


def test_a_cell_that_is_not_there(journal: Path) -> None:
    with pytest.raises(CellNotFoundError, match="has no cell") as caught:
        lines(journal, cell_id(9, 9))
    assert caught.value.cell_id == cell_id(9, 9)
    with pytest.raises(CellNotFoundError, match="no cell could have this id"):
        lines(journal, "nonsense")
