"""Where the `tidemark` command begins: a run has its supervisor started before all else."""

from __future__ import annotations

import gc
import os
import sys

from ..client import _head_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LEVEL = "--isolation"
_TOOLS = "--tools"
_ALONE = {"--pausable", "--step", "--json"}
_WITH_VALUE = {_LEVEL, _TOOLS, "--input"}
_LEVELS = {"process", "restricted", "sealed"}


def main() -> int:
    """Run the command that the process was started with; see `main.main`."""
    words = sys.argv[1:]
    if (run := _private_run(words)) is not None:
        gc.disable()  # until it runs: imports leave hardly anything to be found
        _head_start.begin(run.get(_LEVEL))
        if _TOOLS not in run:
            _import_asyncio_without_tls()
    try:
        from .main import main as understand

        return understand(words)
    finally:
        if _head_start.is_left():  # what followed was wrong, or interrupted
            from ..client._places import end_ahead

            end_ahead()


def _private_run(words: Sequence[str]) -> dict[str, str] | None:
    """The options of a run with a supervisor of its own, if it is certain that this is one.

    All else is left to who reads the command line: what is wrong, abbreviated, or another command.
    """
    if words[:1] != ["run"]:
        return None
    options: dict[str, str] = {}
    files = []
    left = iter(words[1:])
    for word in left:
        if word in _WITH_VALUE:
            options[word] = next(left, "")
        elif word == "-" or not word.startswith("-"):
            files.append(word)
        elif word not in _ALONE:
            return None
    is_known = options.get(_LEVEL, "sealed") in _LEVELS
    is_there = len(files) == 1 and (files[0] == "-" or os.access(files[0], os.R_OK))
    return options if is_known and is_there else None


def _import_asyncio_without_tls() -> None:
    """A tenth of what has to be imported, and only tools would use it."""
    if "ssl" in sys.modules:
        return  # something around us has it, and keeps it
    sys.modules["ssl"] = None  # type: ignore[assignment]
    try:
        import asyncio  # noqa: F401
    finally:
        del sys.modules["ssl"]
