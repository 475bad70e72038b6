"""What of the file system a cell's Python needs to read, and nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Final

SYSTEM: Final = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/mime.types",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates",
)
DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def readable(extra: Iterable[str]) -> list[str]:
    """Absolute paths that exist, shortest first; none lies in another by its name.

    Raises:
        ValueError: one of them is the whole file system, or does not exist though it was asked for.
    """
    asked = [os.path.abspath(path) for path in extra]
    for path in asked:
        if not os.path.exists(path):
            raise ValueError(f"{path} does not exist; correct --package-path")
    own = [sys.base_prefix, sys.base_exec_prefix, sys.prefix, sys.exec_prefix]
    own += [entry for entry in sys.path if os.path.isabs(entry)]
    found: list[str] = []
    for path in sorted({*SYSTEM, *map(os.path.normpath, own), *asked}, key=lambda path: len(path)):
        if not os.path.exists(path):
            continue
        if os.path.realpath(path) == "/":
            raise ValueError(f"{path} in sys.path is the whole file system; take it out")
        if not any(_holds(other, path) for other in found):
            found.append(path)
    return found


def _holds(outer: str, inner: str) -> bool:
    """Whether a place is in another by its name, and also where the names really lead."""
    if not inner.startswith(outer + "/"):
        return False
    real_outer, real_inner = os.path.realpath(outer), os.path.realpath(inner)
    return real_inner == real_outer or real_inner.startswith(real_outer + "/")
