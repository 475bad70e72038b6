"""The small parts of a worker: timers, tracebacks, images, and the removal of files."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tidemark.protocol import limits
from tidemark.worker import scratch, traces
from tidemark.worker.end_causes import cause
from tidemark.worker.exits import EXIT_DEFECT, EXIT_NO_MEMORY
from tidemark.worker.isolation.quarters import Berth
from tidemark.worker.output import image_uri, printable
from tidemark.worker.timers import SECOND_NS, SWEEP_MIN, Timers


@pytest.fixture
def loop() -> object:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_timers_fire_in_order_of_time_then_of_making(loop: asyncio.AbstractEventLoop) -> None:
    timers = Timers()
    made = [asyncio.TimerHandle(when, print, (), loop) for when in (3.0, 1.0, 2.0, 1.0)]
    for handle in made:
        timers.add(handle)
    assert timers.next_ns() == SECOND_NS
    assert timers.take_due(2 * SECOND_NS) == [made[1], made[3], made[2]]
    assert timers.next_ns() == 3 * SECOND_NS
    made[0].cancel()
    assert timers.next_ns() is None


def test_a_timer_at_infinity_never_fires_and_nan_is_refused(
    loop: asyncio.AbstractEventLoop,
) -> None:
    timers = Timers()
    timers.add(asyncio.TimerHandle(float("inf"), print, (), loop))
    assert timers.next_ns() is None
    with pytest.raises(ValueError, match="nan"):
        timers.add(asyncio.TimerHandle(float("nan"), print, (), loop))


def test_cancelled_timers_are_swept_out(loop: asyncio.AbstractEventLoop) -> None:
    timers = Timers()
    made = [asyncio.TimerHandle(float(when), print, (), loop) for when in range(1, 1_000)]
    for handle in made:
        timers.add(handle)
    for handle in made[: -SWEEP_MIN - 1]:
        handle.cancel()
        timers.cancelled()
    assert timers.next_ns() == int(made[-SWEEP_MIN - 1].when() * SECOND_NS)
    assert len(timers.take_due(10_000 * SECOND_NS)) == SWEEP_MIN + 1


def test_a_long_traceback_keeps_head_and_tail() -> None:
    text = traces.bounded("first\n" + "x" * 100_000 + "\nlast")
    assert text.startswith("first\n")
    assert text.endswith("\nlast")
    assert "bytes left out" in text
    assert len(text) <= limits.TRACEBACK_BYTES_MAX


def test_a_worker_that_had_no_memory_to_say_so_has_ended_by_its_limit() -> None:
    limited = Berth("work", limits.Limits(memory_bytes=1_000))
    assert cause(EXIT_NO_MEMORY, 0, limited) == ("memory_bytes", 1_000)
    assert cause(EXIT_DEFECT, 0, limited) == ("", 0)
    assert cause(EXIT_NO_MEMORY, 0, Berth("work", limits.Limits())) == ("", 0)


def chain(length: int) -> BaseException:
    error: BaseException = ValueError("first")
    for number in range(length):
        outer = RuntimeError(f"number {number}")
        outer.__cause__ = error
        error = outer
    return error


def nested(depth: int) -> BaseException:
    error: BaseException = ValueError("inner")
    for _ in range(depth):
        error = BaseExceptionGroup("group", [error])
    return error


class Hostile(Exception):
    def __getattribute__(self, name: str) -> object:
        raise SystemExit("attribute")

    def __str__(self) -> str:
        raise KeyboardInterrupt


class Stranger(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise ValueError("no name")


class Nameless(Exception, metaclass=Stranger):
    pass


@pytest.mark.parametrize(
    ("error", "word"),
    [
        pytest.param(chain(3_000), "number 2999", id="chain"),
        pytest.param(nested(2_000), "group", id="deep-group"),
        pytest.param(BaseExceptionGroup("wide", [ValueError(1)] * 9_999), "wide", id="wide-group"),
        pytest.param(Hostile(), "Hostile", id="hostile"),
        pytest.param(Nameless(), "Nameless", id="nameless"),
        pytest.param(ValueError("\ud800" + "x" * 10**7), "bytes left out", id="large"),
    ],
)
def test_any_exception_can_be_described(error: BaseException, word: str) -> None:
    text = traces.describe(error)
    assert word in text
    assert len(text.encode()) <= limits.TRACEBACK_BYTES_MAX


def test_a_cycle_of_causes_ends() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert "one" in traces.describe(one)


def test_lone_surrogates_are_replaced() -> None:
    assert printable("a\ud800b") == "a?b"
    assert printable("äö") == "äö"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PNG\r\n\x1a\nx", "png"),
        (b"\xff\xd8\xffx", "jpeg"),
        (b"GIF89ax", "gif"),
        (b"RIFF\0\0\0\0WEBPx", "webp"),
    ],
)
def test_images_are_known_by_their_first_bytes(content: bytes, kind: str) -> None:
    assert image_uri(content).startswith(f"data:image/{kind};base64,")


@pytest.mark.parametrize("value", ["https://example.org/x.png", "x.png", b"not an image"])
def test_what_is_no_image_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"image\(\) takes"):
        image_uri(value)


def test_an_image_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="not int"):
        image_uri(5)


def test_a_tree_is_removed_however_deep_and_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    work = Path(scratch.make(str(tmp_path), "w1"))
    (work / "link").symlink_to(outside)
    (work / "moved-1").mkdir()
    (work / "moved-1" / "file").write_text("x")
    here = os.getcwd()
    try:
        os.chdir(work)
        for _ in range(3_000):
            os.mkdir("deeper")
            os.chdir("deeper")
        Path("file").write_text("x")
        os.chmod(".", 0)
    finally:
        os.chdir(here)
    scratch.remove(str(work))
    assert not work.exists()
    assert (outside / "kept").exists()
    scratch.remove(str(work))
