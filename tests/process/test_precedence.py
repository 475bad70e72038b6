"""Which sessions get the processors first."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
import tidemark

AUTOGROUP = Path("/proc/self/autogroup")


@pytest.mark.skipif(
    os.geteuid() != 0 or not AUTOGROUP.exists(), reason="only root may, and with autogroups"
)
def test_a_supervisor_goes_before_what_waits_for_it_and_nothing_else_does() -> None:
    before = AUTOGROUP.read_text()
    with tidemark.Session() as session:
        session.create_cell("await asyncio.Event().wait()")
        shares = {
            pid: Path(f"/proc/{pid}/autogroup").read_text().split()[-1]
            for pid in [child.pid for child in psutil.Process().children(recursive=True)]
        }
    assert sorted(shares.values())[0] == "-10"
    assert list(shares.values()).count("-10") == 1
    assert AUTOGROUP.read_text() == before
