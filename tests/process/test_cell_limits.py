"""A cell that exceeds a limit of its own ends; the others do not notice."""

from __future__ import annotations

import time
from typing import Any

import pytest
import tidemark
from tidemark import Limits

from fakes.cells import completed, in_state, pending, shown
from fakes.waiting import until


def over(session: tidemark.Session, source: str, **limits: Any) -> tidemark.Completed:
    """The end of a cell with these limits, beside one without."""
    other = session.create_cell("await asyncio.sleep(0.2)\nexit('unharmed')")
    cell = session.create_cell(source, limits=Limits(**limits))
    end = completed(cell)
    assert completed(other).value == "unharmed"
    until(lambda: cell.status().pid is None, seconds=3)
    return end


def test_wall_seconds(session: tidemark.Session) -> None:
    started = time.monotonic()
    for source in (
        "while True: pass",
        "await asyncio.Event().wait()",
        "import ctypes\nctypes.PyDLL(None).sleep(1000)",
    ):
        end = over(session, f"text('on')\nawait asyncio.sleep(0.01)\n{source}", wall_seconds=1.5)
        assert end.reason == "limit"
        assert end.error is not None
        assert "wall_seconds" in end.error
        assert "1.5" in end.error
        assert shown(end) == "on"
    assert 4.5 < time.monotonic() - started < 30


def test_wall_seconds_count_pauses_too(session: tidemark.Session) -> None:
    cell = session.create_pausable_cell(
        "await asyncio.sleep(0.001)", limits=Limits(wall_seconds=2.0)
    )
    pending(cell)
    assert in_state(cell, "completed").reason == "limit"


def test_output_bytes(session: tidemark.Session) -> None:
    end = over(session, "for n in range(100): text('x' * 100)", output_bytes=1000)
    assert end.reason == "limit"
    assert end.error is not None
    assert "output_bytes" in end.error
    assert "1,000" in end.error or "1000" in end.error
    assert 0 < len(shown(end)) <= 1000
    assert shown(over(session, "text('x' * 1000)", output_bytes=1000)) == "x" * 1000


def test_one_output_item_of_more_than_four_mebibytes(session: tidemark.Session) -> None:
    end = completed(session.create_cell("text('x' * (5 * 2**20))"))
    if end.reason == "limit":
        assert end.error is not None
        assert "4,194,304" in end.error
    else:
        assert end.error is None
        assert len(shown(end)) == 5 * 2**20


def test_cpu_seconds(session: tidemark.Session) -> None:
    end = over(session, "text('on')\nyield_control()\nwhile True: pass", cpu_seconds=1)
    assert end.reason in ("limit", "lost")
    assert end.error is not None
    assert "CPU" in end.error or "cpu" in end.error or "XCPU" in end.error


def test_memory_bytes(session: tidemark.Session) -> None:
    end = over(session, "x = bytearray(1 << 30)", memory_bytes=128 << 20)
    assert end.reason in ("limit", "raised")
    assert end.error is not None
    assert "memory" in end.error.lower()
    kept = over(session, "x = bytearray(1 << 20)\nexit(len(x))", memory_bytes=128 << 20)
    assert kept.value == 1 << 20


def test_a_long_step_that_makes_garbage_does_not_grow(session: tidemark.Session) -> None:
    source = """
class Knot:
    def __init__(self):
        self.self = self
        self.weight = bytearray(500)
for _ in range(1_500_000):
    Knot()
exit("light")
"""
    cell = session.create_cell(source, limits=tidemark.Limits(memory_bytes=400 * 1024**2))
    assert completed(cell).value == "light"


def test_memory_that_is_eaten_bit_by_bit(session: tidemark.Session) -> None:
    end = over(
        session, "text('on')\nx = []\nwhile True: x.append(bytes(100_000))", memory_bytes=64 << 20
    )
    assert end.reason in ("limit", "raised", "poison")
    assert end.error is not None


def test_open_files(session: tidemark.Session) -> None:
    end = over(session, "files = [open('/dev/null') for _ in range(500)]", open_files=50)
    assert end.error is not None
    assert "Too many open files" in end.error


def test_file_bytes(session: tidemark.Session) -> None:
    end = over(
        session,
        "with open('big', 'wb', buffering=0) as f:\n    for _ in range(100): "
        "f.write(bytes(10_000))",
        file_bytes=50_000,
    )
    assert end.reason in ("raised", "limit", "lost")
    assert end.error is not None


def test_open_calls(session: tidemark.Session) -> None:
    end = over(session, "calls = [tools.knock(door=str(n)) for n in range(1025)]\nawait calls[0]")
    assert end.reason == "limit"
    assert end.error is not None
    assert "1,024" in end.error


def test_defaults_come_from_the_session(open_session: Any) -> None:
    session = open_session(limits=Limits(output_bytes=10))
    assert completed(session.create_cell("text('x' * 11)")).reason == "limit"
    wider = session.create_cell("text('x' * 11)", limits=Limits(output_bytes=11))
    assert completed(wider).reason == "ended"


@pytest.mark.parametrize("wrong", [True, "1", 1.5])
def test_limits_are_checked_where_they_are_made(wrong: Any) -> None:
    with pytest.raises(TypeError, match="memory_bytes"):
        Limits(memory_bytes=wrong)
    with pytest.raises(ValueError, match="above 0"):
        Limits(cpu_seconds=0)


def test_much_output_arrives_whole(session: tidemark.Session) -> None:
    cell = session.create_cell("for n in range(3000): text(f'{n:05d}' * 1000)")
    text = ""
    event: object = None
    while not isinstance(event, tidemark.Completed):
        event = cell.observe(0.05)
        text += shown(event)  # type: ignore[arg-type]
    assert event.reason == "ended"
    assert text == "".join(f"{n:05d}" * 1000 for n in range(3000))


def test_an_answer_may_take_several_messages(session: tidemark.Session) -> None:
    cell = session.create_cell("for n in range(7): text(str(n) * (3 * 2**20))")
    in_state(cell, "completed")
    end = completed(cell)
    assert len(shown(end)) == 7 * 3 * 2**20
    assert shown(end)[:: 3 * 2**20] == "0123456"
