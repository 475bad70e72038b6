"""What a host can get wrong is refused before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from tidemark import AsyncSession, Session
from tidemark.client import _asks
from tidemark.client._launch import Packages, use_endpoint
from tidemark.client._packages import packages_of
from tidemark.client._places import place_for_client, place_of
from tidemark.protocol import values
from tidemark.protocol.errors import LimitExceededError
from tidemark.protocol.host_requests import CreateCell, Observe, Resume, Step, StoredSet
from tidemark.protocol.limits import INTEGER_MAX, Limits
from tidemark.protocol.packed import CellKind, Stepping


def create(**changed: object) -> CreateCell:
    arguments: dict[str, object] = {
        "source": "1",
        "inputs": None,
        "name": None,
        "key": "k",
        "limits": None,
        **changed,
    }
    source = arguments.pop("source")
    return _asks.create_cell(CellKind.PAUSABLE, source, **arguments)  # type: ignore[arg-type]


def test_a_create_is_packed() -> None:
    ask = create(source="x = 'ä'", inputs={"n": (1, 2)}, name="job", stepping="one")
    inputs = values.encode({"n": [1, 2]})
    source = "x = 'ä'".encode()
    assert ask == CreateCell(CellKind.PAUSABLE, source, inputs, "job", "k", Limits(), Stepping.ONE)
    assert create(source=source).source == source


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"source": 3}, "source must be str"),
        ({"inputs": [1]}, "inputs must be a dict"),
        ({"inputs": {1: 1}}, "a name must be str"),
        ({"inputs": {"a": [1, {"b": object()}]}}, r"inputs\.a\[1\]\.b"),
        ({"inputs": {"a": math.nan}}, r"inputs\.a: a float must be finite"),
        ({"name": 3}, "name must be str"),
        ({"limits": 3}, "limits must be tidemark.Limits"),
    ],
)
def test_wrong_types_are_type_errors(changed: dict[str, object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        create(**changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"source": "\ud800"}, "lone surrogate"),
        ({"source": b"\xff"}, "not UTF-8"),
        ({"inputs": {"a b": 1}}, "cannot be a variable"),
        ({"inputs": {"class": 1}}, "cannot be a variable"),
        ({"name": "x" * 257}, "257 bytes"),
        ({"name": "\ud800"}, "lone surrogate"),
        ({"stepping": "two"}, "'drain' or 'one'"),
    ],
)
def test_wrong_values_are_value_errors(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create(**changed)


def test_inputs_have_the_names_that_the_code_will_see() -> None:
    ask = create(inputs={"ﬁn": 1, "größe": 2})
    assert values.decode(ask.inputs) == {"fin": 1, "größe": 2}
    with pytest.raises(ValueError, match="'ﬁn' and another name are both 'fin'"):
        create(inputs={"fin": 1, "ﬁn": 2})
    with pytest.raises(ValueError, match="cannot be a variable"):
        create(inputs={"\N{MATHEMATICAL BOLD SMALL I}\N{MATHEMATICAL BOLD SMALL F}": 1})


def test_a_sessions_name_that_is_too_long_in_bytes_is_told_so() -> None:
    assert _asks.session_name("☃" * 85) == "☃" * 85
    with pytest.raises(ValueError, match="at most 256 bytes"):
        _asks.session_name("☃" * 86)


@pytest.mark.parametrize("made", [AsyncSession, Session])
def test_what_cannot_be_called_is_no_callback(made: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match="on_notify must be a function or None, not int"):
        made(on_notify=5)


def test_what_fits_in_no_message_is_a_limit() -> None:
    with pytest.raises(LimitExceededError) as caught:
        create(source=b"#" * (13 << 20))
    assert (caught.value.limit, caught.value.used) == ("source_bytes", 13 << 20)
    with pytest.raises(LimitExceededError) as caught:
        create(inputs={"a": b"x" * (5 << 20)})
    assert caught.value.limit == "value_bytes"


def test_a_source_over_its_limit_is_left_to_the_supervisor() -> None:
    assert len(create(source=b"#" * (2 << 20)).source) == 2 << 20


@pytest.mark.parametrize(
    ("seconds", "ns"), [(0, 0), (1.5, 1_500_000_000), (math.inf, INTEGER_MAX), (1e30, INTEGER_MAX)]
)
def test_durations(seconds: float, ns: int) -> None:
    assert _asks.observe("c", 1, seconds, take_over=False) == Observe("c", 1, ns, False)


@pytest.mark.parametrize("wrong", [-1, math.nan, "1", True])
def test_wrong_durations(wrong: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        _asks.duration_ns("yield_after", wrong)


def test_any_int_may_be_asked_as_a_generation() -> None:
    assert _asks.resume(Resume, "c", -1, None) == Resume("c", -1, None)
    assert _asks.resume(Step, "c", 2, 3) == Step("c", 2, 3)
    for wrong in ("1", 1.0, True, None):
        with pytest.raises(TypeError):
            _asks.resume(Resume, "c", wrong, None)
    with pytest.raises(ValueError, match="64 bits"):
        _asks.resume(Resume, "c", 2**70, None)


@pytest.mark.parametrize("limit", [0, 1_001])
def test_pages_are_bounded(limit: int) -> None:
    with pytest.raises(ValueError, match=r"1 to 1,000"):
        _asks.page(limit)


def test_stored_values_name_their_key() -> None:
    assert _asks.stored_set("k", 1) == StoredSet("k", values.encode(1))
    assert _asks.stored_delete("k") == StoredSet("k", None)
    with pytest.raises(TypeError, match=r"stored\['k'\]\[0\]"):
        _asks.stored_set("k", [object()])
    with pytest.raises(TypeError, match="must be str"):
        _asks.stored_get(3)
    with pytest.raises(ValueError, match="at most 1,024"):
        _asks.stored_get("k" * 1_025)


@pytest.mark.parametrize(
    "make",
    [
        lambda: use_endpoint("tcp://localhost:1"),
        lambda: use_endpoint("ipc://"),
        lambda: use_endpoint("/a/path"),
        lambda: place_of("dir", "ipc:///x", None, None, Packages()),
        lambda: place_of(None, None, "forever", None, Packages()),
        lambda: place_of(None, "ipc:///x", None, None, Packages(("numpy",))),
        lambda: packages_of(["nu mpy"], ()),
        lambda: packages_of((), ["/no/such/directory"]),
        lambda: place_for_client("tcp://localhost:1"),
        lambda: _asks.session_name(""),
        lambda: _asks.session_name("a\nb"),
        lambda: _asks.session_name("x" * 201),
    ],
)
def test_places_and_names_that_cannot_be(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        make()
