"""A supervisor that ends by a defect of its own is as good as killed: its journal stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from fakes.waiting import until


def stumbling(state: Path) -> subprocess.Popen[bytes]:
    """A private supervisor of ours that fails once there is a file `trip` in its directory."""
    source = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tidemark.supervisor.shell.loop import Loop\n"
        "beat = Loop.beat\n"
        "def stumble(self):\n"
        "    if Path(sys.argv[2], 'trip').exists():\n"
        "        raise RuntimeError('a defect')\n"
        "    return beat(self)\n"
        "Loop.beat = stumble\n"
        "from tidemark.supervisor.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    own = ["--private", "--host-pid", str(os.getpid())]
    return subprocess.Popen(
        [sys.executable, "-c", source, "--state", str(state), *own],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def test_a_private_journal_outlives_a_defect(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with stumbling(state) as supervisor:
        until(lambda: (state / "supervisor.json").exists(), what="the supervisor")
        (state / "trip").touch()
        supervisor.wait(timeout=30)  # its standard input stays open: its host is still there
        assert supervisor.stderr is not None
        errors = supervisor.stderr.read()
    assert supervisor.returncode == 1
    assert b"RuntimeError: a defect" in errors
    assert b"ends (a defect)" in errors
    assert (state / "journal.db").exists()
    # As after a kill: whoever looks knows by it that a successor is wanted.
    assert json.loads((state / "supervisor.json").read_text())["pid"] == supervisor.pid
