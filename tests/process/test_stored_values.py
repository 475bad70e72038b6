"""Stored values: versions, and visible with the completion or never."""

from __future__ import annotations

from typing import Any

import pytest
import tidemark

from fakes.cells import completed, in_state, pending, run_through
from fakes.doors import Doors


def test_a_host_lists_reads_writes_and_deletes(session: tidemark.Session) -> None:
    stored = session.stored
    assert stored.keys() == ()
    assert stored.get("a") is None
    assert stored.get("a", "nothing") == "nothing"
    value = {"list": [1, 2.5, None, True], "bytes": b"\x00\xff", "text": "ü"}
    stored.set("a", value)
    stored.set("none", None)
    assert stored.get("a") == value
    assert stored.get("none", "default") is None
    assert stored.keys() == ("a", "none")
    stored.delete("a")
    stored.delete("never there")
    assert stored.keys() == ("none",)


@pytest.mark.parametrize(
    ("ending", "reason"), [("", "ended"), ("exit(1)", "ended"), ("1/0", "raised")]
)
def test_writes_become_visible_with_the_completion(
    session: tidemark.Session, doors: Doors, ending: str, reason: str
) -> None:
    session.stored.set("old", 1)
    cell = session.create_pausable_cell(f"""
store("new", [load("old"), "x"])
delete("old")
await tools.knock(door="a")
{ending}
""")
    pending(cell)
    assert session.stored.keys() == ("old",)  # not before
    doors.open("a")
    assert run_through(cell).reason == reason
    assert session.stored.keys() == ("new",)
    assert session.stored.get("new") == [1, "x"]


def test_writes_of_a_terminated_cell_are_never_visible(session: tidemark.Session) -> None:
    cell = session.create_pausable_cell("store('k', 1)\nawait tools.knock(door='a')")
    pending(cell)
    assert isinstance(cell.terminate(), tidemark.Terminated)
    assert session.stored.keys() == ()


@pytest.mark.parametrize(
    ("source", "limits", "reason"),
    [
        ("store('k', 1)\ntext('x' * 2000)", tidemark.Limits(output_bytes=1000), "limit"),
        (
            "store('k', 1)\nawait asyncio.sleep(0)\nimport os\nprint('x', flush=True)\nos._exit(9)",
            None,
            "poison",
        ),
        ("store('k', 1\n", None, "refused"),
    ],
)
def test_writes_of_a_cell_that_did_not_end_by_itself_are_never_visible(
    session: tidemark.Session, source: str, limits: tidemark.Limits | None, reason: str
) -> None:
    cell = session.create_cell(source, limits=limits)
    assert completed(cell).reason == reason
    assert session.stored.keys() == ()


def test_a_cell_reads_the_version_of_its_creation_and_its_own_writes(
    session: tidemark.Session, doors: Doors
) -> None:
    session.stored.set("k", "first")
    session.stored.set("gone", 1)
    source = """
await tools.knock(door="a")
before = [load("k"), load("gone", "no"), load("later", "no"), keys()]
store("own", 1)
store("k", "mine")
delete("gone")
exit([before, load("k"), load("own"), load("gone", "no"), keys()])
"""
    cell = session.create_cell(source)
    doors.until_knocked("a")
    session.stored.set("k", "second")
    session.stored.set("later", 1)
    session.stored.delete("gone")
    doors.open("a")
    assert completed(cell).value == [
        ["first", 1, "no", ["gone", "k"]],
        "mine",
        1,
        "no",
        ["k", "own"],
    ]
    assert session.stored.get("k") == "mine"
    assert session.stored.keys() == ("k", "later", "own")
    later = completed(session.create_cell("exit([load('k'), keys()])"))
    assert later.value == ["mine", ["k", "later", "own"]]


def test_many_cells_see_completions_whole_or_not_at_all(session: tidemark.Session) -> None:
    writer = "for k in 'abcdefgh': store(k, n)"
    reader = "exit([load(k) for k in 'abcdefgh'])"
    session.stored.set("a", 0)
    for k in "bcdefgh":
        session.stored.set(k, 0)
    readers = []
    writers = []
    for n in range(1, 9):
        writers.append(session.create_cell(writer, inputs={"n": n}))
        readers.append(session.create_cell(reader))
    for cell in writers:
        completed(cell)
    for cell in readers:
        values = completed(cell).value
        assert len(set(values)) == 1, values


def test_sessions_share_nothing(session: tidemark.Session, open_session: Any) -> None:
    session.stored.set("k", 1)
    other = open_session()
    assert other.stored.keys() == ()
    assert completed(other.create_cell("exit(load('k', 'none'))")).value == "none"


def test_a_value_of_nearly_four_mebibytes_goes_there_and_back(session: tidemark.Session) -> None:
    big = "x" * (4 * 2**20 - 100)
    session.stored.set("big", big)
    cell = session.create_cell("store('copy', load('big') )\nexit(len(load('copy')))")
    assert completed(cell).value == len(big)
    assert session.stored.get("copy") == big


def test_values_that_are_too_large_or_not_plain(session: tidemark.Session) -> None:
    with pytest.raises(tidemark.LimitExceededError) as caught:
        session.stored.set("big", "x" * (4 * 2**20 + 1))
    assert caught.value.value == 4 * 2**20
    with pytest.raises(TypeError, match="finite"):
        session.stored.set("k", float("nan"))
    with pytest.raises(TypeError, match=r"\[1\]\.x"):
        session.stored.set("k", [0, {"x": {1, 2}}])
    for key in (3, None, b"k"):
        with pytest.raises(TypeError):
            session.stored.set(key, 1)  # type: ignore[arg-type]
    with pytest.raises((ValueError, tidemark.LimitExceededError)):
        session.stored.set("k" * 2000, 1)
    assert session.stored.keys() == ()


def test_the_sum_of_a_sessions_values_is_bounded(open_session: Any) -> None:
    session = open_session()
    part = "x" * (4 * 2**20 - 100)
    for n in range(16):
        session.stored.set(f"k{n}", part)
    with pytest.raises(tidemark.LimitExceededError) as caught:
        session.stored.set("one too many", part)
    assert caught.value.value == 64 * 2**20
    assert len(session.stored.keys()) == 16
    session.stored.set("k0", "small")
    session.stored.set("now", "there is room")
    cell = session.create_cell("for n in range(20): store(f'c{n}', 'x' * (4 * 2**20 - 100))")
    end = completed(cell)
    assert end.reason == "limit"
    assert end.error is not None
    assert f"{64 * 2**20:,}" in end.error or str(64 * 2**20) in end.error
    assert session.stored.get("c0") is None


def test_terminate_against_completion_is_decided_once(session: tidemark.Session) -> None:
    for _ in range(10):
        session.stored.delete("k")
        cell = session.create_cell("store('k', 1)")
        end = cell.terminate()
        visible = session.stored.keys() == ("k",)
        assert visible == isinstance(end, tidemark.Completed)
        assert cell.terminate() == end
        assert in_state(cell, "completed", "terminated").state == (
            "completed" if visible else "terminated"
        )
