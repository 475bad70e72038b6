"""Identifiers, limits that a host may choose, and the errors with their way over the wire."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import fields
from typing import Any

import pytest
from tidemark.protocol import errors, ids, values
from tidemark.protocol.ids import NO_REQUEST, Incarnation, RequestRef
from tidemark.protocol.limits import INTEGER_MAX, Limits

SECRET = bytes(range(32))

# -- ids ------------------------------------------------------------------------------------------


def test_cell_ids_sort_by_creation_and_tell_journals_apart() -> None:
    times = [0, 1, 15, 16, 2**40, 1_700_000_000_000_000, 1_700_000_000_000_001, 2**56 - 1]
    made = [ids.cell_id(time, 0xFFFFFFFF) for time in times]
    assert made == sorted(made)
    assert [ids.created_us(cell) for cell in made] == times
    assert all(ids.is_cell_id(cell) for cell in made)
    assert ids.cell_id(5, 1) != ids.cell_id(5, 2)


@pytest.mark.parametrize(
    "text",
    ["", "c", "c00062a1b3c4d5e6", "c00062a1b3c4d5e6-0badcaf", "c00062a1b3c4d5e6-0badcafe0",
     "C00062a1b3c4d5e6-0badcafe", "c00062a1b3c4d5e6-0BADCAFE", "c00062a1b3c4d5e6-0badcafe\n",
     "xc00062a1b3c4d5e6-0badcafe"],
)  # fmt: skip
def test_what_is_no_cell_id(text: str) -> None:
    assert not ids.is_cell_id(text)
    with pytest.raises(ValueError, match="not the key of a tool call"):
        ids.parse_call_key(text + "/tool-1")


def test_session_names() -> None:
    for name in ("a", "my session", "x" * 200, "gr\u00fc\u00df", "\U0001f30a" * 64):
        assert ids.is_session_name(name)
    for name in ("", "x" * 201, "a\nb", "a\x00", "\x7f", "\ud800", "\U0001f30a" * 65):
        assert not ids.is_session_name(name)


def test_tool_ids_and_call_keys() -> None:
    cell = ids.cell_id(5, 6)
    for number in (1, 9, 10, 10**18 - 1):
        assert ids.tool_number(ids.tool_id(number)) == number
        assert ids.parse_call_key(ids.call_key(cell, number)) == (cell, number)
    assert ids.call_key(cell, 2) == f"{cell}/tool-2"
    for text in ("", "tool-", "tool-0", "tool-01", "tool--1", "tool-1 ", "tool-\u0661", "Tool-1",
                 "tool-1\n", "tool-" + "9" * 19):  # fmt: skip
        with pytest.raises(ValueError, match="not the id of a tool call"):
            ids.tool_number(text)
    with pytest.raises(ValueError, match=r"expected 'CELL/tool-N'"):
        ids.parse_call_key("tool-1")


def test_incarnations_and_requests_are_ordered() -> None:
    born = [Incarnation(1, 2), Incarnation(1, 10), Incarnation(2, 1), Incarnation(10, 0)]
    shuffled = [born[2], born[0], born[3], born[1]]
    assert sorted(shuffled) == born
    assert [str(one) for one in born] == ["1.2", "1.10", "2.1", "10.0"]
    assert RequestRef(1, 9) < RequestRef(1, 10) < RequestRef(2, 1)
    assert not NO_REQUEST
    assert RequestRef(1, 0)
    assert str(RequestRef(5, 6)) == "5:6"


def test_worker_tokens_are_derived_and_differ() -> None:
    born = Incarnation(1, 1)
    token = ids.worker_token(SECRET, "cell", born)
    assert token == ids.worker_token(SECRET, "cell", born)
    assert len(token) == ids.TOKEN_BYTES
    others = {ids.worker_token(SECRET, "cell", Incarnation(1, number)) for number in range(500)}
    others |= {ids.worker_token(bytes(32), "cell", born), ids.worker_token(SECRET, "cel", born)}
    assert len(others) == 502
    assert all(other[0] & 0x80 for other in others)
    seed = ids.cell_seed(SECRET, "cell")
    assert len(seed) == 32
    assert seed == ids.cell_seed(SECRET, "cell") != ids.cell_seed(SECRET, "lcel")


# -- limits ---------------------------------------------------------------------------------------

NAMES = [field.name for field in fields(Limits)]


@pytest.mark.parametrize("name", NAMES)
def test_limits_refuse_bad_values(name: str) -> None:
    for bad in (True, "1", b"1", [1]):
        with pytest.raises(TypeError, match=rf"^Limits\.{name} must be (int|int or float), got"):
            Limits(**{name: bad})  # type: ignore[arg-type]
    numbers: list[Any] = [0, -1, INTEGER_MAX + 1]
    if name in ("wall_seconds", "lifetime_seconds"):
        numbers += [0.0, -0.5, math.nan, math.inf]
    else:
        with pytest.raises(TypeError, match=rf"^Limits\.{name} must be int, got float"):
            Limits(**{name: 1.5})  # type: ignore[arg-type]
    for bad in numbers:
        with pytest.raises(ValueError, match=rf"^Limits\.{name} must be above 0"):
            Limits(**{name: bad})


def test_limits_at_their_bounds() -> None:
    assert Limits(**dict.fromkeys(NAMES, 1)) != Limits()  # type: ignore[arg-type]
    assert Limits(memory_bytes=INTEGER_MAX).memory_bytes == INTEGER_MAX
    assert Limits(wall_seconds=0.001).wall_seconds == 0.001


def test_limits_over_others() -> None:
    session = Limits(memory_bytes=100, cpu_seconds=5)
    cell = Limits(cpu_seconds=1, processes=2)
    assert cell.over(session) == Limits(memory_bytes=100, cpu_seconds=1, processes=2)
    assert Limits().over(session) == session
    assert session.over(Limits()) == session


# -- errors ---------------------------------------------------------------------------------------

ATTRIBUTES: dict[str, dict[str, Any]] = {
    "internal": {},
    "invalid_generation": {"cell_id": "c1", "requested": 9, "latest": None},
    "busy_observer": {"since": 12.5, "by": "lighthouse/4711"},
    "cell_not_found": {"cell_id": "c1"},
    "cell_closed": {"outcome": "terminated"},
    "wrong_cell_kind": {"kind": "pausable"},
    "shutting_down": {},
    "idempotency_conflict": {"cell_id": "c1"},
    "session_held": {"pid": 4711, "host": "lighthouse", "since": 12.5},
    "session_taken": {},
    "worker_lost": {"reason": "signal 9"},
    "resume_unconfirmed": {"cell_id": "c1", "generation": 3},
    "replay_diverged": {"expected": "text 'a'", "actual": "text 'b'", "line": 4},
    "isolation_unavailable": {"missing": ("user namespaces", "seccomp")},
    "limit_exceeded": {"limit": "SOURCE_BYTES_MAX", "value": 1048576, "used": 2097152},
    "journal": {},
    "protocol": {},
    "supervisor_unavailable": {},
}


def test_every_error_is_in_the_closed_set() -> None:
    assert ATTRIBUTES.keys() == errors.ERRORS.keys()
    subclasses = set(errors.TidemarkError.__subclasses__()) | {errors.TidemarkError}
    assert {kind for kind in subclasses if kind.__module__ == errors.__name__} == set(
        errors.ERRORS.values()
    )
    unknown = {kind.code for kind in errors.ERRORS.values() if not kind.outcome_known}
    assert unknown == {"resume_unconfirmed", "journal", "supervisor_unavailable"}


@pytest.mark.parametrize("code", ATTRIBUTES)
def test_an_error_travels(code: str) -> None:
    error = errors.ERRORS[code]("do this next", **ATTRIBUTES[code])
    assert str(error) == error.message == "do this next"
    packed = values.encode(error.attributes())
    back = errors.from_wire(error.code, error.message, values.decode(packed))
    copies = [back, pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)]
    for other in copies:
        assert type(other) is type(error)
        assert str(other) == "do this next"
        assert other.attributes() == error.attributes() == ATTRIBUTES[code]


def test_an_error_of_a_later_version() -> None:
    error = errors.from_wire("no_such_code", "do this next", {"anything": 1})
    assert type(error) is errors.TidemarkError
    assert str(error) == "do this next"
    later = errors.from_wire("cell_not_found", "gone", {"cell_id": "c1", "since": 4})
    assert later.attributes() == {"cell_id": "c1"}
    less = errors.from_wire("session_held", "held", {})
    assert less.attributes() == {"pid": None, "host": None, "since": None}
    assert errors.from_wire("isolation_unavailable", "no", {}).attributes() == {"missing": ()}


def test_an_unknown_attribute_is_a_defect_of_the_caller() -> None:
    with pytest.raises(TypeError, match="has no attribute"):
        errors.CellNotFoundError("gone", cell="c1")


def test_tool_errors_are_picklable() -> None:
    error = errors.ToolError("no corpus", tool="search", key="c1/tool-2", outcome_unknown=True)
    back = pickle.loads(pickle.dumps(error))
    assert (str(back), back.message, back.tool, back.key, back.outcome_unknown) == (
        "no corpus",
        "no corpus",
        "search",
        "c1/tool-2",
        True,
    )
    assert not issubclass(errors.ToolError, errors.TidemarkError)
