"""Every limit of every level that this machine gives: what ends a cell, and how that reads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import pytest
import tidemark
from tidemark import Limits
from tidemark.protocol.limits import CELL_OUTPUT_BYTES_MAX, LIMITS_OF_LEVEL

from fakes.cells import completed
from fakes.running_supervisor import RunningSupervisor
from fakes.waiting import until

MIB: Final = 1024 * 1024


@dataclass(frozen=True)
class Case:
    """A cell that goes beyond one limit.

    Attributes:
        levels: at which the system keeps this limit for each cell.
    """

    limits: Limits
    source: str
    levels: tuple[str, ...] = ("process", "restricted", "sealed")


# Only what is beyond the limit matters: a cell has to be able to begin under each of them.
CASES: Final = {
    "memory_bytes": Case(Limits(memory_bytes=128 * MIB), "x = bytearray(1 << 30)"),
    "cpu_seconds": Case(Limits(cpu_seconds=1), "while True: pass"),
    "wall_seconds": Case(Limits(wall_seconds=0.5), "await asyncio.Event().wait()"),
    "lifetime_seconds": Case(Limits(lifetime_seconds=0.5), "await tools.never()"),
    "output_bytes": Case(Limits(output_bytes=1_000), "for n in range(100): text('x' * 100)"),
    "open_files": Case(Limits(open_files=20), "x = [open('/dev/null') for _ in range(200)]"),
    "processes": Case(
        Limits(processes=10),
        "import threading\nnever = threading.Event()\n"
        "for _ in range(100): threading.Thread(target=never.wait, daemon=True).start()",
        ("restricted", "sealed"),
    ),
    "file_bytes": Case(
        Limits(file_bytes=50_000),
        "with open('big', 'wb', buffering=0) as file:\n"
        "    for _ in range(100): file.write(bytes(10_000))",
    ),
    "work_bytes": Case(
        Limits(work_bytes=MIB),
        "for n in range(40):\n    with open(str(n), 'wb') as file: file.write(bytes(90_000))",
        ("sealed",),
    ),
}
# Output has one bound at every level, and a cell may wait for days unless its host says otherwise.
UNBOUNDED: Final = {"output_bytes", "wall_seconds", "lifetime_seconds"}


@pytest.fixture(scope="module")
def running() -> Iterator[RunningSupervisor]:
    with tempfile.TemporaryDirectory(prefix="tm", ignore_cleanup_errors=True) as directory:
        supervisor = RunningSupervisor(Path(directory) / "state", "--durability", "crash")
        try:
            yield supervisor
        finally:
            supervisor.close()


@pytest.fixture(params=["process", "restricted", "sealed"])
def at_level(
    request: pytest.FixtureRequest, running: RunningSupervisor
) -> Iterator[tidemark.Session]:
    never_answers = tidemark.Tool(name="never", external=True)
    try:
        session = tidemark.Session(
            endpoint=running.endpoint, isolation=request.param, tools=[never_answers]
        )
        session.open()
    except tidemark.IsolationUnavailableError as error:
        pytest.skip(f"{request.param}: {error}")
    with session:
        yield session
        session.close()


def level_of(session: tidemark.Session) -> str:
    assert session.isolation is not None
    return session.isolation


def test_every_limit_is_here() -> None:
    assert set(CASES) == {field.name for field in fields(Limits)}


@pytest.mark.parametrize("name", CASES)
def test_a_cell_beyond_a_limit_ends_with_its_name_its_value_and_what_was_used(
    at_level: tidemark.Session, name: str
) -> None:
    case = CASES[name]
    if level_of(at_level) not in case.levels:
        pytest.skip("the system does not keep this limit for each cell at this level")
    other = at_level.create_cell("await asyncio.sleep(0.1)\nexit('unharmed')")
    cell = at_level.create_cell(case.source, limits=case.limits)
    end = completed(cell)
    assert end.reason == "limit", (end.reason, end.error)
    value = getattr(case.limits, name)
    text = end.error or ""
    assert text.startswith(f"LimitExceededError: {name}: at most {value:,} are allowed, ")
    first = text.splitlines()[0]
    assert "used" in first
    assert first.endswith(f"a host can set it with Limits({name}=...)")
    assert completed(other).value == "unharmed"
    until(lambda: cell.status().pid is None, seconds=3)


def test_the_defaults_of_its_level_hold(at_level: tidemark.Session) -> None:
    level = level_of(at_level)
    if level == "process":
        pytest.skip("the machine is the limit there")
    default = LIMITS_OF_LEVEL[level]
    assert default.memory_bytes is not None
    assert default.open_files is not None
    sources = {
        "memory_bytes": f"x = bytearray({default.memory_bytes + 16 * MIB})",
        "open_files": f"x = [open('/dev/null') for _ in range({default.open_files + 40})]",
        "file_bytes": f"with open('f', 'wb') as file: file.truncate({default.file_bytes} + 1)",
    }
    if level == "sealed":
        sources["work_bytes"] = (
            "for n in range(10):\n    with open(str(n), 'wb') as file:\n"
            f"        for _ in range({(default.work_bytes or 0) // 8 // MIB}): "
            f"file.write(bytes({MIB}))"
        )
    for name, source in sources.items():
        end = completed(at_level.create_cell(source))
        value = getattr(default, name)
        assert (end.error or "").startswith(f"LimitExceededError: {name}: at most {value:,} are")
        assert end.reason == "limit"


def test_the_worker_takes_no_large_piece_of_what_a_cell_may_have(
    running: RunningSupervisor,
) -> None:
    """As the malloc of a second thread does, some time after the limit is set or just before."""
    source = """
