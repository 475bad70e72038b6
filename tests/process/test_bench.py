"""The benchmarks run, and leave nothing behind. Their figures are nobody's concern here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fakes.waiting import until

INTERRUPTED_STATUS = 130
INTERRUPTED = """
import subprocess
from minimum.host import MinimumHost

def interrupted(*_, **__):
    raise KeyboardInterrupt

subprocess.Popen = interrupted
MinimumHost("crash")
"""


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A place for journals and sockets whose path is short."""
    with tempfile.TemporaryDirectory(prefix="tmb-") as place:
        yield Path(place)


def command(root: Path, *arguments: str | Path) -> list[str]:
    return [sys.executable, str(root / "bench" / "run.py"), *map(str, arguments)]


def surroundings(scratch: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(scratch)}


CASES = [
    "cycle-1",
    "cycle-4",
    "cycle-16",
    "cycle-64",
    "cycle-256",
    "step-1",
    "step-64",
    "create-process",
    "create",
    "burst",
    "killed-told",
    "killed-resumed",
    "start",
    "memory",
    "paused-many",
    "cycle-among-many",
]
COUNTED = ("cycle", "step", "create", "burst")  # cases of which somebody counts the commits


def ran(root: Path, scratch: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(root, *arguments),
        env=surroundings(scratch),
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.mark.timeout(120)
@pytest.mark.parametrize("case", CASES)
def test_each_case_gives_figures(case: str, root: Path, scratch: Path) -> None:
    out = scratch / "out" / "figures.json"
    small = ["--rounds", "1", "--count", "2", "--many", "6"]
    sides = ["--only", "tidemark", "minimum"]
    ended = ran(root, scratch, "-k", case, *small, *sides, "--json", str(out))
    assert ended.returncode == 0, ended.stderr
    figures: dict[str, Any] = json.loads(out.read_text())["cases"][case]
    for side in ("tidemark", "minimum"):
        found = figures["sides"][side]
        assert 1 <= found["n"] <= 2 * figures["cells"]
        assert found["p50"] > 0
        if case.startswith(COUNTED):
            assert found["commits"] > 0
    assert figures["musts"] or case in {"cycle-4", "cycle-16", "cycle-256"}
    assert all(must["met"] is not None for must in figures["musts"] if is_own(must))
    assert f"| {case} " in ended.stdout
    assert [path.name for path in scratch.iterdir()] == ["out"]


def is_own(must: dict[str, Any]) -> bool:
    """Whether its figure is there with few pieces and without peers."""
    return must["figure"] != "p99" and must["against"] in {"minimum", "tidemark alone"}


def test_every_case_is_tested(root: Path) -> None:
    ended = subprocess.run(
        command(root, "-k", "nothing"), capture_output=True, text=True, timeout=30
    )
    said = ended.stderr.strip().partition("there are ")[2]
    assert said.split(", ") == CASES


def test_a_peer_of_the_standard_library_is_measured(root: Path, scratch: Path) -> None:
    out = scratch / "out" / "figures.json"
    small = ["--rounds", "1", "--count", "2", "--only", "executor", "monty"]
    ended = ran(root, scratch, "-k", "killed-told", *small, "--json", str(out))
    assert ended.returncode == 0, ended.stderr
    sides = json.loads(out.read_text())["cases"]["killed-told"]["sides"]
    assert sides["executor"]["p50"] > 0
    assert [path.name for path in scratch.iterdir()] == ["out"]


def test_a_peer_that_is_not_installed_is_named_with_the_reason(root: Path, scratch: Path) -> None:
    peers = scratch / "peers"
    peers.mkdir()
    reason = "No matching distribution found for pydantic-monty"
    (peers / "installed.json").write_text(json.dumps({"monty": {"reason": reason}}))
    out = scratch / "out" / "figures.json"
    ended = subprocess.run(
        command(root, "-k", "cycle-1", "--rounds", "1", "--only", "monty", "dbos", "--json", out),
        env=surroundings(scratch) | {"TIDEMARK_BENCH_PEERS": str(peers)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ended.returncode == 0, ended.stderr
    sides = json.loads(out.read_text())["cases"]["cycle-1"]["sides"]
    assert sides["monty"] == {"missing": f"not installable here: {reason}"}
    assert "bench/peers/install.py" in sides["dbos"]["missing"]
    assert reason in ended.stdout


def test_growth_gives_a_point_for_each_size(root: Path, scratch: Path) -> None:
    out = scratch / "out" / "growth.json"
    small = ["--paused", "1", "3", "--awake", "2", "--generations", "120", "--inputs", "1", "4"]
    small += ["--live", "1", "3", "--finished", "2"]
    ended = subprocess.run(
        [sys.executable, str(root / "bench" / "growth.py"), *small, "--json", str(out)],
        env=surroundings(scratch),
        capture_output=True,
        text=True,
        timeout=55,
    )
    assert ended.returncode == 0, ended.stderr
    parts = json.loads(out.read_text())["parts"]
    sizes = {part: [point["x"] for point in points] for part, points in parts.items()}
    assert sizes == {
        "paused": [1, 3],
        "generations": [100, 120],
        "recovery": [1, 4],
        "start": [1, 3, 2],
    }
    assert all(point["p50_ms"] > 0 for points in parts.values() for point in points)
    assert [path.name for path in scratch.iterdir()] == ["out"]


@pytest.mark.timeout(120)
def test_a_short_soak_agrees_with_its_ledger(root: Path, scratch: Path) -> None:
    out = scratch / "out" / "soak.json"
    short = ["--minutes", "0.15", "--sample-every", "2", "--kill-supervisor-every", "3"]
    ended = subprocess.run(
        [sys.executable, str(root / "bench" / "soak.py"), *short, "--json", str(out)],
        env=surroundings(scratch),
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    figures = json.loads(out.read_text())
    assert figures["wrong"] == []
    assert figures["done"]["completed, ended"] > 0
    assert figures["done"]["supervisors killed"] > 0
    assert max(sample["journal_mb"] for sample in figures["samples"]) > 0
    assert max(sample["processes"] for sample in figures["samples"]) >= 3
    assert not processes_at(scratch)
    assert [path.name for path in scratch.iterdir()] == ["out"]


def test_a_small_crowd_hibernates_and_comes_to_its_end(root: Path, scratch: Path) -> None:
    out = scratch / "out" / "crowd.json"
    small = ["--cells", "12", "--hibernate-seconds", "0.3", "--spares", "0"]
    ended = subprocess.run(
        [sys.executable, str(root / "bench" / "crowd.py"), *small, "--json", str(out)],
        env=surroundings(scratch),
        capture_output=True,
        text=True,
        timeout=55,
    )
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(out.read_text())["figures"]
    awake, asleep = figures["created and observed"], figures["all hibernated"]
    assert awake["processes"] >= asleep["processes"] + 12 - 3  # some may sleep already
    assert asleep["memory_mb"] < awake["memory_mb"]
    assert figures["resumed and completed"]["p50_ms"] > 0
    assert not processes_at(scratch)
    assert [path.name for path in scratch.iterdir()] == ["out"]


@pytest.mark.timeout(120)
def test_the_tail_has_figures_for_each_neighbour(root: Path, scratch: Path) -> None:
    out = scratch / "out" / "tail.json"
    ended = subprocess.run(
        [sys.executable, str(root / "bench" / "tail.py"), "--rounds", "1", "--json", str(out)],
        env=surroundings(scratch),
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(out.read_text())["figures"]
    for name in ("nothing", "printer", "creates", "checkpoint", "minimum"):
        assert figures[name]["n"] == 120
        assert figures[name]["p99"] >= figures[name]["p50"] > 0
    assert [path.name for path in scratch.iterdir()] == ["out"]


def test_the_readme_says_what_its_figures_say(root: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(root / "bench" / "readme_table.py")],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 0, ended.stderr


def test_a_case_that_does_not_exist_is_wrong_usage(root: Path) -> None:
    ended = subprocess.run(
        command(root, "-k", "nothing"), capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 2
    assert "nothing" in ended.stderr


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_whatever_ends_it(end: signal.Signals, root: Path, scratch: Path) -> None:
    endless = command(root, "-k", "cycle-1", "--rounds", "100000")
    ended_when(lambda: both_listen(scratch), end, endless, scratch)


def ended_when(
    begun: Callable[[], bool], end: signal.Signals, endless: list[str], scratch: Path
) -> int:
    """The status of a command that is ended when it has begun; nothing of it is left then."""
    running = subprocess.Popen(
        endless,
        env=surroundings(scratch),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    started: list[psutil.Process] = []
    try:
        until(begun, seconds=30.0, what="its processes")
        started = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(end)
        status = running.wait(40)
        until(lambda: not any(one.is_running() for one in started), what=f"all of {started} end")
        nothing_stays(scratch)
    finally:
        running.kill()
        running.wait()
        for one in started:
            if one.is_running():
                one.kill()
    return status


def both_listen(scratch: Path) -> bool:
    places = ("tidemark-*/run", "minimum-*")
    return all(any(scratch.glob(f"{place}/host.sock")) for place in places)


def nothing_stays(scratch: Path) -> None:
    try:
        until(lambda: not any(scratch.iterdir()), what="their files are removed")
    except AssertionError as error:
        error.add_note(f"there is {sorted(map(str, scratch.rglob('*')))}")
        raise


def test_a_minimum_that_is_interrupted_before_it_begins_leaves_nothing(
    root: Path, scratch: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        env=surroundings(scratch) | {"PYTHONPATH": str(root / "bench")},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "KeyboardInterrupt" in ended.stderr
    assert not any(scratch.iterdir())


def test_a_soak_that_is_interrupted_leaves_nothing(root: Path, scratch: Path) -> None:
    zygotes = "tmb-soak-*/state/run/zygote-*.sock"
    endless = [sys.executable, str(root / "bench" / "soak.py"), "--minutes", "5"]
    status = ended_when(lambda: any(scratch.glob(zygotes)), signal.SIGINT, endless, scratch)
    assert status == INTERRUPTED_STATUS


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
    assert not processes_at(scratch)


def processes_at(place: Path) -> list[psutil.Process]:
    """Processes that were started for something in this directory."""
    return [
        each
        for each in psutil.process_iter(["cmdline"])
        if any(str(place) in word for word in each.info["cmdline"] or [])
    ]


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
