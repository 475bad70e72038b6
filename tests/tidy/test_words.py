"""Names that say nothing, and habits that hide faults."""

from __future__ import annotations

import ast
import asyncio
import io
import re
from collections.abc import Iterator

from fakes import source_tree
from fakes.source_tree import Module

BANNED = {"manager", "util", "utils", "helper", "helpers", "common", "misc", "base", "handler"}
BANNED |= {"managers", "handlers", "bases", "data"}
TERMS = [("plain", "data")]  # a word of the glossary that holds a banned one
# A method that overrides one of these has the name that the standard library gave it.
OVERRIDDEN = (asyncio.BaseEventLoop, asyncio.Protocol, asyncio.SubprocessProtocol, io.TextIOBase)
UNSAFE = {"pickle", "shelve", "marshal", "dill", "cloudpickle"}
REASON = re.compile(r"#\s*(?:noqa: BLE001\b\W*)?(?!noqa)\w+\W+\w+")


def bad_word(name: str) -> str | None:
    words = source_tree.words(name)
    for term in TERMS:
        for start in range(len(words) - len(term) + 1):
            if tuple(words[start : start + len(term)]) == term:
                words[start : start + len(term)] = [""] * len(term)
    return next((word for word in words if word in BANNED), None)


def names(module: Module) -> Iterator[tuple[int, str]]:
    for part in module.path.relative_to(source_tree.ROOT).with_suffix("").parts:
        yield 1, part
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.name


def test_names_say_something() -> None:
    wrong = []
    for module in source_tree.modules():
        for line, name in names(module):
            word = bad_word(name)
            if word and not any(hasattr(kind, name) for kind in OVERRIDDEN):
                wrong.append(f"{module.name}:{line}: {name}: not {word!r}")
    assert not wrong, "\n" + "\n".join(wrong)


def _is_broad(node: ast.expr | None) -> bool:
    kinds = node.elts if isinstance(node, ast.Tuple) else [node]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
        for kind in kinds
    )


def _raises_again(body: list[ast.stmt]) -> bool:
    return any(isinstance(node, ast.Raise) for stmt in body for node in ast.walk(stmt))


def test_what_catches_everything_says_why() -> None:
    wrong = []
    for module in source_tree.modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler):
                broad = _is_broad(node.type) and not _raises_again(node.body)
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
                broad = any(_is_broad(kind) for kind in node.args)
            else:
                continue
            if broad and not REASON.search(module.line(node.lineno)):
                wrong.append(f"{module.name}:{node.lineno}: catches everything without a reason")
    assert not wrong, "\n" + "\n".join(wrong)


def test_no_foreign_object_is_unpickled() -> None:
    wrong = [
        f"{module.name}:{found.line}: import {found.target}"
        for module in source_tree.modules()
        if module.is_ours
        for found in source_tree.imports(module)
        if found.target.split(".")[0] in UNSAFE
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_tests_use_fakes_and_not_mocks() -> None:
    wrong = [
        f"{module.name}:{found.line}: import {found.target}"
        for module in source_tree.modules()
        for found in source_tree.imports(module)
        if found.target == "mock" or f"{found.target}.".startswith("unittest.mock.")
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_tests_wait_for_conditions_and_do_not_sleep() -> None:
    """Cell sources are strings and not looked at; a slow async tool may await asyncio.sleep."""
    wrong = []
    for module in source_tree.modules():
        if not module.name.startswith("tests/"):
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "sleep"}:
                wrong.append(f"{module.name}:{node.lineno}: use fakes.waiting.until")
    assert not wrong, "\n" + "\n".join(wrong)
