"""The journal on a disk whose power fails: every commit that was acknowledged is there, whole.

The real store commits through the real SQLite; what that does to its files is written down, and at
many moments a disk is made that has all that was synced and a random part of the rest. With weaker
settings the same test finds losses: it can fail. `--power-cuts N` makes more of them.
"""

from __future__ import annotations

import random
import sqlite3
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from tidemark.protocol import values
from tidemark.protocol.errors import JournalError
from tidemark.protocol.ids import NO_REQUEST, Incarnation, cell_id
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import CellKind, EventKind, OutputKind, PackedOutput, Stepping
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.facts import EventMark
from tidemark.supervisor.shell import checkpoints
from tidemark.supervisor.shell import journal_schema as schema
from tidemark.supervisor.shell.journal_check import check
from tidemark.supervisor.shell.snapshot import Snapshot
from tidemark.supervisor.shell.sqlite_store import SqliteStore

from fakes.power_cut import Disk
from fakes.sqlite_files import Step, Write, library, recorded

COMMITS = 160
NAME = "journal.db"

Rows = list[tuple[int, str, bytes, bytes]]


@dataclass
class Cell:
    """A cell that puts out text, hands it over, and hears that it was received."""

    name: str
    seq: int = 0
    total: int = 0
    start: int = 0
    events: int = 0

    def created(self) -> r.Entry:
        record = r.CellCreated(
            self.name, "s", CellKind.CONTINUING, Stepping.DRAIN, "", Limits(), 5, NO_REQUEST,
            "", bytes(16), 0, 1, "text(1)", b"\x80",
        )  # fmt: skip
        return r.Entry(self.name, record)

    def speaks(self, chance: random.Random) -> list[r.Entry]:
        contents, steps = [], []
        for _ in range(chance.randint(1, 3)):
            text = chance.choice("abc") * chance.choice([10, 500, 5_000, 60_000])
            body = schema.pack_output(PackedOutput(self.total, OutputKind.TEXT, text, None))
            contents.append(r.Content(self.name, r.OUTPUT, self.total, body))
            steps.append(r.Put(OutputKind.TEXT, len(text), values.digest(text.encode())))
            self.total += 1
        self.seq += 1
        self.events += 1
        said = r.WorkerSaid(Incarnation(1, 1), self.seq, (), tuple(steps))
        mark = EventMark(EventKind.YIELDED, self.events, self.start, self.total)
        self.start = self.total
        return [
            r.Entry(self.name, said, tuple(contents)),
            r.Entry(self.name, r.YieldMade(mark)),
        ]

    def is_heard(self) -> list[r.Entry]:
        return [r.Entry(self.name, r.EventAcknowledged(self.events))]


@dataclass
class Story:
    """What was done, and what somebody was told: commit `last` was there after so many steps."""

    steps: list[Step] = field(default_factory=list)
    told: list[tuple[int, int]] = field(default_factory=list)
    rows: Rows = field(default_factory=list)

    def acknowledged(self, steps: int) -> int:
        return max((last for done, last in self.told if done <= steps), default=0)


def rows_of(sql: sqlite3.Connection) -> Rows:
    return sql.execute("SELECT n, scope, body, chain FROM records ORDER BY n").fetchall()


def tell(path: Path, seed: int, settings: str) -> Story:
    """Many commits, with checkpoints in between, and sometimes another life."""
    sqlite = library()
    if sqlite is None:
        pytest.skip("this Python's sqlite3 has SQLite inside and shows no function of it")
    chance = random.Random(seed)
    story = Story()
    cells = [Cell(cell_id(number, 7)) for number in range(1, 4)]
    with recorded(sqlite) as recorder:
        store = _opened(path, settings)
        for number in range(COMMITS):
            batch = [cell.created() for cell in cells] if number == 0 else []
            for cell in chance.sample(cells, chance.randint(1, 3)):
                batch += cell.speaks(chance) if chance.random() < 0.8 else []
                batch += cell.is_heard() if chance.random() < 0.5 and cell.events else []
            if batch:
                last = store.commit(batch, 10 + number)
                story.told.append((len(recorder.steps), last))
            if chance.random() < 0.03:
                store.close()
                store = _opened(path, settings)
        story.rows = rows_of(store._sql)
        store.close()
        story.steps = recorder.steps
    return story


