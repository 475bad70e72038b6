"""What this machine gives of each level of isolation, tried out by the zygotes themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

LEVELS: Final = ("process", "restricted", "sealed")
SECONDS_MAX: Final = 20.0
_NAME_WIDTH: Final = 24
_LEVEL_WIDTH: Final = 12
_TAIL_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Property:
    """One promise of a level, as it was found here.

    Attributes:
        needed: the level is refused without it.
        tried: how it was tested.
        reason: what the kernel said, where it does not hold; `remedy`: what would help then.
    """

    name: str
    held: bool
    needed: bool
    mechanism: str
    tried: str
    reason: str
    remedy: str

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.held:
            return "yes"
        return "NO" if self.needed else "no"


@dataclass(frozen=True, slots=True)
class FoundLevel:
    """One level. `failure`: why it could not even be examined; empty: it was."""

    level: str
    granted: bool
    properties: tuple[Property, ...]
    failure: str = ""

    def missing(self) -> list[Property]:
        """What is needed for it and does not hold."""
        return [each for each in self.properties if each.needed and not each.held]

    def why_not(self) -> str:
        """The reasons for which it cannot be had, each once."""
        reasons = [f"{each.name}: {each.reason}" for each in self.missing()]
        if len({each.reason for each in self.missing()}) == 1 and len(reasons) > 1:
            reasons = [self.missing()[0].reason]  # one step was refused, and everything behind it
        return "; ".join(reasons) or self.failure

    def what_helps(self) -> str:
        """How to get what is missing, each way once."""
        return "; ".join(dict.fromkeys(each.remedy for each in self.missing() if each.remedy))

    def of(self, name: str) -> str:
        """The word for a property; "-": this level does not promise it."""
        for each in self.properties:
            if each.name == name:
                return each.verdict
        # A level that was refused at its door reports only what it has beyond level process.
        return "-" if any(each.name == "own-process" for each in self.properties) else "?"


class Examination:
    """Examines all levels side by side, each in a process of its own that changes nothing."""

    def __init__(self) -> None:
        self._running = {
            level: subprocess.Popen(
                [sys.executable, "-P", "-m", "tidemark.worker", "--examine", level],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
            )
            for level in LEVELS
        }

    def __enter__(self) -> Examination:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self._running.values():
            with process:
                if process.poll() is None:
                    process.kill()

    def found(self) -> list[FoundLevel]:
        """Wait for all; at most 20 s for each, which is a failure then."""
        return [_heard(level, process) for level, process in self._running.items()]


def _heard(level: str, process: subprocess.Popen[bytes]) -> FoundLevel:
    try:
        out, errors = process.communicate(timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return FoundLevel(level, False, (), f"it was not examined within {SECONDS_MAX:.0f} s")
    try:
        report: Any = json.loads(out)
        properties = tuple(Property(**each) for each in report["properties"])
        return FoundLevel(level, bool(report["granted"]), properties)
    except (ValueError, KeyError, TypeError):
        lines = errors.decode(errors="replace").strip().splitlines()
        said = lines[-1][:_TAIL_CHARS] if lines else "it said nothing"
        why = f"its examination ended with status {process.returncode}: {said}"
        return FoundLevel(level, False, (), why)


def matrix(found: Sequence[FoundLevel]) -> Iterator[str]:
    """The levels side by side, a line for each property."""
    yield _row("property", [each.level for each in found])
    names = dict.fromkeys(each.name for level in reversed(found) for each in level.properties)
    for name in names:
        yield _row(name, [level.of(name) for level in found])
    yield _row("can be had", ["yes" if each.granted else "NO" for each in found])


def _row(name: str, words: Sequence[str]) -> str:
    columns = "".join(word.ljust(_LEVEL_WIDTH) for word in words)
    return f"  {name:<{_NAME_WIDTH}}{columns}".rstrip()


def details(found: FoundLevel) -> Iterator[tuple[str, str, str]]:
    """Of each property: its name, its word, and by what and how it was tried, or what to do."""
    for each in found.properties:
        if each.held:
            yield each.name, each.verdict, f"{each.mechanism} (tried: {each.tried})"
        else:
            yield each.name, each.verdict, f"{each.reason}; to get it: {each.remedy}"
