"""Commands that are programs of the supervisor's: this process goes on as one of them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

from .failures import UsageError


def serve(options: argparse.Namespace) -> NoReturn:
    """Become the supervisor: it gets our standard files, our signals and our process id.

    Raises:
        UsageError: it cannot listen there, or a package path is no directory.
    """
    arguments = ["--state", options.state, "--durability", options.durability]
    arguments += ["--idle-seconds", "0", *_packages(options.preload, options.package_path)]
    if options.isolation is not None:
        arguments += ["--isolation", options.isolation]
    if options.listen is not None:
        if not options.listen.startswith("ipc:///"):
            raise UsageError(
                f"--listen {options.listen}: only ipc:///PATH can be listened on in this release"
            )
        arguments += ["--listen", options.listen]
    _become("tidemark.supervisor", arguments)


def _packages(preload: Sequence[str], package_path: Sequence[str]) -> Iterator[str]:
    for module in preload:
        yield f"--preload={module}"
    for path in package_path:
        if not os.path.isdir(path):
            raise UsageError(f"--package-path {path} is no directory; name one that has packages")
        yield f"--package-path={os.path.abspath(path)}"


def check(options: argparse.Namespace) -> NoReturn:
    """Become what verifies a journal."""
    json = ["--json"] if options.json else []
    _become("tidemark.supervisor.check", ["--state", options.state, *json])


def export(options: argparse.Namespace) -> NoReturn:
    """Become what writes a cell's history."""
    from .place import state_of

    state = state_of(options)
    _become("tidemark.supervisor.export", ["--state", state, "--", options.cell])


def _become(module: str, arguments: Sequence[str]) -> NoReturn:
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])
