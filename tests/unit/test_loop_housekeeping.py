"""What a loop does beside what it is asked for: acknowledgements, retirement, damaged cells."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from tidemark.protocol import host_answers as a
from tidemark.protocol import host_requests as h
from tidemark.protocol import limits
from tidemark.protocol import worker_messages as w
from tidemark.protocol.packed import CellKind
from tidemark.supervisor.core import events as e
from tidemark.supervisor.shell.journal_check import check
from tidemark.supervisor.shell.snapshot import Snapshot
from tidemark.supervisor.shell.sqlite_store import SqliteStore

from fakes.later_lives import paused
from transcripts import saying
from transcripts.players import Host
from transcripts.stage import MS, SECOND, Stage

DAY = 86_400 * SECOND


def ended_cell(stage: Stage, host: Host) -> str:
    """A cell that has ended, and whose end has been observed."""
    cell = host.creates(CellKind.CONTINUING)
    stage.worker(cell).hello().says(saying.text("a"), saying.ended())
    return cell


def asks_every(stage: Stage, host: Host, every_ns: int, times: int) -> None:
    """Requests that write nothing, each read by a beat of its own: the loop is never idle."""
    for _ in range(times):
        stage.clock.ns += every_ns
        host.requests.append(h.Request(host.attachment, len(host.requests) + 1, 0, (), h.AskInfo()))
        stage.wires.arrived.append(e.HostAsked(host.connection, host.requests[-1]))
        stage.loop.beat()


def test_acknowledgements_are_written_beside_steady_questions(stage: Stage) -> None:
    host = stage.host("tides")
    cell = ended_cell(stage, host)
    number = host.observes(cell).event.number
    last = stage.store.last_number
    host.ask(h.AskInfo(), (cell, number))
    asks_every(stage, host, 500 * MS, 4)
    assert stage.store.last_number > last


def test_retirement_happens_beside_steady_questions(stage: Stage) -> None:
    host = stage.host("tides")
    cell = ended_cell(stage, host)
    stage.clock.ns += 31 * DAY
    asks_every(stage, host, 500 * MS, 40)
    assert stage.store.cell_records(cell) == []


def test_no_record_of_a_cell_follows_its_retirement(stage: Stage) -> None:
    host = stage.host("tides")
    cell = ended_cell(stage, host)
    stage.crash()
    stage.clock.ns += 31 * DAY
    stage.restart()
    host.reconnects()
    stage.passes(300 * MS)
    number = host.observes(cell).event.number
    stage.passes(500 * MS)
    host.ask(h.AskInfo(), (cell, number))
    stage.clock.ns += 300 * MS
    stage.run()
    stage.passes(10 * SECOND)
    with Snapshot(stage.path) as snapshot:
        assert check(snapshot, lambda *_: None).findings == []


def test_a_full_disk_collects_no_moments(stage: Stage) -> None:
    host = stage.host("tides")
    cell = host.creates(CellKind.CONTINUING)
    stage.worker(cell).hello().says(w.Waited(0, stage.clock.ns + SECOND, ()))
    stage.store.full = True
    stage.passes(60 * SECOND)
    assert stage.loop.stalled == []


def damage(stage: Stage, cell: str) -> None:
    stage.store._sql.execute(
        "UPDATE records SET body = x'c1' WHERE n = (SELECT max(n) FROM records WHERE scope = ?)",
        (cell,),
    )


def test_a_cell_with_a_damaged_record_hinders_no_start_and_no_other_cell(
    stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    host = stage.host("tides")
    bad, good = host.creates(CellKind.CONTINUING), host.creates(CellKind.CONTINUING)
    stage.worker(bad).hello()
    worker = stage.worker(good).hello()
    damage(stage, bad)
    stage.crash()
    stage.restart()
    assert bad in capfd.readouterr().err
    host.reconnects()
    for ask in (h.AskStatus(bad), h.Terminate(bad, 0), h.AskHistory(bad, 0, 10)):
        refused = host.ask(ask)
        assert isinstance(refused, a.Refused)
        assert (refused.code, "tidemark check" in refused.message) == ("journal", True)
    worker.adopted()
    worker.says(saying.ended())
    assert host.ask(h.AskStatus(good)).state == "completed"


def test_a_finished_cell_with_a_damaged_record_is_refused(stage: Stage) -> None:
    host = stage.host("tides")
    cell = ended_cell(stage, host)
    damage(stage, cell)
    stage.crash()
    stage.restart()
    host.reconnects()
    for ask in (h.AskStatus(cell), h.AskHistory(cell, 0, 10)):
        assert isinstance(host.ask(ask), a.Refused)
    assert ended_cell(stage, host) != cell


def test_a_worker_that_invents_ticks_in_its_replay_is_ended(stage: Stage) -> None:
    host, cell, first = paused(stage)
    first.ends(-9)
    host.sends(h.Resume(cell, 1, None))
    worker = stage.worker(cell)
    worker.hello()
    many = tuple((number, number) for number in range(1, limits.ITEMS_MAX // 2))
    for seq in (1, 2, 3):
        worker.sends(w.Said(worker.epoch, seq, many, (), 0))
    final = stage.loop.fleet.cells[cell].cell.final
    assert final is not None
    assert "ticks of the clock" in (final.error or "")
    stage.crash()
    stage.restart()  # and what was written can be read


def test_the_journal_is_the_owners_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    store = SqliteStore(tmp_path / "journal.db", "crash")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    store.close()
    assert set(modes.values()) == {0o600}, modes


def test_what_is_asked_with_every_write_has_an_index(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "journal.db", "crash")
    plans = [
        "SELECT min(stored_version) FROM cells WHERE session = 's' AND state = ''",
        "DELETE FROM keys WHERE gone_ns < 7",
        "SELECT id FROM cells WHERE state <> '' AND seen = 1 AND since_ns < 7 "
        "ORDER BY since_ns LIMIT 5",
    ]
    for query in plans:
        plan = " ".join(row[3] for row in store._sql.execute(f"EXPLAIN QUERY PLAN {query}"))
        assert "SEARCH" in plan, plan
        assert "SCAN" not in plan, plan
        assert "TEMP B-TREE" not in plan, plan
    store.close()


def test_written_keys_are_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STORED_KEYS_MAX", 3)
    host = stage.host("tides")
    for key in "abc":
        assert host.ask(h.StoredSet(key, b"\x01")) == a.Done()
    assert host.ask(h.StoredSet("a", b"\x02")) == a.Done()
    refused = host.ask(h.StoredSet("d", b"\x01"))
    assert isinstance(refused, a.Refused)
    assert "stored_keys: at most 3" in refused.message
    assert host.ask(h.StoredSet("a", None)) == a.Done()
    assert host.ask(h.StoredSet("d", b"\x01")) == a.Done()

    cell = host.creates(CellKind.CONTINUING)
    stage.worker(cell).hello().says(saying.wrote("e", 1))
    assert "stored_keys: at most 3 are allowed, 4 were used" in ended_with(host, cell)


def test_what_others_have_published_meanwhile_counts_at_the_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STORED_KEYS_MAX", 3)
    host = stage.host("tides")
    cells = [host.creates(CellKind.CONTINUING) for _ in range(2)]
    workers = [stage.worker(cell).hello() for cell in cells]
    for worker, keys in zip(workers, ("ab", "cd"), strict=True):
        worker.says(*(saying.wrote(key, 1) for key in keys))
    for worker in workers:
        worker.says(saying.ended())
    assert "stored_keys: at most 3 are allowed, 4 were used" in ended_with(host, cells[1])
    assert host.ask(h.StoredKeys()) == a.KeysGiven(("a", "b"))


def test_a_session_that_has_more_than_it_may_can_delete_and_run_cells(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = stage.host("tides")
    for key in "abc":
        host.ask(h.StoredSet(key, b"\x01"))
    monkeypatch.setattr(limits, "STORED_KEYS_MAX", 1)  # as in a journal from before the bound
    assert host.ask(h.StoredSet("a", None)) == a.Done()
    cell = ended_cell(stage, host)
    assert host.observes(cell).event.error is None


def test_deletions_are_bounded_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STORED_KEYS_MAX", 3)
    host = stage.host("tides")
    cell = host.creates(CellKind.CONTINUING)
    stage.worker(cell).hello().says(*(w.Wrote(key, None, bytes(16), 0) for key in "abcd"))
    assert "stored_keys: at most 3 are allowed, 4 were used" in ended_with(host, cell)


def test_the_names_of_keys_are_bounded_together(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STORED_KEYS_BYTES_MAX", 10)
    host = stage.host("tides")
    assert host.ask(h.StoredSet("12345", b"\x01")) == a.Done()
    refused = host.ask(h.StoredSet("123456", b"\x01"))
    assert isinstance(refused, a.Refused)
    assert "stored_keys_bytes: at most 10" in refused.message


def ended_with(host: Host, cell: str) -> str:
    error = host.observes(cell).event.error
    assert isinstance(error, str)
    return error


def test_a_list_of_the_most_keys_is_one_message() -> None:
    assert limits.STORED_KEYS_MAX <= limits.ITEMS_MAX
    most = limits.STORED_KEYS_BYTES_MAX + 5 * limits.STORED_KEYS_MAX
    assert most < limits.MESSAGE_BYTES_MAX
