"""A head start that comes to nothing leaves nothing, and is done again in the usual way."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tidemark.client import _head_start
from tidemark.command import entry


def failing(error: BaseException) -> Any:
    def fail(*arguments: object, **options: object) -> NoReturn:
        raise error

    return fail


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("mkdir", PermissionError(errno.EACCES, "no")),
        ("pipe", OSError(errno.EMFILE, "no descriptor")),
        ("write", OSError(errno.ENOSPC, "full")),
        ("posix_spawn", OSError(errno.EAGAIN, "no process")),
        ("posix_spawn", NotImplementedError("no session")),
    ],
)
def test_without_what_it_takes_nothing_is_begun(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException
) -> None:
    before = descriptors()
    with monkeypatch.context() as broken:
        broken.setattr(os, name, failing(error))
        _head_start.begin(None)
    assert not _head_start.is_left()
    assert descriptors() == before
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("name", ["pipe", "write", "posix_spawn"])
def test_an_interruption_is_handed_on_and_leaves_nothing(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = descriptors()
    with monkeypatch.context() as broken:
        broken.setattr(os, name, failing(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            _head_start.begin(None)
    assert not _head_start.is_left()
    assert descriptors() == before
    assert not list(temporary.iterdir())


def test_tls_that_is_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    there = object()
    monkeypatch.setitem(sys.modules, "ssl", there)  # type: ignore[arg-type]
    entry._import_asyncio_without_tls()
    assert sys.modules["ssl"] is there  # type: ignore[comparison-overlap]
