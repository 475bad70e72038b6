"""A stage for tests of the supervisor's core: the production loop on a journal of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from transcripts.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A supervisor whose hosts, workers, disk and clock are played; it has just begun."""
    made = Stage(tmp_path / "journal.db")
    made.run()
    yield made
    made.store.close()
