"""`tidemark doctor`: what this machine and this release can promise, measured and not guessed."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..protocol.classes import dataclass
from .failures import FAILED, CommandError
from .rendering import json_line, plain
from .terminal import Screen, Style, cut, standard_screen

_WRITES: Final = 25
_WRITE_BYTES: Final = 4_096  # a page of the journal
# No disk that keeps its promise is faster than this; a write cache in front of one is.
_PLAUSIBLE_MS_MIN: Final = 0.02
_MEMORY_FILESYSTEMS: Final = {"tmpfs", "ramfs"}
_STYLE: Final = {"ok": Style.GREEN, "missing": Style.RED, "note": Style.YELLOW}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `verdict` is "ok", "note" or "missing"."""

    check: str
    verdict: str
    found: str
    advice: str = ""


def examine(options: argparse.Namespace) -> int:
    """Print what was found; 1, as level `restricted` cannot be had in this release."""
    screen = standard_screen()
    findings = [*_levels(), *_versions(), *_disk(options.state)]
    for finding in findings:
        screen.line(json_line(**plain(finding)) if options.json else _line(finding, screen))
    missing = [finding.check for finding in findings if finding.verdict == "missing"]
    if missing:
        screen.complain(
            f"tidemark: cannot be had: {', '.join(missing)}; until a release has them, run only "
            "code that you would run yourself, with isolation 'process'"
        )
    return FAILED if missing else 0


def _line(finding: Finding, screen: Screen) -> str:
    verdict = screen.styled(finding.verdict.ljust(7), _STYLE[finding.verdict])
    text = f"{finding.found}; {finding.advice}" if finding.advice else finding.found
    room = max(screen.width - 31, 20)
    return f"{finding.check:<20}  {verdict}  {text if len(text) <= room else _wrapped(text, room)}"


def _wrapped(text: str, room: int) -> str:
    lines, current = [], ""
    for word in text.split():
        if current and len(current) + 1 + len(word) > room:
            lines.append(current)
            current = word
        else:
            current = f"{current} {word}".strip()
    return ("\n" + " " * 31).join([*lines, cut(current, room)])


def _levels() -> Iterator[Finding]:
    yield Finding(
        "level process",
        "ok",
        "a worker process for each cell",
        "no security boundary: a cell can do what you can do",
    )
    for level in ("restricted", "sealed"):
        yield Finding(f"level {level}", "missing", "not in this release")


def _versions() -> Iterator[Finding]:
    import msgpack
    import zmq

    ours = importlib.metadata.version("tidemark")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield Finding("tidemark", "ok", ours)
    yield Finding("python", "ok", python)
    yield Finding("kernel", "ok", f"{platform.system()} {platform.release()} {platform.machine()}")
    yield Finding("pyzmq", "ok", f"{zmq.__version__} with libzmq {zmq.zmq_version()}")
    yield Finding("msgpack", "ok", ".".join(map(str, msgpack.version)))
    yield Finding("sqlite", "ok", sqlite3.sqlite_version)


def _disk(state: str | None) -> Iterator[Finding]:
    """What a commit of durability "power" costs on this disk, and whether it can keep it."""
    directory = Path(state or tempfile.gettempdir()).absolute()
    while state and not directory.exists() and directory != directory.parent:
        directory = directory.parent  # serve would make it there
    kind = filesystem_of(directory)
    memory = kind in _MEMORY_FILESYSTEMS
    yield Finding(
        "filesystem",
        "note" if memory else "ok",
        f"{directory} is on {kind or 'an unknown filesystem'}",
        "it is in memory: nothing there survives a power cut" if memory else "",
    )
    try:
        times = _sync_ms(directory)
    except OSError as error:
        raise CommandError(
            f"{directory} cannot be written to: {error}; name another --state DIR"
        ) from error
    middle, worst = statistics.median(times), max(times)
    hasty = middle < _PLAUSIBLE_MS_MIN
    yield Finding(
        "fsync",
        "note" if hasty or memory else "ok",
        f"{middle:.2f} ms (median of {len(times)} writes of {_WRITE_BYTES} bytes), "
        f"{worst:.2f} ms at worst",
        "too fast for a disk that really writes: do not trust it with a power cut" if hasty else "",
    )


def filesystem_of(path: Path) -> str:
    """The type of the filesystem that a path is on; empty if the kernel does not say."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in lines.splitlines():
        place, _, origin = line.partition(" - ")
        fields = place.split()
        if len(fields) > 2 and fields[2] == wanted:
            return origin.split()[0]
    return ""


def _sync_ms(directory: Path) -> list[float]:
    times = []
    with tempfile.NamedTemporaryFile(dir=directory, prefix="tidemark-doctor-") as file:
        for _ in range(_WRITES):
            file.write(os.urandom(_WRITE_BYTES))
            file.flush()
            before = time.perf_counter()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - before) * 1_000)
    return times
