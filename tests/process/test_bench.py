"""The benchmarks run, and leave nothing behind. Their figures are nobody's concern here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fakes.waiting import until

PROCESSES_MIN = 6  # two supervisors, two zygotes, two workers: both sides have begun


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A place for journals and sockets whose path is short."""
    with tempfile.TemporaryDirectory(prefix="tmb-") as place:
        yield Path(place)


def command(root: Path, *arguments: str) -> list[str]:
    return [sys.executable, str(root / "bench" / "run.py"), *arguments]


def surroundings(scratch: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(scratch)}


@pytest.mark.parametrize("case", ["create", "cycle-1", "cycle-64", "start"])
def test_each_case_gives_figures(case: str, root: Path, scratch: Path) -> None:
    out = scratch / "figures.json"
    arguments = ["-k", case, "--rounds", "1", "--count", "3", "--json", str(out)]
    ended = subprocess.run(
        command(root, *arguments),
        env=surroundings(scratch),
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ended.returncode == 0, ended.stderr
    figures: dict[str, Any] = json.loads(out.read_text())["cases"][case]
    for side in ("tidemark", "minimum"):
        assert figures[side]["n"] == 3 * figures["cells"]
        assert figures[side]["p50_ms"] > 0
        if case != "start":  # where nobody counts them
            assert figures[side]["commits_per_piece"] > 0
    assert f"| {case} " in ended.stdout
    assert [path.name for path in scratch.iterdir()] == ["figures.json"]


def test_a_case_that_does_not_exist_is_wrong_usage(root: Path) -> None:
    ended = subprocess.run(
        command(root, "-k", "nothing"), capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 2
    assert "nothing" in ended.stderr


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_whatever_ends_it(end: signal.Signals, root: Path, scratch: Path) -> None:
    running = subprocess.Popen(
        command(root, "-k", "cycle-1", "--rounds", "100000"),
        env=surroundings(scratch),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    started: list[psutil.Process] = []
    try:
        until(
            lambda: len(psutil.Process(running.pid).children(recursive=True)) >= PROCESSES_MIN,
            seconds=30.0,
            what="both sides run",
        )
        started = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(end)
        running.wait(30)
        until(lambda: not any(one.is_running() for one in started), what=f"all of {started} end")
        until(lambda: not any(scratch.iterdir()), what="their files are removed")
    finally:
        running.kill()
        running.wait()
        for one in started:
            if one.is_running():
                one.kill()


def test_recovery_gives_figures(root: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(root / "bench" / "recovery.py"), "--cells", "20", "--frontiers", "30"],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ended.returncode == 0, ended.stderr
    finished, paused, long = map(json.loads, ended.stdout.splitlines())
    assert (finished["count"], paused["count"], long["count"]) == (0, 20, 29)
    assert min(each["seconds"] for each in (finished, paused, long)) > 0


def test_kills_are_timed(root: Path, scratch: Path) -> None:
    out = scratch / "figures.json"
    command = [sys.executable, str(root / "bench" / "kills.py"), "--json", str(out)]
    small = ["--rounds", "2", "--inputs", "3", "--cells", "2"]
    ended = subprocess.run(
        [*command, *small],
        env=surroundings(scratch),
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ended.returncode == 0, ended.stderr
    cases = json.loads(out.read_text())["cases"]
    assert [case["n"] for case in cases.values()] == [2, 1]
    assert [path.name for path in scratch.iterdir()] == ["figures.json"]


def test_levels_are_compared(root: Path, scratch: Path) -> None:
    out = scratch / "figures.json"
    command = [sys.executable, str(root / "bench" / "levels.py"), "--json", str(out)]
    ended = subprocess.run(
        [*command, "--rounds", "2", "--kills", "1", "--cells", "1"],
        env=surroundings(scratch),
        capture_output=True,
        text=True,
        timeout=55,
    )
    assert ended.returncode == 0, ended.stderr
    cases = json.loads(out.read_text())["cases"]
    assert cases[0]["level"] == "process"
    assert cases[0]["over_process_ms"] == 0
    for case in cases:
        assert case["n"] == 2
        assert 0 < case["kill_to_end_ms_p50"] <= case["kill_to_reaped_ms_p50"]
    assert [path.name for path in scratch.iterdir()] == ["figures.json"]
