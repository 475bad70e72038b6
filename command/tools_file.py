"""Loads the tools of `--tools MODULE.py`. One of the places that run foreign code."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from .failures import CommandError, UsageError

_LIST: Final = "TOOLS"


def load_tools(path: Path) -> list[Any]:
    """The tools of a file: its list `TOOLS`, or else the public functions that it defines.

    Modules beside the file can be imported by it, as if it had been run.

    Raises:
        UsageError: no such file, or nothing in it that is a tool.
        CommandError: the file raised an error.
    """
    if not path.is_file():
        raise UsageError(f"--tools {path}: no such file")
    module = _executed(path)
    listed = getattr(module, _LIST, None)
    if listed is not None:
        return _checked(path, listed)
    found = [value for name, value in vars(module).items() if _is_tool(module, name, value)]
    if not found:
        raise UsageError(
            f"--tools {path}: it defines no public function; define one, or a list {_LIST}"
        )
    return found


def _executed(path: Path) -> ModuleType:
    name = path.stem if path.stem.isidentifier() else "tools_of_run"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"--tools {path}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    # Annotations and dataclasses look their module up by name. One that is imported already, by
    # this command, stays what it is.
    sys.modules.setdefault(name, module)
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code: what it raises is told
        ours = traceback.extract_tb(error.__traceback__)
        first = next((i for i, frame in enumerate(ours) if frame.filename == spec.origin), 0)
        lines = traceback.format_exception(type(error), error, _after(error, first))
        raise CommandError(f"{''.join(lines).rstrip()}\n--tools {path} raised this") from None
    return module


def _after(error: BaseException, frames: int) -> Any:
    """The traceback without this command's own frames."""
    trace = error.__traceback__
    for _ in range(frames):
        trace = trace.tb_next if trace is not None else None
    return trace


def _checked(path: Path, listed: object) -> list[Any]:
    from .. import Tool

    if not isinstance(listed, (list, tuple)):
        raise UsageError(f"--tools {path}: {_LIST} must be a list, not {type(listed).__name__}")
    for entry in listed:
        if not isinstance(entry, Tool) and not callable(entry):
            raise UsageError(f"--tools {path}: {entry!r:.60} in {_LIST} is no function or Tool")
    return list(listed)


def _is_tool(module: ModuleType, name: str, value: object) -> bool:
    from .. import Tool

    if name.startswith("_"):
        return False
    if isinstance(value, Tool):
        return True
    return inspect.isfunction(value) and value.__module__ == module.__name__
