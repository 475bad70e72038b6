# ruff: noqa: F704, F821, PLE1142
# A cell, not a module: `tools`, `text`, `exit` and top-level await are given to it.
#
#     tidemark run examples/stdlib_survey_cell.py --tools examples/stdlib_tools.py
import ast
import asyncio
from collections import Counter


def survey(source):
    """Lines, functions, classes and imported modules of one source text."""
    tree = ast.parse(source)
    functions = classes = 0
    imported = Counter()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            functions += 1
        elif isinstance(node, ast.ClassDef):
            classes += 1
        elif isinstance(node, ast.Import):
            imported.update({alias.name.split(".")[0] for alias in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported[node.module.split(".")[0]] += 1
    return len(source.splitlines()), functions, classes, imported


async def fetch(module):
    return module, survey(await tools.read_source(module=module))


modules = await tools.list_modules()
found = await asyncio.gather(*map(fetch, modules))

text(f"{'module':<28}{'lines':>8}{'functions':>11}{'classes':>9}")
for name, (lines, functions, classes, _) in sorted(found, key=lambda row: -row[1][0])[:15]:
    text(f"{name:<28}{lines:>8,}{functions:>11,}{classes:>9,}")

# A module that imports another in several places counts once.
imports = Counter(name for _, counts in found for name in counts[3])
text(f"\n{'most imported':<28}{'by modules':>10}")
for name, count in imports.most_common(10):
    text(f"{name:<28}{count:>10,}")

totals = [sum(counts[column] for _, counts in found) for column in range(3)]
text(
    f"\n{len(found):,} modules: {totals[0]:,} lines, {totals[1]:,} functions, {totals[2]:,} classes"
)
exit(len(found))
