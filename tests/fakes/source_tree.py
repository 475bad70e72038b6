"""The project's own Python files, read once, for tests that look at how it is written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("protocol", "supervisor", "worker", "client", "command", "simulation")
OTHERS = ("tests", "bench", "examples")


@dataclass(frozen=True)
class Module:
    """One file: where it is, its text, and its tree."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The path from the root, with slashes."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def is_ours(self) -> bool:
        """Whether it is part of the installed package."""
        return self.name.split("/")[0] not in OTHERS

    def line(self, number: int) -> str:
        return self.text.splitlines()[number - 1]


@cache
def modules() -> tuple[Module, ...]:
    """Every Python file of the package, the tests, the benchmarks and the examples."""
    paths = sorted(ROOT.glob("*.py"))
    for folder in (*ROOMS, *OTHERS):
        paths.extend(sorted((ROOT / folder).rglob("*.py")))
    kept = [path for path in paths if not _is_output(path)]
    texts = [(path, path.read_text(encoding="utf-8")) for path in kept]
    return tuple(Module(path, text, ast.parse(text, str(path))) for path, text in texts)


def _is_output(path: Path) -> bool:
    return any(part in {"out", "__pycache__"} for part in path.relative_to(ROOT).parts)


@dataclass(frozen=True)
class Import:
    """One imported module, absolute: `tidemark.protocol.ids`, `zmq`."""

    target: str
    line: int
    relative: bool


def imports(module: Module) -> Iterator[Import]:
    """Every import of a file, wherever it stands; for `from x import y` both x and x.y."""
    inside = ["tidemark", *module.path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, False)
        elif isinstance(node, ast.ImportFrom):
            parts = [node.module] if node.module else []
            if node.level:
                parts = inside[: len(inside) - node.level + 1] + parts
            start = ".".join(parts)
            yield Import(start, node.lineno, node.level > 0)
            for alias in node.names:
                yield Import(f"{start}.{alias.name}", node.lineno, node.level > 0)


def words(name: str) -> list[str]:
    """The words of a name: `HostCore` and `host_core` are both host, core."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return [word for word in re.split(r"[_\-.\s]+", spaced.lower()) if word]
