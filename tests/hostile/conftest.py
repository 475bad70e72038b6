"""Where attacks are carried out, and the table at the end."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.hostile_ground import Ground, Place
from fakes.public_python import make
from hostile import table

SPEEDS = pytest.StashKey[list[str]]()
RESULTS = pytest.StashKey[dict[tuple[str, str], str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS] = {}
    config.stash[SPEEDS] = []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "ground" in metafunc.fixturenames:
        places = table.places(metafunc.config.getoption("--places"))
        metafunc.parametrize("ground", places, indirect=True, scope="module", ids=_id)


def _id(place: Place) -> str:
    return str(place).replace(" ", "-")


@pytest.fixture(scope="session")
def public_python() -> Iterator[str]:
    """A Python that other users may run."""
    directory = Path(tempfile.mkdtemp(prefix="tmpython"))
    directory.chmod(0o755)
    try:
        yield make(directory / "python")
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="module")
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    """A supervisor with canaries, for all attacks at one place."""
    place: Place = request.param
    if place.who == "root" and os.geteuid() != 0:
        pytest.skip("only root can run a supervisor of root")
    public = place.needs_public_python
    python = request.getfixturevalue("public_python") if public else sys.executable
    made = Ground(place, python)
    try:
        yield made
    finally:
        made.close()
        request.config.stash[SPEEDS] += _speeds(made)


@pytest.fixture(scope="module")
def ground_with_spares() -> Iterator[Ground]:
    """A supervisor whose cells get spare workers, at the default level."""
    made = Ground(table.places("usual")[0], sys.executable, spares=2)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def results(request: pytest.FixtureRequest) -> dict[tuple[str, str], str]:
    """What came of each attack, by its name and place."""
    return request.config.stash[RESULTS]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    found = config.stash[RESULTS]
    if found and config.getoption("--attacks"):
        terminalreporter.section("attacks")
        terminalreporter.write_line(table.of_results(found))
        for line in config.stash[SPEEDS]:
            terminalreporter.write_line(line)


def _speeds(ground: Ground) -> list[str]:
    """How fast the sibling was beside each flood."""
    lines = [f"{ground.place}: a sibling's cycle takes {ground.usual * 1e3:.1f} ms"]
    lines += [f"  {took * 1e3:6.1f} ms beside: {name}" for name, took in ground.measured]
    return lines
