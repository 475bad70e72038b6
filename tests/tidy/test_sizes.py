"""Nothing grows too big to live in."""

from __future__ import annotations

import ast

from fakes import source_tree

FILE_LINES_MAX = 400
TEST_FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 50
CLASS_LINES_MAX = 200


def test_files() -> None:
    wrong = []
    for module in source_tree.modules():
        allowed = TEST_FILE_LINES_MAX if module.name.startswith("tests/") else FILE_LINES_MAX
        lines = len(module.text.splitlines())
        if lines > allowed:
            wrong.append(f"{module.name}: {lines} lines, at most {allowed}")
    assert not wrong, "\n" + "\n".join(wrong)


def test_functions_and_classes() -> None:
    wrong = []
    for module in source_tree.modules():
        for node in ast.walk(module.tree):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    allowed = FUNCTION_LINES_MAX
                case ast.ClassDef():
                    allowed = CLASS_LINES_MAX
                case _:
                    continue
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > allowed:
                where = f"{module.name}:{node.lineno}: {node.name}"
                wrong.append(f"{where}: {lines} lines, at most {allowed}")
    assert not wrong, "\n" + "\n".join(wrong)
