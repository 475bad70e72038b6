"""The public face: every name is there, and costs nothing before it is used."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import tidemark
from tidemark.client._failures import not_yet


def test_every_public_name_can_be_had() -> None:
    for name in tidemark.__all__:
        assert getattr(tidemark, name) is not None
    assert set(tidemark.__all__) <= set(dir(tidemark))
    assert set(tidemark._HOMES) | {"__version__"} == set(tidemark.__all__)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sesion'"):
        tidemark.Sesion  # noqa: B018


def test_importing_the_package_imports_nothing_that_only_hosts_need(tmp_path: Path) -> None:
    program = (
        "import sys, tidemark; "
        "print([name for name in ('asyncio', 'zmq', 'msgpack', 'inspect') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "module", ["supervisor.server", "supervisor.command_line", "client._aio", "command.run"]
)
def test_what_a_first_cell_waits_for_imports_no_large_library_for_a_small_part(
    tmp_path: Path, module: str
) -> None:
    large = ("hashlib", "_hashlib", "secrets", "shutil", "tempfile")
    program = (
        f"import sys, tidemark.{module}; print([name for name in {large} if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_a_wait_that_took_too_long_is_a_timeout_and_ours() -> None:
    error = not_yet("c1", 1.5)
    assert isinstance(error, TimeoutError)
    assert isinstance(error, tidemark.TidemarkError)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (tidemark.WaitTimeoutError, str(error))
