"""A Python that every user may run, with Tidemark and what it needs, made without a network."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tidemark

from fakes.isolation import BECOME, GO_ON

SYSTEM = "/usr/bin/python3"
NEEDED = ("pyzmq", "msgpack", "psutil")
TRY = "import tidemark.worker.zygote, tidemark.supervisor.server, psutil"


def is_public(python: str) -> bool:
    """Whether another user can run this Python with Tidemark. Only root can ask."""
    command = [sys.executable, "-c", BECOME + GO_ON, "-c", TRY]
    if python != sys.executable:
        command = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups"]
        command += [python, "-c", TRY]
    return subprocess.run(command, capture_output=True, cwd="/").returncode == 0


def library(python: str) -> Path:
    """Its standard library."""
    command = [python, "-c", "import os; print(os.path.dirname(os.__file__))"]
    return Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())


def make(place: Path) -> str:
    """A virtual environment of the system's Python; skips the test where it cannot be made.

    What this Python has is copied, which works for another one of the same version.
    """
    if is_public(sys.executable):
        return sys.executable
    ask = "import json, sys; print(json.dumps([*sys.version_info[:2], sys.executable]))"
    try:
        found = subprocess.run([SYSTEM, "-I", "-c", ask], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip(f"other users cannot run {sys.executable}, and there is no {SYSTEM}")
    version = json.loads(found.stdout)[:2]
    if version != list(sys.version_info[:2]):
        pytest.skip(f"{SYSTEM} is Python {version}: the packages of this one do not fit it")
    place.mkdir(mode=0o755)
    subprocess.run([SYSTEM, "-m", "venv", "--without-pip", str(place)], check=True)
    (packages,) = place.glob("lib/python3*/site-packages")
    for name in NEEDED:
        _copy_distribution(name, packages)
    source = Path(tidemark.__path__[0])
    own = packages / "tidemark"
    skipped = shutil.ignore_patterns("__pycache__", ".*", "tests", "bench", "docs", "build")
    shutil.copytree(source, own, ignore=skipped)
    subprocess.run(["chmod", "-R", "a+rX", str(place)], check=True)
    python = str(place / "bin/python")
    if not is_public(python):
        pytest.skip(f"other users cannot run {python}: does its directory allow that?")
    return python


def _copy_distribution(name: str, packages: Path) -> None:
    for file in importlib.metadata.files(name) or ():
        if ".." in file.parts:
            continue  # scripts
        target = packages / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.fspath(file.locate()), target)
