"""What a host gives all its cells: modules that are imported once, directories to import from."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import tidemark

from fakes.cells import completed, shown
from fakes.command_line import program
from fakes.command_line import tidemark as command
from fakes.running_supervisor import RunningSupervisor
from fakes.supervisors import end_all

SOURCE = """
import sys
text('imported' if 'from_elsewhere' in sys.modules else 'not imported')
import from_elsewhere
text(f'{from_elsewhere.TIDE} {from_elsewhere.COUNT}')
"""


@pytest.fixture
def packages(place: Path) -> Path:
    """A directory with a package that says how often it was imported, by all processes."""
    place.chmod(0o755)
    directory = place / "packages"
    directory.mkdir(0o755)
    (directory / "from_elsewhere.py").write_text(
        f"with open({str(place / 'imports')!r}, 'a+') as file:\n"
        "    file.write('x')\n    file.seek(0)\n    COUNT = len(file.read())\nTIDE = 'high'\n"
    )
    return directory


@pytest.fixture(params=["process", "restricted", "sealed"])
def level(request: pytest.FixtureRequest) -> str:
    """A level that this machine gives."""
    try:
        with tidemark.Session(isolation=request.param):
            return str(request.param)
    except tidemark.IsolationUnavailableError as error:
        pytest.skip(f"{request.param}: {error}")


def test_a_session_preloads_once_for_all_its_cells(packages: Path, level: str) -> None:
    with tidemark.Session(
        isolation=level, preload=["from_elsewhere"], package_paths=[packages]
    ) as session:
        for _ in range(3):
            assert shown(completed(session.create_cell(SOURCE))) == "importedhigh 1"
    assert (packages.parent / "imports").read_text() == "x"


def test_without_preloading_a_path_is_only_searched(place: Path, level: str) -> None:
    place.chmod(0o755)
    (place / "tides.py").write_text("HIGH = 3\n")
    with tidemark.Session(isolation=level, package_paths=[place]) as session:
        source = "import sys\nassert 'tides' not in sys.modules\nimport tides\nexit(tides.HIGH)"
        assert completed(session.create_cell(source)).value == 3
        wrote = f"open({str(place / 'tides.py')!r}, 'a').write('x')"
        end = completed(session.create_cell(wrote))
        assert (end.reason == "raised") == (level != "process")
    with tidemark.Session(isolation=level) as session:
        end = completed(session.create_cell("import tides"))
        assert "No module named 'tides'" in (end.error or "")


@pytest.mark.skipif(
    os.environ.get("TIDEMARK_TEST_LEVEL") == "process",
    reason="nothing is tried out for level process: its first cell is told",
)
def test_a_module_that_cannot_be_preloaded_is_named_with_what_helps() -> None:
    session = tidemark.Session(preload=["no_such_module"])
    with pytest.raises(tidemark.IsolationUnavailableError) as caught:
        session.open()
    session.close()
    assert "--preload: ModuleNotFoundError: No module named 'no_such_module'" in str(caught.value)
    assert "--package-path" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: tidemark.Session(preload="numpy"), "must be a list"),
        (lambda: tidemark.Session(preload=["--level"]), "no module's name"),
        (lambda: tidemark.Session(preload=[3]), "names of modules"),  # type: ignore[list-item]
        (lambda: tidemark.Session(package_paths="/usr"), "must be a list"),
        (lambda: tidemark.Session(package_paths=["/no/such"]), "no directory"),
        (lambda: tidemark.Session(endpoint="ipc:///x", preload=["json"]), "tidemark serve"),
    ],
)
def test_what_is_refused_at_once(make: Callable[[], object], why: str) -> None:
    with pytest.raises((TypeError, ValueError), match=why):
        make()


def test_serve_preloads_for_every_host_and_a_successor_of_its_own(
    packages: Path, place: Path
) -> None:
    options = ("--preload", "from_elsewhere", "--package-path", str(packages))
    for imports in (1, 2):
        running = RunningSupervisor(place / "state", *options)
        try:
            with tidemark.Session(f"tides-{imports}", state=running.state) as session:
                end = completed(session.create_cell(SOURCE))
                assert shown(end) == f"importedhigh {imports}"
                session.close()
            running.signal(signal.SIGTERM)
            assert running.ended() == 0
        finally:
            running.close()
    end_all(place)


def test_serve_says_what_is_no_directory(place: Path) -> None:
    ran = command("serve", "--state", place / "state", "--package-path", place / "none")
    assert ran.returncode == 2
    assert "is no directory" in ran.stderr
    assert Path(program()).exists()


@pytest.mark.skipif(importlib.util.find_spec("numpy") is None, reason="numpy is not installed")
def test_numpy_is_preloaded_and_works(level: str) -> None:
    source = "import numpy\nexit(float(numpy.linalg.norm(numpy.ones((300, 300)))))"
    with tidemark.Session(isolation=level, preload=["numpy"]) as session:
        assert completed(session.create_cell(source)).value == 300.0
