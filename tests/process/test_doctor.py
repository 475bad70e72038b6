"""`tidemark doctor`: what it says is what the machine gives, and it says it at once."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import tidemark
from tidemark.worker.isolation import levels

from fakes.command_line import SECONDS_MAX, environment, objects
from fakes.command_line import tidemark as command
from fakes.isolation import need

LEVELS = ("process", "restricted", "sealed")


def doctor(python: tuple[str, ...], *options: str) -> subprocess.CompletedProcess[str]:
    """The command, run by this Python."""
    return subprocess.run(
        [*python, "-P", "-m", "tidemark.command", "doctor", *options],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env=environment(),
        cwd="/",
    )


def by_check(ran: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {each["check"]: each for each in objects(ran.stdout)}


@pytest.mark.parametrize("who", ["root", "user"])
def test_every_property_of_every_level_with_mechanism_and_how_it_was_tried(who: str) -> None:
    ran = doctor(need(who), "--json")
    found = by_check(ran)
    assert {"python", "kernel", "pyzmq", "sqlite", "fsync", "filesystem"} <= found.keys()
    for name in LEVELS:
        level = found[f"level {name}"]
        properties = {each["name"]: each for each in level["properties"]}
        promised = set(levels.PROMISED[levels.Level(name)])
        if level["verdict"] == "ok":
            assert promised == {each for each in properties if properties[each]["needed"]}
        for each in properties.values():
            if each["held"]:
                assert each["mechanism"]
                assert each["tried"]
            else:
                assert each["reason"]
                assert each["remedy"]
    assert ran.returncode == (0 if found["level restricted"]["verdict"] == "ok" else 1)
    assert ("level restricted cannot be had" in ran.stderr) == (ran.returncode == 1)


@pytest.mark.skipif(
    bool(os.environ.get("TIDEMARK_TEST_LEVEL")), reason="the level of sessions is prescribed"
)
def test_what_it_says_is_what_a_session_gets() -> None:
    found = by_check(command("doctor", "--json"))
    with tidemark.Session() as session:
        best = [name for name in LEVELS if found[f"level {name}"]["verdict"] == "ok"][-1]
        assert session.isolation == best


def test_without_namespaces_it_says_what_is_missing_and_how_to_get_it() -> None:
    ran = doctor(need("user-without-namespaces"), "--json")
    found = by_check(ran)
    sealed = found["level sealed"]
    assert sealed["verdict"] == "missing"
    assert "Operation not permitted" in sealed["found"]
    assert "user.max_user_namespaces" in sealed["advice"]
    assert {each["name"] for each in sealed["properties"]} >= {levels.OWN_ROOT, levels.DISK}
    assert found["level restricted"]["verdict"] == "ok"
    assert (ran.returncode, ran.stderr) == (0, "")


def test_without_anything_it_fails_and_says_what_to_do() -> None:
    python = need("user-without-namespaces")
    barred = [part.replace('"unshare', '"landlock_create_ruleset unshare') for part in python]
    assert barred != list(python)
    ran = doctor(tuple(barred), "--json")
    assert ran.returncode == 1
    found = by_check(ran)
    assert found["level restricted"]["verdict"] == found["level sealed"]["verdict"] == "missing"
    assert "landlock" in found["level restricted"]["advice"].lower()
    assert found["level process"]["verdict"] == "ok"
    assert "isolation 'process'" in ran.stderr


def test_as_a_table(place: Path) -> None:
    ran = command("doctor", "--state", place)
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert ["property", *LEVELS] in lines
    rows = {line[0]: line[1:] for line in lines if len(line) == 4 and line[0] != "property"}
    assert rows["own-root"][0] == "-"
    assert rows["own-process"][0] == "yes"
    assert "level sealed" in ran.stdout
    assert str(place) in ran.stdout


def test_a_level_that_cannot_be_examined_is_missing_with_its_reason(place: Path) -> None:
    (place / "sitecustomize.py").write_text(
        "import sys\nif 'sealed' in sys.orig_argv:\n    raise SystemExit('no such luck')\n"
    )
    ran = command("doctor", "--json", env=environment(PYTHONPATH=str(place)))
    sealed = by_check(ran)["level sealed"]
    assert sealed["verdict"] == "missing"
    assert "no such luck" in sealed["found"]
    assert by_check(ran)["level process"]["verdict"] == "ok"


def test_it_takes_about_a_second_and_leaves_nothing(place: Path) -> None:
    if os.geteuid() == 0:
        place.chmod(0o777)
    times = []
    for _ in range(3):
        started = time.monotonic()
        command("doctor", "--state", place)
        times.append(time.monotonic() - started)
    assert min(times) < 4  # 0.7 s when nothing else runs
    assert os.listdir(place) == []
