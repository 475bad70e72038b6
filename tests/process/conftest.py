"""One supervisor for all tests of a file, and sessions on it that end with their test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import tidemark

from fakes.doors import Doors
from fakes.running_supervisor import RunningSupervisor

OpenSession = Callable[..., tidemark.Session]
#: The whole tier can be run at another level than the default.
LEVEL = os.environ.get("TIDEMARK_TEST_LEVEL")


@pytest.fixture(autouse=True, scope="session")
def level() -> Iterator[None]:
    """Sessions that ask for no level get that one, and replay as at the default level.

    Supervisors that tests start know it by themselves.
    """
    begin = tidemark.AsyncSession.__init__

    def begin_at_level(self: tidemark.AsyncSession, *args: Any, **kwargs: Any) -> None:
        if LEVEL and not kwargs.get("isolation") and not kwargs.get("endpoint"):
            kwargs["isolation"] = LEVEL
            if kwargs.get("replay") is None:
                kwargs["replay"] = True
        begin(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tidemark.AsyncSession, "__init__", begin_at_level)
        yield


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of a short path."""
    with tempfile.TemporaryDirectory(prefix="tm", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture
def hello(place: Path) -> Path:
    """A cell's file, beside an empty directory for what is temporary."""
    file = place / "hello.py"
    file.write_text("print('hello')\n")
    (place / "tmp").mkdir()
    return file


@pytest.fixture(scope="module")
def supervisor() -> Iterator[RunningSupervisor]:
    """A supervisor for the tests of one file; whoever does it harm starts one of their own."""
    with tempfile.TemporaryDirectory(prefix="tm", ignore_cleanup_errors=True) as directory:
        running = RunningSupervisor(Path(directory) / "state", "--durability", "crash")
        try:
            yield running
        finally:
            running.close()


@pytest.fixture
def doors() -> Iterator[Doors]:
    """Tools that wait for the test."""
    made = Doors()
    yield made
    made.open_all()


@pytest.fixture
def open_session(supervisor: RunningSupervisor, doors: Doors) -> Iterator[OpenSession]:
    """Open a session on the file's supervisor; it is closed with all its cells at the end."""
    with ExitStack() as stack:

        def opened(*args: Any, **kwargs: Any) -> tidemark.Session:
            kwargs.setdefault("tools", [doors.knock])
            session = tidemark.Session(*args, endpoint=supervisor.endpoint, **kwargs)
            session.open()
            stack.callback(_end, session)
            return session

        yield opened


def _end(session: tidemark.Session) -> None:
    try:
        session.close()
    except (ValueError, RuntimeError):
        return  # the test has closed it


@pytest.fixture
def session(open_session: OpenSession) -> tidemark.Session:
    """A new session with the tool `knock(door)`."""
    return open_session()


@pytest.fixture
def client(supervisor: RunningSupervisor) -> Iterator[tidemark.Client]:
    """Another host's view of the same supervisor."""
    with tidemark.connect(supervisor.state) as connected:
        yield connected