def _opened(path: Path, settings: str) -> SqliteStore:
    if settings == "thread":
        return SqliteStore(path, "power", in_thread=True)
    store = SqliteStore(path, "crash" if settings == "crash" else "power")
    store._sql.execute("PRAGMA wal_autocheckpoint = 64")
    if settings == "off":
        store._sql.execute("PRAGMA synchronous = OFF")
    return store


def look(story: Story, image: dict[str, bytes], done: int, place: Path) -> str:
    """What is wrong with what was left of the disk; empty when nothing is."""
    place.mkdir()
    for name, content in image.items():
        (place / name).write_bytes(content)
    try:
        store = SqliteStore(place / NAME, "crash")
    except JournalError as error:
        return f"damaged: {error}"
    store._sql.execute("PRAGMA synchronous = OFF")  # nobody needs this one afterwards
    try:
        last, rows = store.last_number, rows_of(store._sql)
        with Snapshot(place / NAME) as snapshot:
            findings = check(snapshot, lambda stage, done, total: None).findings
    except (JournalError, sqlite3.Error) as error:
        return f"damaged: {error}"
    finally:
        store.close()
    if findings:
        return f"damaged: {findings[0]}"
    if rows != story.rows[: len(rows)]:
        return "damaged: other records than were written"
    if last not in {0, *(last for _, last in story.told)}:
        return f"damaged: half of a commit, up to {last}"
    if last < story.acknowledged(done):
        return f"lost: {last} of {story.acknowledged(done)}"
    return ""


def cut_often(story: Story, cuts: int, seed: int, tmp_path: Path) -> list[str]:
    """The power fails at so many moments; what was wrong after each."""
    chance = random.Random(seed)
    disk = Disk()
    found = []
    taken = 0
    for number, done in enumerate(sorted(chance.choices(range(len(story.steps) + 1), k=cuts))):
        disk.take(story.steps[taken:done])
        taken = done
        place = tmp_path / f"cut-{seed}-{number}"
        found.append(look(story, disk.after_a_power_cut(chance), done, place))
    return found


@pytest.fixture
def cuts(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--power-cuts"))


@pytest.mark.timeout(0)
def test_power_keeps_every_acknowledged_commit(tmp_path: Path, cuts: int) -> None:
    for seed in range(1, max(2, cuts // 500 + 1)):
        told = tmp_path / f"told-{seed}"
        told.mkdir()
        story = tell(told / NAME, seed, "power")
        found = cut_often(story, min(cuts, 500), seed, tmp_path)
        assert not any(found), (seed, [each for each in found if each][:3])


@pytest.mark.timeout(0)
@pytest.mark.parametrize("at_once", [checkpoints.PAGES_AT_ONCE, 32])
def test_power_keeps_every_commit_while_a_thread_moves_the_log(
    tmp_path: Path, cuts: int, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Also when it moves most of it without a sync, for the system to write it out first."""
    sent: list[Path] = []
    monkeypatch.setattr(checkpoints, "write_out", sent.append)
    monkeypatch.setattr(checkpoints, "PAGES", 64)
    monkeypatch.setattr(checkpoints, "PAGES_AT_ONCE", at_once)
    story = tell(tmp_path / NAME, 1, "thread")
    names = [step.path for step in story.steps if isinstance(step, Write)]
    turns = sum(one != two for one, two in pairwise(names))
    assert turns > 20, "it was not moved while commits went on"
    assert bool(sent) == (at_once < checkpoints.PAGES), "this is not how it was moved"
    found = cut_often(story, min(cuts, 200), 1, tmp_path)
    assert not any(found), [each for each in found if each][:3]


def test_crash_loses_the_end_and_nothing_else(tmp_path: Path) -> None:
    story = tell(tmp_path / NAME, 1, "crash")
    found = cut_often(story, 40, 1, tmp_path)
    assert any(each.startswith("lost") for each in found)
    assert not [each for each in found if each.startswith("damaged")]


def test_without_syncs_the_same_test_finds_damage(tmp_path: Path) -> None:
    story = tell(tmp_path / NAME, 1, "off")
    found = cut_often(story, 40, 1, tmp_path)
    assert any(each.startswith("lost") for each in found)
    assert any(each.startswith("damaged") for each in found)
