"""Who may know whom: every import of every room, against the table in docs/ARCHITECTURE.md."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from fakes import source_tree
from fakes.source_tree import Import, Module

# Room (longest path that fits) -> the rooms of ours that it knows besides itself.
KNOWS: dict[str, set[str]] = {
    "": {"protocol", "client"},
    "protocol": set(),
    "supervisor": {"protocol", "supervisor/core", "supervisor/shell"},
    "supervisor/core": {"protocol"},
    "supervisor/shell": {"protocol", "supervisor/core"},
    "worker": {"protocol"},
    "client": {"protocol"},
    "command": {"protocol", "client", ""},
    "simulation": {"protocol", "supervisor/core", "supervisor/shell", "worker", "client"},
}
# Rooms that are pure know no more of the outside than this; the others may use what they need.
CORE_ONLY = {"__future__", "dataclasses", "enum", "typing", "collections.abc", "heapq"}
# The distributions in pyproject.toml, by the name that they are imported under.
IMPORTED_AS = {"pyzmq": "zmq", "msgpack": "msgpack", "psutil": "psutil"}


def room_of(path: str) -> str:
    """The room of a module, given its path with slashes (a file, or what is imported)."""
    parts = path.split("/")
    for length in (2, 1):
        room = "/".join(parts[:length])
        if room in KNOWS:
            return room
    return ""


def ours() -> list[Module]:
    return [module for module in source_tree.modules() if module.is_ours]


def outside(module: Module) -> list[Import]:
    return [
        found
        for found in source_tree.imports(module)
        if found.target.split(".")[0] != "tidemark" and not found.relative
    ]


def test_rooms_know_only_whom_they_may() -> None:
    wrong = []
    for module in ours():
        room = room_of(module.name)
        for found in source_tree.imports(module):
            if found.target.split(".")[0] != "tidemark" or found.target == "tidemark":
                continue
            target = room_of("/".join(found.target.split(".")[1:]))
            if target != room and target not in KNOWS[room]:
                who, whom = room or "the root", target or "the root"
                wrong.append(f"{module.name}:{found.line}: {who} imports {whom}")
    assert not wrong, "\n" + "\n".join(wrong)


def test_imports_inside_the_package_are_relative() -> None:
    wrong = [
        f"{module.name}:{found.line}: import {found.target}"
        for module in ours()
        for found in source_tree.imports(module)
        if found.target.split(".")[0] == "tidemark" and not found.relative
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_the_core_is_pure() -> None:
    wrong = []
    for module in ours():
        if room_of(module.name) != "supervisor/core":
            continue
        for found in outside(module):
            if not any(f"{found.target}.".startswith(f"{name}.") for name in CORE_ONLY):
                wrong.append(f"{module.name}:{found.line}: import {found.target}")
    assert not wrong, "\n" + "\n".join(wrong)


def test_the_protocol_knows_the_standard_library_and_msgpack() -> None:
    wrong = [
        f"{module.name}:{found.line}: import {found.target}"
        for module in ours()
        if room_of(module.name) == "protocol"
        for found in outside(module)
        if found.target.split(".")[0] not in sys.stdlib_module_names | {"msgpack"}
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_what_is_imported_is_declared(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[^\w.-]", line)[0] for line in project["dependencies"]}
    allowed = {IMPORTED_AS[name] for name in declared} | sys.stdlib_module_names
    wrong = [
        f"{module.name}:{found.line}: import {found.target}"
        for module in ours()
        for found in outside(module)
        if found.target.split(".")[0] not in allowed
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_the_table_in_the_documents_says_the_same(root: Path) -> None:
    text = (root / "docs/ARCHITECTURE.md").read_text()
    table = re.findall(r"^\| `([\w/]+)/` \| (.*?) \|", text, re.MULTILINE)
    assert table, "docs/ARCHITECTURE.md has no table of rooms"
    short = {"core": "supervisor/core"}
    for room, knows in table:
        named = {
            short.get(word.strip("/"), word.strip("/")) for word in re.findall(r"[\w/]+", knows)
        }
        named &= KNOWS.keys()
        assert named == KNOWS[room] - {""}, f"{room}/ knows {sorted(named)} in the document"
    assert {room for room, _ in table} == KNOWS.keys() - {"", "supervisor"}