import threading
thread = threading.Thread(target=lambda: [bytes(600) for _ in range(10_000)])
thread.start()
thread.join()
with open("/proc/self/maps") as maps:
    rows = [line.split() for line in maps]
exit([row for row in rows if row[1] == "---p" and len(row) == 5])
"""
    with tidemark.Session(endpoint=running.endpoint, isolation="process") as session:
        reserved = completed(session.create_cell(source)).value
        session.close()
    sizes = [int(high, 16) - int(low, 16) for low, high in (row[0].split("-") for row in reserved)]
    assert max(sizes, default=0) < 16 * MIB


def test_every_level_names_its_defaults() -> None:
    for level in ("restricted", "sealed"):
        default = LIMITS_OF_LEVEL[level]
        unset = {field.name for field in fields(Limits) if getattr(default, field.name) is None}
        assert unset - UNBOUNDED == ({"work_bytes"} if level == "restricted" else set())
    assert CELL_OUTPUT_BYTES_MAX == 64 * MIB


def test_a_cell_has_its_own_limit_and_else_that_of_its_session(running: RunningSupervisor) -> None:
    source = "x = [open('/dev/null') for _ in range(60)]\nexit(len(x))"
    with tidemark.Session(endpoint=running.endpoint, limits=Limits(open_files=20)) as session:
        assert completed(session.create_cell(source)).reason == "limit"
        wider = session.create_cell(source, limits=Limits(open_files=100))
        assert completed(wider).value == 60
        session.close()


def test_waiting_for_a_tool_does_not_count_unless_asked(at_level: tidemark.Session) -> None:
    patient = at_level.create_cell("await tools.never()", limits=Limits(wall_seconds=1.5))
    impatient = at_level.create_cell("await tools.never()", limits=Limits(lifetime_seconds=2.5))
    assert "lifetime_seconds" in (completed(impatient).error or "")
    status = patient.status()
    assert status.state == "idle"
    assert status.waiting_on


def test_a_limit_that_the_cell_deals_with_itself_is_not_its_end(at_level: Any) -> None:
    source = """
try:
    x = bytearray(1 << 30)
except MemoryError:
    exit("did without")
"""
    cell = at_level.create_cell(source, limits=Limits(memory_bytes=128 * MIB))
    assert completed(cell).value == "did without"


def test_the_document_has_these_defaults(root: Path) -> None:
    document = (root / "docs" / "SECURITY.md").read_text(encoding="utf-8")
    for field in fields(Limits):
        shown = []
        for level in LIMITS_OF_LEVEL:
            value = getattr(LIMITS_OF_LEVEL[level], field.name)
            if field.name == "output_bytes":
                value = CELL_OUTPUT_BYTES_MAX
            shown.append("-" if value is None else f"{value:,}")
        assert f"| `{field.name}` | {' | '.join(shown)} | " in document
