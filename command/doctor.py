"""`tidemark doctor`: what this machine can promise, measured and not guessed."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ..protocol.classes import dataclass
from .failures import FAILED, CommandError
from .levels_found import Examination, FoundLevel, details, matrix
from .rendering import json_line, plain
from .terminal import Screen, Style, cut, standard_screen

_WRITES: Final = 25
_WRITE_BYTES: Final = 4_096  # a page of the journal
# No disk that keeps its promise is faster than this; a write cache in front of one is.
_PLAUSIBLE_MS_MIN: Final = 0.02
_MEMORY_FILESYSTEMS: Final = {"tmpfs", "ramfs"}
_NAME_WIDTH: Final = 24
_VERDICT_WIDTH: Final = 7
_INDENT: Final = _NAME_WIDTH + _VERDICT_WIDTH + 4
_STYLE: Final = {"ok": Style.GREEN, "missing": Style.RED, "note": Style.YELLOW}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `verdict` is "ok", "note" or "missing"."""

    check: str
    verdict: str
    found: str
    advice: str = ""


def examine(options: argparse.Namespace) -> int:
    """Print what was found; the exit status is 1 if level `restricted` cannot be had."""
    screen = standard_screen()
    with Examination() as examination:  # they work while the disk does
        about_machine = [*_versions(), *_disk(options.state)]
        levels = examination.found()
    if options.json:
        for level in levels:
            properties = plain(level.properties)
            screen.line(json_line(**plain(_finding(level)), properties=properties))
        for finding in about_machine:
            screen.line(json_line(**plain(finding)))
    else:
        _show(screen, levels, about_machine)
    granted = {level.level: level.granted for level in levels}
    if granted["restricted"]:
        return 0
    instead = "sessions that ask for no level get sealed"
    if not granted["sealed"]:
        instead = "run only code that you would run yourself, with isolation 'process'"
    reason = next(level.why_not() for level in levels if level.level == "restricted")
    screen.complain(f"tidemark: level restricted cannot be had: {reason}; {instead}")
    return FAILED


def _show(screen: Screen, levels: Sequence[FoundLevel], about_machine: Sequence[Finding]) -> None:
    for finding in (*map(_finding, levels), *about_machine):
        screen.line(_line(finding, screen))
    screen.line()
    for line in matrix(levels):
        screen.line(line)
    for level in levels:
        screen.line()
        screen.line(screen.styled(f"level {level.level}", Style.BOLD))
        for name, verdict, text in details(level):
            style = Style.GREEN if verdict == "yes" else Style.RED
            word = screen.styled(verdict.ljust(_VERDICT_WIDTH), style)
            screen.line(_row(f"  {name}", word, text, screen))


def _finding(level: FoundLevel) -> Finding:
    check = f"level {level.level}"
    if level.granted:
        count = sum(each.held for each in level.properties)
        weak = [each for each in level.properties if not each.held]
        advice = "; ".join(f"without {each.name}: {each.remedy}" for each in weak)
        if level.level == "process":
            advice = "no security boundary: a cell can do what you can do"
        return Finding(check, "ok", f"{count} properties hold", advice)
    helps = level.what_helps()
    return Finding(check, "missing", level.why_not(), f"to get it: {helps}" if helps else "")


def _line(finding: Finding, screen: Screen) -> str:
    verdict = screen.styled(finding.verdict.ljust(_VERDICT_WIDTH), _STYLE[finding.verdict])
    text = f"{finding.found}; {finding.advice}" if finding.advice else finding.found
    return _row(finding.check, verdict, text, screen)


def _row(name: str, verdict: str, text: str, screen: Screen) -> str:
    room = max(screen.width - _INDENT, 20)
    shown = text if len(text) <= room else _wrapped(text, room)
    return f"{name:<{_NAME_WIDTH}}  {verdict}  {shown}"


def _wrapped(text: str, room: int) -> str:
    lines, current = [], ""
    for word in text.split():
        if current and len(current) + 1 + len(word) > room:
            lines.append(current)
            current = word
        else:
            current = f"{current} {word}".strip()
    return ("\n" + " " * _INDENT).join([*lines, cut(current, room)])


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
