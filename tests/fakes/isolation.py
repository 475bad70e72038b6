"""Python as another user, and on machines that give less."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes.supervisor_end import ZygoteEnd

NOBODYS_NUMBER = 54_321
BECOME = f"""
import os, sys
os.setgroups([])
os.setresgid({NOBODYS_NUMBER}, {NOBODYS_NUMBER}, {NOBODYS_NUMBER})
os.setresuid({NOBODYS_NUMBER}, {NOBODYS_NUMBER}, {NOBODYS_NUMBER})
"""
# As Docker's own profile does for those without privileges.
WITHOUT_NAMESPACES = """
import os, sys
from tidemark.worker import kernel
from tidemark.worker.isolation import filters, seccomp, syscalls
kernel.set_process(kernel.PR_SET_NO_NEW_PRIVS, 1)
seccomp.load(filters.without(syscalls.this_machine(), "unshare setns mount pivot_root"))
"""
GO_ON = "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"

ROOT = (sys.executable,)
USER = (sys.executable, "-c", BECOME + GO_ON)
USER_WITHOUT_NAMESPACES = (sys.executable, "-c", BECOME + WITHOUT_NAMESPACES + GO_ON)
WHO = {"root": ROOT, "user": USER, "user-without-namespaces": USER_WITHOUT_NAMESPACES}


def need(who: str) -> tuple[str, ...]:
    """The command that runs Python so; skips the test where it cannot be had."""
    if os.geteuid() != 0:
        if who != "root":
            pytest.skip("only root can become another user")
    elif who != "root":
        found = subprocess.run([*USER, "-c", "import tidemark.worker.zygote"], capture_output=True)
        if found.returncode != 0:
            pytest.skip(f"another user cannot run {sys.executable}: it lies where only root may go")
    return WHO[who]


def examine(python: tuple[str, ...], level: str, *options: str) -> dict[str, Any]:
    """What `--examine` prints."""
    command = [*python, "-P", "-m", "tidemark.worker", "--examine", level, *options]
    found = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd="/")
    assert found.stdout.count("\n") == 1, found
    report: dict[str, Any] = json.loads(found.stdout)
    assert found.returncode == (0 if report["granted"] else 1), found.stderr
    return report


def missing(report: dict[str, Any]) -> dict[str, str]:
    """The needed properties that do not hold, with the reason."""
    found = report["properties"]
    return {each["name"]: each["reason"] for each in found if each["needed"] and not each["held"]}


@contextmanager
def zygote(level: str, who: str, *options: str) -> Iterator[ZygoteEnd]:
    """A zygote of this level; skips the test where the level cannot be had."""
    python = need(who)
    lacking = missing(examine(python, level))
    if lacking:
        pytest.skip(f"{level} as {who}: {lacking}")
    with tempfile.TemporaryDirectory(prefix="tm", ignore_cleanup_errors=True) as place:
        if python != ROOT:  # what its supervisor would have made would be its own
            for path in (place, f"{place}/workers", f"{place}/work"):
                Path(path).mkdir(exist_ok=True)
                os.chown(path, NOBODYS_NUMBER, NOBODYS_NUMBER)
        end = ZygoteEnd(Path(place), *options, level=level, python=python)
        try:
            yield end
        finally:
            end.close()
