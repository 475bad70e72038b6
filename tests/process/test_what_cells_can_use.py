"""What works in a cell at each level, and what fails with a word about why; as a host sees it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Final

import pytest
import tidemark

from fakes.cells import completed, shown

WORKS: Final = {
    "threads": """
        import threading
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(8) as pool:
            exit(sum(pool.map(len, ["tide"] * 100)))
        """,
    "asyncio": """
        import time
        async def part(n):
            await asyncio.sleep(0.001)
            return n
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part(n)) for n in range(20)]
        in_thread = await asyncio.to_thread(lambda: 210)
        exit(sum(task.result() for task in tasks) + in_thread)
        """,
    "a database in the work directory": """
        import sqlite3
        with sqlite3.connect("tides.db") as db:
            db.execute("create table tides (height real)")
            db.executemany("insert into tides values (?)", [(n,) for n in range(29)])
        db.execute("pragma journal_mode=wal")
        db.execute("insert into tides values (-6)")
        exit(int(db.execute("select sum(height) from tides").fetchone()[0]))
        """,
    "temporary files": """
        import os, tempfile
        with tempfile.TemporaryDirectory() as place:
            path = os.path.join(place, "tide")
            with open(path, "w") as file:
                file.write("x" * 400)
            size = os.path.getsize(path)
        with tempfile.NamedTemporaryFile() as file:
            exit(size)
        """,
    "certificates and hashes": """
        import hashlib, ssl
        context = ssl.create_default_context()
        assert context.verify_mode is ssl.CERT_REQUIRED
        exit(len(hashlib.pbkdf2_hmac("sha256", b"tide", b"salt", 10)) * 12 + 16)
        """,
    "packages of the environment": """
        import msgpack, psutil
        exit(len(msgpack.packb({"tide": list(range(390))})) and 400)
        """,
    "times of other places": """
        import datetime, zoneinfo
        there = datetime.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo("Asia/Tokyo"))
        exit(int(there.utcoffset().total_seconds()) // 81)
        """,
    "numpy": """
        import numpy
        a = numpy.random.default_rng(1).normal(size=(200, 200))
        assert numpy.allclose(numpy.linalg.inv(a) @ a, numpy.eye(200))
        exit(400)
        """,
}
FAILS: Final = {
    "a program": ("import subprocess\nsubprocess.run(['true'])", "may start no processes"),
    "a program of asyncio": (
        "await asyncio.create_subprocess_exec('true')",
        "may start no processes",
    ),
    "a shell": ("import os\nos.system('true')", "may start no processes"),
    "a fork": ("import os\nos.fork()", "may start no processes"),
    "a process of multiprocessing": (
        "import multiprocessing\nmultiprocessing.Process(target=print).start()",
        "may start no processes",
    ),
    "a socket": ("import socket\nsocket.socket(socket.AF_INET)", "has no network"),
    "a connection": (
        "import socket\nsocket.create_connection(('127.0.0.1', 9))",
        "has no network",
    ),
    "a web page": (
        "import urllib.request\nurllib.request.urlopen('http://example.com')",
        "has no network",
    ),
    "a connection of asyncio": ("await asyncio.open_connection('127.0.0.1', 9)", "has no network"),
}


@pytest.fixture(scope="module", params=["process", "restricted", "sealed"])
def at_level(request: pytest.FixtureRequest) -> Iterator[tidemark.Session]:
    try:
        session = tidemark.Session(isolation=request.param)
        session.open()
    except tidemark.IsolationUnavailableError as error:
        pytest.skip(f"{request.param}: {error}")
    with session:
        yield session


def source_of(text: str) -> str:
    lines = text.strip("\n").splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join(line[indent:] for line in lines)


@pytest.mark.parametrize("what", WORKS)
def test_what_works(at_level: tidemark.Session, what: str) -> None:
    if what == "numpy" and importlib.util.find_spec("numpy") is None:
        pytest.skip("numpy is not installed")
    end = completed(at_level.create_cell(source_of(WORKS[what])))
    assert end.error is None
    assert end.value == 400


@pytest.mark.parametrize("what", FAILS)
def test_what_fails_says_why(at_level: tidemark.Session, what: str) -> None:
    if at_level.isolation == "process":
        pytest.skip("nothing is kept from a cell there")
    source, why = FAILS[what]
    end = completed(at_level.create_cell(source))
    assert end.reason == "raised"
    last = (end.error or "").strip().splitlines()[-1]
    assert f"a cell at level {at_level.isolation} {why}; have a tool of the host do it" in last
    tried = "\n    ".join(["try:", *source.splitlines()])
    caught = f"{tried}\nexcept OSError:\n    text('caught')"
    assert shown(completed(at_level.create_cell(caught))) == "caught"


def test_what_cells_often_import_is_there_already(at_level: tidemark.Session) -> None:
    source = "import sys\nexit('hashlib' in sys.modules)"
    assert completed(at_level.create_cell(source)).value is True


def test_work_directories_are_empty_and_apart(at_level: tidemark.Session) -> None:
    wrote = at_level.create_cell("open('mine', 'w').write('x')\nawait asyncio.sleep(0.2)")
    looked = at_level.create_cell("import os\ntext(len(os.listdir('.')))\nopen('mine', 'x')")
    assert shown(completed(looked)) == "0"
    assert completed(wrote).error is None
