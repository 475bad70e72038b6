"""Tools for the survey: the host reads the installed standard library, the cell only asks.

Surveyed is every `.py` file below the standard library's folder, but for installed packages, the
library's own tests, IDLE, and the generated or vendored folders named below.
"""

from __future__ import annotations

import sysconfig
from functools import cache
from pathlib import Path

LEFT_OUT = {"__pycache__", "dist-packages", "idlelib", "site-packages", "test", "tests"}
LEFT_OUT |= {"_distutils", "_vendor", "ensurepip", "lib2to3", "turtledemo"}


def list_modules() -> list[str]:
    """Names of the modules of the installed standard library, sorted."""
    return sorted(_paths())


def read_source(module: str) -> str:
    """The source text of one module."""
    path = _paths().get(module)
    if path is None:
        raise LookupError(f"the standard library has no module {module!r}; see list_modules()")
    return path.read_text(encoding="utf-8", errors="replace")


@cache
def _paths() -> dict[str, Path]:
    root = Path(sysconfig.get_path("stdlib"))
    return {_name(path.relative_to(root)): path for path in _files(root)}


def _files(root: Path) -> list[Path]:
    found = root.rglob("*.py")
    return [path for path in found if not LEFT_OUT & set(path.relative_to(root).parts)]


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
