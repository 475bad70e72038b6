"""The zygote is killed alone: its workers die with it, and so does all that they had started."""

from __future__ import annotations

import os
import signal

import psutil
import tidemark

from fakes.cells import completed
from fakes.process_watch import alive
from fakes.waiting import until

DETACHED = """
import subprocess
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
text(child.pid)
yield_control()
await asyncio.sleep(1000)
"""


def test_a_killed_zygote_leaves_no_process_and_a_new_one_serves() -> None:
    with tidemark.Session(replay=False, isolation="process") as session:
        cell = session.create_cell(DETACHED)
        event = cell.observe(yield_after=20)
        item = event.output[0]
        assert isinstance(item, tidemark.Text)
        child, worker = int(item.text), cell.status().pid
        assert worker is not None
        os.kill(psutil.Process(worker).ppid(), signal.SIGKILL)
        end = completed(cell)
        assert (end.reason, end.error) == ("lost", "the zygote was killed")
        until(lambda: not alive(worker), what="the worker's end")
        until(lambda: not alive(child), what="the end of what the cell had started")
        assert completed(session.create_cell("exit('served')")).value == "served"
