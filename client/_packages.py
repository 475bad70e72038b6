"""What a host's cells are to find beside the standard library."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..protocol.classes import dataclass


@dataclass(frozen=True, slots=True)
class Packages:
    """What cells are to find: modules imported once for all, directories to import from."""

    preload: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """The same on a supervisor's command line."""
        found = [f"--preload={module}" for module in self.preload]
        return found + [f"--package-path={path}" for path in self.paths]


def packages_of(preload: Iterable[str], paths: Iterable[str | os.PathLike[str]]) -> Packages:
    """What a session's arguments say of packages.

    Raises:
        TypeError, ValueError: not names of modules, or not directories.
    """
    for name, given in (("preload", preload), ("package_paths", paths)):
        if isinstance(given, (str, bytes, os.PathLike)):
            raise TypeError(f"{name} must be a list, such as [{given!r:.40}], not one of its items")
    modules = tuple(preload)
    for module in modules:
        if not isinstance(module, str):
            raise TypeError(f"preload has names of modules, not {type(module).__name__}")
        if not all(part.isidentifier() for part in module.split(".")):
            raise ValueError(f"{module!r:.60} in preload is no module's name")
    found = tuple(os.path.abspath(os.fspath(path)) for path in paths)
    for path in found:
        if not os.path.isdir(path):
            raise ValueError(f"{path} in package_paths is no directory; name one with packages")
    return Packages(modules, found)
