"""A stage for tests of the supervisor's core, on a journal of its own; and a journal alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tidemark.supervisor.shell.sqlite_store import SqliteStore

from transcripts.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A supervisor whose hosts, workers, disk and clock are played; it has just begun."""
    made = Stage(tmp_path / "journal.db")
    made.run()
    yield made
    made.store.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A new journal that nobody else has."""
    store = SqliteStore(tmp_path / "journal.db", "crash")
    yield store
    store.close()
